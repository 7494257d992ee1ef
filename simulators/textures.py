"""What the embedded world's surfaces are made of: fractal noise and palettes.

Photographs have an amplitude spectrum that falls as about 1/f (Field, 1987), and colours that differ much more
in luminance than in hue; a painter that has seen neither does not paint photographs.
"""
from __future__ import annotations

import colorsys
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[Any]  # [H, W] float32
Planes = NDArray[Any]  # [3, H, W] float32, RGB in [0, 1]: planar, because NumPy broadcasts fields over it quickly
Colours = NDArray[Any]  # [N, 3] or [3], RGB in [0, 1]

_TILE = 512
_LEVELS = 512


@lru_cache(maxsize=8)
def _tile(exponent: float) -> Field:
    """Periodic noise of amplitude 1/f^`exponent`, mean 0, standard deviation 1, laid out 3 x 3 times."""
    rng = np.random.default_rng(int(exponent * 100))
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None])
    frequency[0, 0] = np.inf
    phase = rng.uniform(0, 2 * np.pi, frequency.shape)
    field = np.fft.irfft2(np.exp(1j * phase) / frequency**exponent, s=(_TILE, _TILE))
    return np.tile((field / field.std()).astype(np.float32), (3, 3))


def noise(rng: np.random.Generator, size: int, exponent: float = 1.4, zoom: float = 1.0,
          stretch: float = 1.0, angle: float | None = None) -> Field:
    """Fractal noise [size, size], mean 0, standard deviation 1.

    `exponent` (1.0, 1.4, 1.8 or 2.2) is rough to smooth, `zoom` > 1 enlarges the grain, and `stretch` > 1 draws
    it out along `angle` (radians, random by default).
    """
    angle = rng.uniform(0, 2 * np.pi) if angle is None else angle
    offset = rng.uniform(_TILE, 2 * _TILE, 2)
    step = 256 / size / zoom  # tile pixels a picture's pixel, so that a scene looks alike at every size
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    matrix = np.array([[cos / stretch, sin / stretch, offset[0]], [-sin, cos, offset[1]]])
    field = cv2.warpAffine(_tile(exponent), matrix, (size, size), borderMode=cv2.BORDER_REFLECT,
                           flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    mean, deviation = cv2.meanStdDev(field)
    return (field - float(mean[0, 0])) / max(float(deviation[0, 0]), 1e-3)


def palette(rng: np.random.Generator, count: int, hue: float | None = None, vivid: float | None = None,
            low: float = 0.03, high: float = 1.0) -> Colours:
    """`count` related colours from dark to light, of about one `hue` (in turns) and a second one."""
    if hue is None:  # any, or warm light, or sky
        hue = (rng.uniform(), rng.normal(0.08, 0.04), rng.normal(0.07, 0.05), rng.normal(0.58, 0.05))[rng.integers(4)]
    vivid = rng.beta(1.8, 2.2) if vivid is None else vivid
    second = hue + (0.0, 0.0, 0.08, 0.45)[rng.integers(4)]
    value = np.sort(rng.uniform(low, high, count))
    hues = np.where(rng.random(count) < 0.7, hue, second) + rng.normal(0, 0.025, count)
    saturation = np.minimum(vivid * rng.uniform(0.4, 1.6, count), 1)
    colours = [colorsys.hsv_to_rgb(h % 1, s, v)
               for h, s, v in zip(hues.tolist(), saturation.tolist(), value.tolist(), strict=True)]
    return np.array(colours, np.float32)


def ramp(field: Field, colours: Colours) -> Planes:
    """`field` [H, W] in [0, 1] (clipped) turned into a run through `colours` [N, 3], N >= 2."""
    places = np.linspace(0, len(colours) - 1, _LEVELS)
    left = np.minimum(places.astype(int), len(colours) - 2)
    share = (places - left)[:, None]
    table = (colours[left] * (1 - share) + colours[left + 1] * share).astype(np.float32)
    level = (np.clip(field, 0, 1) * (_LEVELS - 1)).astype(np.int32)
    return np.stack([plane[level] for plane in np.ascontiguousarray(table.T)])


def mix(below: Planes, above: Planes, alpha: Field) -> Planes:
    """`above` laid over `below` with opacity `alpha` [H, W] in [0, 1]."""
    return below + (above - below) * alpha


def soften(field: Field, radius: float) -> Field:
    """`field` [H, W] blurred by a Gaussian of `radius` (a share of the height)."""
    size = field.shape[0]
    coarse = max(1, int(radius * size / 2))  # a wide blur is as good at a lower resolution, and much quicker
    small = cv2.resize(field, (size // coarse, size // coarse), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(radius * small.shape[0], 0.1), borderType=cv2.BORDER_REFLECT_101)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def defocus(picture: Planes, radius: float) -> Planes:
    """Each plane of `picture` blurred by a Gaussian of `radius`."""
    return np.stack([soften(plane, radius) for plane in picture])


def planes(canvas: NDArray[np.uint8]) -> Planes:
    """A drawn `canvas` [H, W, 3] as planes."""
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)).astype(np.float32) / 255


def canvas(picture: Planes) -> NDArray[np.uint8]:
    """Planes as a canvas [H, W, 3] for cv2 to draw on."""
    return np.ascontiguousarray((255 * np.clip(picture, 0, 1)).astype(np.uint8).transpose(1, 2, 0))


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Field, Field]:
    """Row and column of each pixel's centre, [size, size] in [0, 1]."""
    axis = ((np.arange(size) + 0.5) / size).astype(np.float32)
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    return rows, columns
