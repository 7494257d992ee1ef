"""The embedded world's surroundings: each a function of (rng, size) that paints planes [3, size, size]."""
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .textures import Colours, Planes, canvas, defocus, grid, mix, noise, palette, planes, ramp

_SHIFT = 4  # cv2 draws at 1/16 pixel
_SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
_EXPONENTS = (1.0, 1.4, 1.8, 2.2)


def _fill(sheet: NDArray[np.uint8], points: NDArray, colour: Colours) -> None:
    """Fill the polygon `points` [N, 2] (x, y in [0, 1]), or one after the other [M, N, 2] with `colour` [M, 3]."""
    fixed = np.round((points * sheet.shape[0] - 0.5) * 2**_SHIFT).astype(np.int32)
    tones = np.minimum(255 * colour, 255).reshape(-1, 3).tolist()
    for outline, tone in zip(fixed.reshape(-1, *points.shape[-2:]), tones, strict=True):
        cv2.fillPoly(sheet, [outline], tone, cv2.LINE_AA, _SHIFT)


def _scatter(rng: np.random.Generator, sheet: NDArray[np.uint8], colours: Colours, count: int, smallest: float,
             largest: float, corners: int, thin: float = 1.0) -> None:
    """Drop `count` shapes on each other, their radii of density r^-2 between `smallest` and `largest`."""
    radius = 1 / rng.uniform(1 / largest, 1 / smallest, count)
    if rng.random() < 0.5:
        radius = np.sort(radius)[::-1]  # small things before large ones
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 6.3, (count, 1))
    lean = rng.uniform(0, np.pi, (count, 1))
    u, v = np.cos(turn), np.sin(turn) * rng.uniform(0.3, 1.0, (count, 1)) * thin
    points = np.stack([u * np.cos(lean) - v * np.sin(lean), u * np.sin(lean) + v * np.cos(lean)], 2)
    points = points * radius[:, None, None] + rng.uniform(-0.1, 1.1, (count, 1, 2))
    _fill(sheet, points, colours[rng.integers(0, len(colours), count)] * rng.uniform(0.75, 1.2, (count, 1)))


def texture(rng: np.random.Generator, size: int) -> Planes:
    """A surface of fractal noise: stone, cloth, bark, water, fog."""
    stretch = 1.0 if rng.random() < 0.6 else rng.uniform(2, 10)
    field = noise(rng, size, rng.choice(_EXPONENTS), rng.uniform(0.3, 2), stretch)
    return ramp(0.5 + 0.22 * field, palette(rng, int(rng.integers(2, 6))))


def studio(rng: np.random.Generator, size: int) -> Planes:
    """A plain backdrop under uneven light."""
    rows, columns = grid(size)
    down, right = rng.uniform(-1, 1), rng.uniform(-1, 1)
    field = 0.5 + down * (rows - 0.5) + right * (columns - 0.5) + 0.05 * noise(rng, size, 2.2, 3)
    return ramp(field, palette(rng, int(rng.integers(2, 4)), vivid=rng.beta(1, 3)))


def bokeh(rng: np.random.Generator, size: int) -> Planes:
    """Surroundings far out of focus."""
    colours = palette(rng, 5)
    sheet = canvas(ramp(0.5 + 0.25 * noise(rng, size, 1.8, 2), colours))
    _scatter(rng, sheet, colours, 25, 0.07, 0.5, 16)
    return defocus(planes(sheet), rng.uniform(0.02, 0.09))


def leaves(rng: np.random.Generator, size: int) -> Planes:
    """Foliage: many thin shapes, sharp near and blurred far."""
    hue = rng.choice([rng.normal(0.27, 0.05), rng.normal(0.1, 0.04), rng.uniform()], p=[0.6, 0.25, 0.15])
    colours = palette(rng, 6, hue=hue, vivid=rng.uniform(0.2, 0.8), high=0.9)
    sheet = canvas(ramp(0.3 + 0.2 * noise(rng, size, 1.4), colours))
    _scatter(rng, sheet, colours * 0.6, 50, 0.06, 0.35, 10, 0.5)
    sheet = canvas(defocus(planes(sheet), rng.uniform(0.005, 0.03)))
    _scatter(rng, sheet, colours, int(rng.integers(20, 90)), 0.03, 0.25, 10, 0.5)
    return planes(sheet)


def clutter(rng: np.random.Generator, size: int) -> Planes:
    """Things in front of things: the dead leaves whose statistics are those of photographs (Lee, Mumford and
    Huang, 2001), under one grain."""
    colours = palette(rng, 8)
    sheet = canvas(ramp(0.5 + 0.2 * noise(rng, size), colours))
    _scatter(rng, sheet, colours, int(rng.integers(50, 130)), 0.025, 0.9, int(rng.integers(3, 14)))
    grain = noise(rng, size, rng.choice(_EXPONENTS), rng.uniform(0.5, 2))
    return planes(sheet) * (1 + rng.uniform(0.03, 0.25) * grain)


def landscape(rng: np.random.Generator, size: int) -> Planes:
    """Sky with clouds, ridges in the haze, and a textured ground that flattens towards the horizon."""
    rows, _ = grid(size)
    horizon = rng.uniform(0.15, 0.85)
    sky = palette(rng, 3, hue=rng.choice([0.58, 0.06, rng.uniform()], p=[0.7, 0.2, 0.1]), low=0.3)
    picture = ramp(rows / (horizon + 0.1), sky if rng.random() < 0.8 else sky[::-1])
    cloud = np.clip(noise(rng, size, 1.8, 1.5, rng.uniform(1, 4), 0.0) * 0.5 - rng.uniform(-0.4, 0.6), 0, 1)
    picture += (rng.uniform(0.6, 1.0) - picture) * cloud
    land = palette(rng, 4, hue=rng.choice([0.25, 0.1, rng.uniform()], p=[0.5, 0.35, 0.15]), high=0.85)
    ridges = int(rng.integers(0, 4))
    for ridge in range(ridges):
        skyline = 0.12 * noise(rng, size, 1.8, rng.uniform(0.5, 2))[0] - 0.08 + 0.05 * ridge + horizon
        haze = sky[-1] + (land[1] - sky[-1]) * ((ridge + 1) / (ridges + 1))
        slope = haze[:, None, None] * (1 + 0.08 * noise(rng, size, 1.4))
        picture = mix(picture, slope, np.clip((rows - skyline) * size + 0.5, 0, 1))
    ground = noise(rng, size, rng.choice(_EXPONENTS[:3]), rng.uniform(0.3, 2), rng.uniform(1, 6), 0.0)
    field = 0.45 + rng.uniform(0.1, 0.3) * ground + 0.3 * (horizon - rows)
    edge = np.clip((rows - horizon - 0.01 * noise(rng, size)[0]) * (size * rng.uniform(0.05, 1)) + 0.5, 0, 1)
    return mix(picture, ramp(field, land), edge)


def room(rng: np.random.Generator, size: int) -> Planes:
    """A wall with frames, windows and shelves above a table or a floor of boards."""
    rows, columns = grid(size)
    wall, floor = palette(rng, 3, vivid=rng.beta(1, 3), low=0.15), palette(rng, 3, hue=rng.normal(0.08, 0.03))
    sheet = canvas(ramp(0.5 + rng.uniform(-0.8, 0.8) * (columns - 0.5) + 0.06 * noise(rng, size), wall))
    things = palette(rng, 6)
    for _ in range(rng.integers(1, 9)):
        corner, extent = rng.uniform(-0.1, 1, 2), rng.uniform(0.04, 0.45, 2)
        outline = _SQUARE + np.array([[0, 0], [0, rng.normal(0, 0.05)], [0, 0], [0, 0]])
        _fill(sheet, (outline * 1.12 - 0.06) * extent + corner, things[rng.integers(0, 6)] * 0.6)
        _fill(sheet, outline * extent + corner, things[rng.integers(0, 6)])
    edge = rng.uniform(0.55, 0.95)
    grain = noise(rng, size, 1.4, 1, rng.uniform(3, 10), rng.normal(0, 0.1))
    joints = ((rows - edge) * (rng.integers(1, 5) / 0.4)) % 1 < 0.06
    line = edge + rng.normal(0, 0.06) * (columns - 0.5)
    table = ramp(0.5 + 0.2 * grain - 0.25 * joints, floor)
    return mix(planes(sheet), table, np.clip((rows - line) * size + 0.5, 0, 1))


def town(rng: np.random.Generator, size: int) -> Planes:
    """Buildings with rows of windows before a landscape."""
    sheet = canvas(landscape(rng, size))
    walls = palette(rng, 6, vivid=rng.beta(1, 3))
    base = rng.uniform(0.6, 1.0)
    for _ in range(rng.integers(2, 6)):
        extent = np.array([rng.uniform(0.15, 0.5), rng.uniform(0.25, 0.9)])
        corner = np.array([rng.uniform(-0.1, 0.9), base - extent[1]])
        wall, pane = walls[rng.integers(0, 6)], walls[rng.integers(0, 6)] * rng.uniform(0.3, 1)
        _fill(sheet, _SQUARE * extent + corner, wall)
        cells = rng.integers(2, 6, 2)
        at = corner + extent * (np.argwhere(np.ones(cells)) + 0.22) / cells
        panes = _SQUARE * extent / cells * (0.5, 0.55) + at[:, None]
        _fill(sheet, panes, pane * rng.uniform(0.8, 1.2, (len(at), 1)))
    return planes(sheet) * (1 + 0.06 * noise(rng, size, 1.0))


def weave(rng: np.random.Generator, size: int) -> Planes:
    """A regular pattern, warped and shaded: cloth, tiles, bricks, fence."""
    rows, columns = grid(size)
    lean, across = rng.uniform(0, np.pi), rng.uniform(2, 14)
    down = 0.0 if rng.random() < 0.5 else rng.uniform(2, 14)
    cos, sin = float(np.cos(lean)), float(np.sin(lean))
    bend = rng.uniform(0, 0.08) * noise(rng, size, 2.2, 2)
    wave = np.sin((2 * np.pi * across) * (cos * columns + sin * rows + bend))
    wave += np.sin((2 * np.pi * down) * (cos * rows - sin * columns + bend))
    field = 0.5 + 0.4 * np.tanh(rng.uniform(0.3, 4) * wave) + 0.06 * noise(rng, size)
    return ramp(field, palette(rng, 3)) * (1 + rng.uniform(0.05, 0.35) * noise(rng, size, 2.2, 2))


BACKGROUNDS: tuple[Callable[[np.random.Generator, int], Planes], ...] = (
    texture, studio, bokeh, bokeh, leaves, clutter, clutter, landscape, landscape, room, town, weave,
)
