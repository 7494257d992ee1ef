"""The embedded world's other objects.

Each is a function of (rng, layer) that draws in its own unit coordinates: x to the right and y downwards, within
about [-1, 1] both ways.
"""
from __future__ import annotations

import numpy as np

from .layer import Layer, blob_outline, oval
from .textures import palette


def car(rng: np.random.Generator, layer: Layer) -> None:
    """A car from the side."""
    paint = palette(rng, 1, vivid=rng.uniform(0, 1), low=0.1, high=0.95)[0]
    glass = palette(rng, 1, hue=0.57, vivid=0.3, low=0.05, high=0.6)[0]
    roof, nose = rng.uniform(0.3, 0.55), rng.uniform(0.0, 0.15)
    back, front = rng.uniform(-0.85, -0.5), rng.uniform(0.3, 0.55)
    top_back, top_front = back + rng.uniform(0.08, 0.35), front - rng.uniform(0.2, 0.45)
    layer.polygon([[back, -0.05], [top_back, -roof], [top_front, -roof], [front, -0.03]], paint * 0.9)
    layer.polygon([[-0.98, 0.0], [-0.9, -0.08], [front, -0.08], [0.92, nose], [1, 0.12 + nose / 2], [0.97, 0.32],
                   [-0.97, 0.32]], paint)
    middle = (top_back + top_front) / 2
    for left, right, low_left, low_right in ((top_back + 0.03, middle - 0.03, back + 0.1, middle - 0.03),
                                             (middle + 0.03, top_front - 0.02, middle + 0.03, front - 0.08)):
        layer.polygon([[left, -roof + 0.05], [right, -roof + 0.05], [low_right, -0.08], [low_left, -0.08]], glass)
        layer.polygon([[left, -roof + 0.05], [(left + right) / 2, -roof + 0.05], [low_left, -0.12]], glass + 0.25)
    layer.line([[-0.95, 0.05], [0.9, 0.1]], 0.015, paint * 0.5, True)
    layer.line([[middle, -0.08], [middle, 0.28]], 0.015, paint * 0.5, True)
    layer.polygon([[0.86, 0.05], [0.98, 0.1], [0.96, 0.17], [0.85, 0.13]], (0.98, 0.95, 0.8), True)
    layer.polygon([[-0.98, 0.03], [-0.9, 0.02], [-0.9, 0.12], [-0.98, 0.12]], (0.8, 0.1, 0.08), True)
    layer.polygon([[-0.97, 0.27], [0.97, 0.27], [0.95, 0.36], [-0.95, 0.36]], paint * 0.3)
    wheel = rng.uniform(0.17, 0.23)
    for x in (-0.58, 0.58):
        layer.ellipse(x, 0.32, wheel, wheel, (0.05, 0.05, 0.06))
        layer.ellipse(x, 0.32, wheel * 0.6, wheel * 0.6, (0.6, 0.61, 0.63), detail=True)
        layer.ellipse(x, 0.32, wheel * 0.2, wheel * 0.2, (0.2, 0.2, 0.22), detail=True)


def flower(rng: np.random.Generator, layer: Layer) -> None:
    """One flower head on its stem."""
    petals = palette(rng, 3, vivid=rng.uniform(0.3, 1), low=0.3)
    stem = palette(rng, 2, hue=rng.normal(0.3, 0.04), vivid=0.6, low=0.1, high=0.7)
    layer.line([[0.0, 0.0], [0.08, 0.7], [rng.uniform(-0.2, 0.2), 1.5]], 0.07, stem[0])
    layer.ellipse(0.3, 0.9, 0.35, 0.1, stem[1], angle=-0.5)
    count, long = rng.integers(5, 18), rng.uniform(0.38, 0.5)
    for ring, reach in ((0, 1.0), (1, 0.72)):
        for k in range(count):
            turn = 2 * np.pi * (k + ring / 2) / count + rng.normal(0, 0.05)
            tone = petals[(k + ring) % 3] * rng.uniform(0.85, 1.1)
            layer.ellipse(long * reach * np.cos(turn), long * reach * np.sin(turn), long * reach,
                          min(1.9 / count, 0.25), tone, turn)
    heart = palette(rng, 2, hue=rng.uniform(0.05, 0.17), vivid=0.8, low=0.15, high=0.9)
    layer.ellipse(0, 0, 0.24, 0.24, heart[1], detail=True)
    for _ in range(14):
        x, y = rng.normal(0, 0.09, 2)
        layer.ellipse(x, y, 0.025, 0.025, heart[0], detail=True)


def tree(rng: np.random.Generator, layer: Layer) -> None:
    """A tree: a trunk and clumps of leaves."""
    bark = palette(rng, 1, hue=0.07, vivid=0.4, low=0.08, high=0.5)[0]
    leaves = palette(rng, 5, hue=rng.choice([0.28, 0.1, 0.95]), vivid=rng.uniform(0.3, 0.8), high=0.85)
    layer.polygon([[-0.08, -0.2], [0.08, -0.2], [0.15, 1], [-0.15, 1]], bark)
    for _ in range(4):
        layer.line(rng.uniform([[0.0, 0.0], [-0.6, -0.5]], [[0.0, 0.4], [0.6, 0.0]]), 0.06, bark * 0.9)
    for k in range(45):
        x, y = rng.normal(0, 0.36), rng.normal(-0.42, 0.25)
        tone = leaves[min(4, max(0, int(2.2 - 3 * (y + 0.42) + rng.normal(0, 0.8))))]
        layer.polygon(blob_outline(rng, 0.4, 16) * rng.uniform(0.07, 0.22) + (x, y), tone, k > 38)


def vessel(rng: np.random.Generator, layer: Layer) -> None:
    """A cup, vase or bottle: a body of revolution with bands."""
    colours = palette(rng, 4)
    heights = np.linspace(-0.8, 0.8, 9)
    widths = np.clip(0.4 + np.cumsum(rng.normal(0, 0.1, 9)), 0.15, 0.75)
    smooth = np.linspace(-0.8, 0.8, 40)
    wide = np.interp(smooth, heights, np.convolve(np.pad(widths, 1, mode="edge"), [0.25, 0.5, 0.25], "valid"))
    if rng.random() < 0.4:
        layer.line(oval(wide[20] + 0.1, 0.0, 0.3, 0.35)[np.arange(-9, 9)], 0.1, colours[1])
    outline = np.concatenate([np.stack([wide, smooth], 1), np.stack([-wide, smooth], 1)[::-1]])
    layer.polygon(outline, colours[2])
    for k in rng.choice(36, rng.integers(1, 5), replace=False):
        band = slice(k, k + int(rng.integers(2, 5)))
        edge = np.stack([wide[band], smooth[band]], 1)
        layer.polygon(np.concatenate([edge, (edge * (-1, 1))[::-1]]), colours[rng.integers(0, 4)], True)
    layer.ellipse(0, -0.8, wide[0], wide[0] * 0.22, colours[3])
    layer.ellipse(0, -0.78, wide[0] * 0.85, wide[0] * 0.16, colours[0] * 0.5)


def stones(rng: np.random.Generator, layer: Layer) -> None:
    """Smooth random bodies with veins."""
    colours = palette(rng, 5)
    for _ in range(rng.integers(1, 4)):
        centre, radius = rng.normal(0, 0.25, 2), rng.uniform(0.4, 0.8)
        layer.polygon(blob_outline(rng, rng.uniform(0.1, 0.6)) * radius + centre, colours[rng.integers(1, 5)])
    for _ in range(rng.integers(0, 6)):
        steps = np.cumsum(rng.normal(0, 0.12, (6, 2)), 0) + centre
        steps = centre + (steps - centre) * min(1, 0.5 * radius / max(np.abs(steps - centre).max(), 1e-6))
        layer.line(steps, rng.uniform(0.02, 0.06), colours[rng.integers(0, 5)], detail=True)


def crystal(rng: np.random.Generator, layer: Layer) -> None:
    """A faceted body or a box: flat faces, each with a tone of its own."""
    colours = palette(rng, 6)
    count = rng.integers(4, 9)
    turn = np.sort(rng.uniform(0, 2 * np.pi / count, count) + np.arange(count) * 2 * np.pi / count)
    rim = np.stack([np.cos(turn), np.sin(turn)], 1) * rng.uniform(0.6, 1.0, (count, 1))
    apex = rng.normal(0, 0.2, 2)
    for k in range(count):
        layer.polygon([rim[k], rim[(k + 1) % count], apex], colours[rng.integers(0, 6)] * rng.uniform(0.7, 1.1))
    for point in rim:
        layer.line([apex, point], 0.02, colours[-1], detail=True)
