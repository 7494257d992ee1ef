"""The sheet on which one object of the embedded world is drawn, so that its mask and details are exact."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

_SHIFT = 4  # cv2 draws at 1/16 pixel
Colour = Sequence[float] | NDArray


class Layer:
    """A transparent layer on which one object is drawn through an affine `matrix` [2, 3], unit to pixels."""

    def __init__(self, size: int, matrix: NDArray) -> None:
        self._turn = matrix[:, :2].T * 2**_SHIFT
        self._move = (matrix[:, 2] - 0.5) * 2**_SHIFT
        self._scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        self.paint = np.zeros((size, size, 4), np.uint8)  # RGB, premultiplied by the mask at its soft edge; mask
        self.detail = np.zeros((size, size), np.uint8)
        self._detailed = False
        self.prop = np.zeros((size, size, 4), np.uint8)  # like `paint`: what carries the object, not part of it

    def polygon(self, points: ArrayLike, colour: Colour, detail: bool = False) -> None:
        """Fill `points` [N, 2]; a `detail` enters the focus map."""
        points = self._pixels(points)
        self._each(cv2.fillPoly, [points], colour, detail)

    def line(self, points: ArrayLike, width: float, colour: Colour, detail: bool = False) -> None:
        """Draw the open line through `points` [N, 2], `width` in units."""
        points, pixels = self._pixels(points), max(1, round(width * self._scale))
        self._each(cv2.polylines, [points], colour, detail, False, thickness=pixels)

    def ellipse(self, x: float, y: float, a: float, b: float, colour: Colour, angle: float = 0.0,
                detail: bool = False) -> None:
        """Fill the ellipse of half-axes `a`, `b` around (x, y), turned by `angle` radians."""
        self.polygon(oval(x, y, a, b, angle), colour, detail)

    def support(self, points: ArrayLike, width: float, colour: Colour) -> None:
        """Draw a line behind the object that is no part of it."""
        pixels = max(1, round(width * self._scale))
        cv2.polylines(self.prop, [self._pixels(points)], False, _tone(colour), pixels, cv2.LINE_AA, _SHIFT)

    def _pixels(self, points: ArrayLike) -> NDArray:
        points = np.asarray(points, np.float64) @ self._turn + self._move
        return np.rint(points).astype(np.int32)

    def _each(self, draw: Callable, shape: list[NDArray], colour: Colour, detail: bool, *args: object,
              **options: object) -> None:
        options |= {"lineType": cv2.LINE_AA, "shift": _SHIFT}
        draw(self.paint, shape, *args, color=_tone(colour), **options)
        self._detailed |= detail
        if self._detailed:  # what is no detail hides the details below it
            draw(self.detail, shape, *args, color=255.0 * detail, **options)


def _tone(colour: Colour) -> list[float]:
    """`colour` in [0, 1] (clipped above) as opaque bytes."""
    return [*(min(255.0 * float(c), 255.0) for c in colour), 255.0]


_TURN = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


def oval(x: float, y: float, a: float, b: float, angle: float = 0.0) -> NDArray:
    """Points [28, 2] on an ellipse."""
    cos, sin = math.cos(angle), math.sin(angle)
    return _CIRCLE @ np.array([[a * cos, a * sin], [-b * sin, b * cos]]) + (x, y)


def blob_outline(rng: np.random.Generator, roughness: float, count: int = 64) -> NDArray:
    """A closed random curve [count, 2] around the origin, of radius about 1."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    orders = np.arange(1, 7)
    weight = roughness * rng.normal(0, 1, 6) / orders
    radius = 0.8 + (weight[:, None] * np.cos(orders[:, None] * turn + rng.uniform(0, 6.3, (6, 1)))).sum(0) / 2
    radius = np.clip(radius, 0.25, 1.3)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)
