"""The embedded world's surroundings: each a function of (rng, size) that paints [size, size, 3] in [0, 1]."""
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .textures import Colours, grid, mix, noise, palette, ramp, soften

_SHIFT = 4
_SMOOTHNESS = (1.0, 1.4, 1.8, 2.2)


def _bytes(colour: Colours) -> list[float]:
    return [float(round(255 * min(max(float(c), 0.0), 1.0))) for c in colour]


def _fill(canvas: np.ndarray, points: np.ndarray, colour: Colours) -> None:
    """Fill the polygon `points` [N, 2] (x, y in [0, 1]) on a uint8 canvas."""
    fixed = np.round((points * canvas.shape[0] - 0.5) * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], _bytes(colour), cv2.LINE_AA, _SHIFT)


def _unit(canvas: np.ndarray) -> Colours:
    return canvas.astype(np.float32) / 255


def _shapes(rng: np.random.Generator, canvas: np.ndarray, colours: Colours, count: int, smallest: float,
            largest: float, corners: int, thin: float = 1.0) -> None:
    """Occluding shapes with sizes of density r^-3: the dead leaves that give photographs their statistics
    (Lee, Mumford and Huang, 2001)."""
    low, high = largest**-2, smallest**-2
    radius = np.sort(rng.uniform(low, high, count) ** -0.5)[::-1] if rng.random() < 0.3 \
        else rng.uniform(low, high, count) ** -0.5
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 6.3, (count, 1))
    stretch = rng.uniform(0.3, 1.0, (count, 1)) * thin
    lean = rng.uniform(0, np.pi, (count, 1))
    u, v = np.cos(turn), np.sin(turn) * stretch
    points = np.stack([u * np.cos(lean) - v * np.sin(lean), u * np.sin(lean) + v * np.cos(lean)], 2)
    points = points * radius[:, None, None] + rng.uniform(-0.1, 1.1, (count, 1, 2))
    tone = colours[rng.integers(0, len(colours), count)] * rng.uniform(0.75, 1.2, (count, 1))
    for outline, colour in zip(points, tone, strict=True):
        _fill(canvas, outline, colour)


def texture(rng: np.random.Generator, size: int) -> Colours:
    """A surface of fractal noise: stone, cloth, bark, water, fog."""
    stretch = rng.choice([1.0, rng.uniform(2, 10)], p=[0.6, 0.4])
    field = noise(rng, size, rng.choice(_SMOOTHNESS), rng.uniform(0.4, 3), stretch)
    return ramp(0.5 + 0.22 * field, palette(rng, rng.integers(2, 6)))


def studio(rng: np.random.Generator, size: int) -> Colours:
    """A plain backdrop under uneven light."""
    rows, columns = grid(size)
    lean = rng.uniform(-1, 1, 2)
    field = 0.5 + lean[0] * (rows - 0.5) + lean[1] * (columns - 0.5) + 0.05 * noise(rng, size, 2.2, 3)
    return ramp(field, palette(rng, rng.integers(2, 4), vivid=rng.beta(1, 3)))


def bokeh(rng: np.random.Generator, size: int) -> Colours:
    """Surroundings far out of focus."""
    colours = palette(rng, 5)
    canvas = (255 * ramp(0.5 + 0.25 * noise(rng, size, 1.8, 2), colours)).astype(np.uint8)
    _shapes(rng, canvas, colours, 30, 0.05, 0.4, 16)
    return soften(_unit(canvas), rng.uniform(0.02, 0.09))


def leaves(rng: np.random.Generator, size: int) -> Colours:
    """Foliage: many thin shapes, sharp near and blurred far."""
    hue = rng.choice([rng.normal(0.27, 0.05), rng.normal(0.1, 0.04), rng.uniform()], p=[0.6, 0.25, 0.15])
    colours = palette(rng, 6, hue=hue, vivid=rng.uniform(0.2, 0.8), high=0.9)
    canvas = (255 * ramp(0.3 + 0.2 * noise(rng, size, 1.4), colours)).astype(np.uint8)
    _shapes(rng, canvas, colours * 0.6, 60, 0.05, 0.25, 10, 0.5)
    far = soften(_unit(canvas), rng.uniform(0.005, 0.03))
    canvas = (255 * np.clip(far, 0, 1)).astype(np.uint8)
    _shapes(rng, canvas, colours, rng.integers(10, 90), 0.03, 0.18, 10, 0.5)
    return _unit(canvas)


def clutter(rng: np.random.Generator, size: int) -> Colours:
    """Dead leaves: everything in front of everything, each thing with its own texture."""
    colours = palette(rng, 8)
    canvas = np.full((size, size, 3), _bytes(colours[0]), np.uint8)
    _shapes(rng, canvas, colours, rng.integers(40, 140), 0.025, 0.6, rng.integers(3, 14))
    grain = noise(rng, size, rng.choice(_SMOOTHNESS), rng.uniform(0.5, 2))
    return np.clip(_unit(canvas) * (1 + rng.uniform(0.03, 0.25) * grain[..., None]), 0, 1)


def landscape(rng: np.random.Generator, size: int) -> Colours:
    """Sky with clouds, ridges in the haze, and a textured ground that flattens towards the horizon."""
    rows, _ = grid(size)
    horizon = rng.uniform(0.15, 0.85)
    sky = palette(rng, 3, hue=rng.choice([0.58, 0.06, rng.uniform()], p=[0.7, 0.2, 0.1]), low=0.3)
    picture = ramp(rows / (horizon + 0.1), sky if rng.random() < 0.8 else sky[::-1])
    cloud = np.clip(noise(rng, size, 1.8, 1.5, rng.uniform(1, 4), 0.0) * 0.5 - rng.uniform(-0.4, 0.6), 0, 1)
    picture = mix(picture, np.full(3, rng.uniform(0.6, 1.0)), cloud)
    land = palette(rng, 4, hue=rng.choice([0.25, 0.1, rng.uniform()], p=[0.5, 0.35, 0.15]), high=0.8)
    ridges = rng.integers(0, 4)
    for k in range(ridges):
        line = horizon + 0.12 * noise(rng, size, 1.8, rng.uniform(0.5, 2))[0] * (1 - 0.2 * k) - 0.08 + 0.05 * k
        haze = sky[-1] + (land[1] - sky[-1]) * (k + 1) / (ridges + 1)
        tone = haze * (1 + 0.08 * noise(rng, size, 1.4)[..., None])
        picture = mix(picture, tone, np.clip((rows - line) * size + 0.5, 0, 1))
    ground = noise(rng, size, rng.choice((1.0, 1.4, 1.8)), rng.uniform(0.3, 2), rng.uniform(1, 6), 0.0)
    field = 0.45 + 0.2 * ground + 0.3 * (horizon - rows)
    edge = np.clip((rows - horizon - 0.01 * noise(rng, size)[0]) * size * rng.uniform(0.05, 1) + 0.5, 0, 1)
    return mix(picture, ramp(field, land), edge)


def room(rng: np.random.Generator, size: int) -> Colours:
    """A wall with frames, windows and shelves above a table or a floor of boards."""
    rows, columns = grid(size)
    wall, floor = palette(rng, 3, vivid=rng.beta(1, 3), low=0.15), palette(rng, 3, hue=rng.normal(0.08, 0.03))
    field = 0.5 + rng.uniform(-0.8, 0.8) * (columns - 0.5) + 0.06 * noise(rng, size)
    canvas = (255 * ramp(field, wall)).astype(np.uint8)
    things = palette(rng, 6)
    for _ in range(rng.integers(1, 9)):
        x, y = rng.uniform(-0.1, 1, 2)
        w, h = rng.uniform(0.04, 0.45, 2)
        corners = np.array([[0, 0], [1, rng.normal(0, 0.05)], [1, 1], [0, 1]])
        _fill(canvas, (corners * 1.12 - 0.06) * (w, h) + (x, y), things[rng.integers(0, 6)] * 0.6)
        _fill(canvas, corners * (w, h) + (x, y), things[rng.integers(0, 6)])
    edge = rng.uniform(0.55, 0.95)
    grain = noise(rng, size, 1.4, 1, rng.uniform(3, 10), rng.normal(0, 0.1))
    boards = ((rows - edge) / 0.4 * rng.integers(1, 5)) % 1 < 0.06
    table = ramp(0.5 + 0.2 * grain - 0.25 * boards, floor)
    line = edge + rng.normal(0, 0.06) * (columns - 0.5)
    return mix(_unit(canvas), table, np.clip((rows - line) * size + 0.5, 0, 1))


def town(rng: np.random.Generator, size: int) -> Colours:
    """Buildings with rows of windows, and a street."""
    picture = landscape(rng, size)
    canvas = (255 * np.clip(picture, 0, 1)).astype(np.uint8)
    square = np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]])
    walls = palette(rng, 6, vivid=rng.beta(1, 3))
    base = rng.uniform(0.6, 1.0)
    for _ in range(rng.integers(2, 6)):
        w, h, x = rng.uniform(0.15, 0.5), rng.uniform(0.25, 0.9), rng.uniform(-0.1, 0.9)
        wall, pane = walls[rng.integers(0, 6)], walls[rng.integers(0, 6)] * rng.uniform(0.3, 1)
        _fill(canvas, square * (w, h) + (x, base - h), wall)
        across, down = int(rng.integers(2, 5)), int(rng.integers(2, 6))
        for k in range(across * down):
            corner = np.array([x + w * (k % across + 0.25) / across, base - h * (1 - (k // across + 0.2) / down)])
            _fill(canvas, square * (w / across * 0.5, h / down * 0.55) + corner, pane * rng.uniform(0.8, 1.2))
    grain = 1 + 0.06 * noise(rng, size, 1.0)[..., None]
    return _unit(canvas) * grain


def weave(rng: np.random.Generator, size: int) -> Colours:
    """A regular pattern, warped and shaded: cloth, tiles, bricks, fence."""
    rows, columns = grid(size)
    colours = palette(rng, 3)
    lean, across, down = rng.uniform(0, np.pi), rng.uniform(2, 14), rng.choice([0.0, rng.uniform(2, 14)])
    bend = rng.uniform(0, 0.08) * noise(rng, size, 2.2, 2)
    u = (np.cos(lean) * columns + np.sin(lean) * rows + bend) * across
    v = (np.cos(lean) * rows - np.sin(lean) * columns + bend) * down
    wave = np.sin(2 * np.pi * u) + np.sin(2 * np.pi * v)
    sharp = rng.uniform(0.3, 4)
    field = 0.5 + 0.4 * np.tanh(sharp * wave) + 0.06 * noise(rng, size)
    shade = 1 + rng.uniform(0.05, 0.35) * noise(rng, size, 2.2, 2)
    return np.clip(ramp(field, colours) * shade[..., None], 0, 1)


BACKGROUNDS: tuple[Callable[[np.random.Generator, int], Colours], ...] = (
    texture, studio, bokeh, bokeh, leaves, clutter, clutter, landscape, landscape, room, town, weave,
)
