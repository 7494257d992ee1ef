"""Strokes drawn exactly by OpenCV, one by one: what every renderer is measured against.

The curve follows the generator of Learning to Paint (Huang et al., ICCV 2019): discs on a canvas of twice the size,
of which each overwrites the earlier ones, then a 2x2 mean. Positions and radii are whole pixels of the large canvas.
"""

from collections.abc import Callable

import cv2
import numpy as np

DISCS = 100  # along a curve, at t = i / DISCS: t = 1 is never drawn


def reference_alpha(shape: np.ndarray, size: int = 128, brush: str = "bezier") -> np.ndarray:
    """Opacity `[size, size]` in [0, 1] of one stroke, of whose `shape` `[10]` in [0, 1] each brush reads its part:

    x0, y0, x1, y1, x2, y2, z0, z2, w0, w2 (x is the row). `bezier`: a quadratic curve from 0 to 2, its control point
    relative to the box of its ends, radius z and opacity w linear along it; `bezier-opaque`: the same, w = 1;
    `triangle`: three corners, opacity w0; `circle`: centre 0, radius z0, opacity w0.
    """
    canvas = np.zeros((2 * size, 2 * size), np.float32)
    DRAW[brush](canvas, [float(value) for value in shape])
    return cv2.resize(canvas, (size, size))


def _pixel(value: float, canvas: np.ndarray) -> int:
    return int(value * (len(canvas) - 1) + 0.5)


def _radius(value: float, canvas: np.ndarray) -> int:
    return int(1 + value * (len(canvas) // 2) // 2)


def _draw_curve(canvas: np.ndarray, shape: list[float]) -> None:
    x0, y0, x1, y1, x2, y2, z0, z2, w0, w2 = shape
    x1, y1 = x0 + (x2 - x0) * x1, y0 + (y2 - y0) * y1
    x0, y0, x1, y1, x2, y2 = (_pixel(value, canvas) for value in (x0, y0, x1, y1, x2, y2))
    z0, z2 = _radius(z0, canvas), _radius(z2, canvas)
    for i in range(DISCS):
        t = i / DISCS
        x = int((1 - t) * (1 - t) * x0 + 2 * t * (1 - t) * x1 + t * t * x2)
        y = int((1 - t) * (1 - t) * y0 + 2 * t * (1 - t) * y1 + t * t * y2)
        cv2.circle(canvas, (y, x), int((1 - t) * z0 + t * z2), (1 - t) * w0 + t * w2, -1)


def _draw_opaque_curve(canvas: np.ndarray, shape: list[float]) -> None:
    _draw_curve(canvas, [*shape[:8], 1.0, 1.0])


def _draw_triangle(canvas: np.ndarray, shape: list[float]) -> None:
    x0, y0, x1, y1, x2, y2 = (_pixel(value, canvas) for value in shape[:6])
    cv2.fillConvexPoly(canvas, np.array([(y0, x0), (y1, x1), (y2, x2)], np.int32), shape[8])


def _draw_circle(canvas: np.ndarray, shape: list[float]) -> None:
    centre = _pixel(shape[1], canvas), _pixel(shape[0], canvas)
    cv2.circle(canvas, centre, _radius(shape[6], canvas), shape[8], -1)


DRAW: dict[str, Callable[[np.ndarray, list[float]], None]] = {
    "bezier": _draw_curve,
    "bezier-opaque": _draw_opaque_curve,
    "triangle": _draw_triangle,
    "circle": _draw_circle,
}
