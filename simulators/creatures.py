"""The embedded world's living objects.

Each is a function of (rng, layer) that draws in its own unit coordinates: x to the right and y downwards, within
about [-1, 1] both ways.
"""
from __future__ import annotations

import numpy as np

from .layer import Colour, Layer, oval
from .textures import palette


def bird(rng: np.random.Generator, layer: Layer) -> None:
    """A bird on its branch, seen from the side."""
    dark, body, wing, light = palette(rng, 4, vivid=rng.uniform(0.1, 0.9), low=0.08)
    beak = palette(rng, 1, hue=rng.uniform(0.05, 0.14), vivid=rng.uniform(0.2, 0.9), low=0.3, high=0.95)[0]
    tilt, plump = rng.uniform(-0.5, 0.3), rng.uniform(0.28, 0.45)
    bark = palette(rng, 1, hue=0.08, vivid=0.4, low=0.15, high=0.6)[0]
    rest = 0.15 + plump
    if rng.random() < 0.6:
        layer.support([[-1.5, rest + rng.uniform(0, 0.3)], [0, rest + 0.2], [1.5, rest + rng.uniform(0, 0.4)]],
                      rng.uniform(0.06, 0.16), bark)
    for side in (-0.1, 0.08):
        layer.line([[side, rest - 0.1], [side + 0.03, rest + 0.22]], 0.035, bark * 0.6)
    tail = rng.uniform(0.6, 1.1)
    layer.polygon([[-0.35, 0.05], [-0.45 - tail * 0.6, 0.2 + 0.5 * tail * (0.4 + tilt)],
                   [-0.3 - tail * 0.6, 0.32 + 0.5 * tail * (0.4 + tilt)], [-0.1, 0.32]], dark)
    layer.ellipse(-0.02, 0.15, 0.58, plump, body, angle=tilt * 0.6)
    layer.ellipse(0.1, 0.25, 0.4, plump * 0.7, light, angle=tilt * 0.6)
    head = rng.uniform(0.22, 0.32)
    hx, hy = 0.42, -0.24 + tilt * 0.15
    layer.ellipse(0.26, -0.03, 0.33, 0.24, body, angle=-0.9)
    layer.ellipse(hx, hy, head, head * 0.95, body if rng.random() < 0.6 else dark)
    if rng.random() < 0.3:
        layer.polygon([[hx - 0.2, hy - 0.1], [hx - 0.15, hy - 0.5], [hx + 0.12, hy - 0.2]], dark)
    long = rng.uniform(0.15, 0.6)
    layer.polygon([[hx + head * 0.8, hy - 0.07], [hx + head + long, hy + 0.04], [hx + head * 0.8, hy + 0.1]],
                  beak, detail=True)
    layer.line([[hx + head * 0.8, hy + 0.02], [hx + head + long * 0.9, hy + 0.04]], 0.015, beak * 0.4, detail=True)
    layer.polygon(oval(-0.15, 0.12, 0.46, plump * 0.62, 0.25 + tilt * 0.6), wing)
    for k in range(rng.integers(2, 7)):
        x = -0.45 + 0.1 * k
        layer.line([[x, 0.08 + 0.02 * k], [x - 0.16, 0.26]], 0.03, (dark, light)[k % 2], detail=True)
    eye(layer, hx + head * 0.3, hy - 0.04, head * rng.uniform(0.16, 0.26), palette(rng, 1, low=0.2, high=0.7)[0])


def quadruped(rng: np.random.Generator, layer: Layer) -> None:
    """A dog, cat, cow or horse, more or less, from the side; plain, striped or spotted."""
    dark, coat, other, light = palette(rng, 4, vivid=rng.uniform(0.05, 0.7), low=0.08)
    girth, leg, neck = rng.uniform(0.2, 0.36), rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.5)
    for x, tone in ((-0.48, 0.7), (0.28, 0.7), (-0.36, 1.0), (0.4, 1.0)):
        foot = x + rng.uniform(-0.12, 0.12)
        layer.line([[x, 0.1], [(x + foot) / 2 + 0.03, 0.1 + leg / 2], [foot, 0.12 + leg]], 0.13, coat * tone)
    layer.line([[-0.55, -0.05], [-0.85, rng.uniform(-0.4, 0.2)], [-0.95, rng.uniform(-0.5, 0.5)]], 0.07, coat * 0.85)
    layer.ellipse(-0.05, 0.02, 0.6, girth, coat, angle=rng.uniform(-0.1, 0.1))
    layer.ellipse(-0.05, 0.12 + girth * 0.3, 0.45, girth * 0.5, light * 0.6 + coat * 0.4)
    hx, hy = 0.55 + 0.25 * neck, -0.1 - neck
    layer.line([[0.35, -0.05], [hx, hy]], 0.3, coat)
    pattern = rng.random()
    for _ in range(rng.integers(4, 12) if pattern < 0.6 else 0):
        x, y = rng.uniform(-0.5, 0.35), rng.uniform(-0.6, 0.6) * girth
        if pattern < 0.3:
            layer.line([[x, y - 0.12], [x + rng.uniform(-0.05, 0.05), y + 0.12]], 0.05, dark, detail=True)
        else:
            layer.ellipse(x, y, rng.uniform(0.03, 0.12), rng.uniform(0.03, 0.09), other, detail=True)
    for ear in (-0.1, 0.06):
        layer.polygon([[hx + ear - 0.07, hy - 0.1], [hx + ear - 0.02, hy - rng.uniform(0.28, 0.42)],
                       [hx + ear + 0.1, hy - 0.12]], coat * 0.75)
    layer.ellipse(hx, hy, 0.22, 0.19, coat)
    layer.ellipse(hx + 0.22, hy + 0.07, rng.uniform(0.12, 0.2), 0.1, light * 0.5 + coat * 0.5, angle=0.3)
    layer.ellipse(hx + 0.34, hy + 0.06, 0.05, 0.045, (0.05, 0.04, 0.05), detail=True)
    layer.line([[hx + 0.36, hy + 0.13], [hx + 0.2, hy + 0.16]], 0.02, dark * 0.5, detail=True)
    eye(layer, hx + 0.08, hy - 0.05, 0.045, dark)


def face(rng: np.random.Generator, layer: Layer) -> None:
    """A head and shoulders, human or cat, from the front."""
    human = rng.random() < 0.6
    skin = palette(rng, 1, hue=rng.normal(0.06, 0.015), vivid=rng.uniform(0.2, 0.55), low=0.3, high=0.95)[0] \
        if human else palette(rng, 1, vivid=rng.uniform(0, 0.5), low=0.1, high=0.9)[0]
    hair = palette(rng, 1, hue=rng.normal(0.07, 0.03), vivid=0.4, low=0.03, high=0.7)[0]
    cloth = palette(rng, 3)
    wide, tall = rng.uniform(0.38, 0.48), rng.uniform(0.5, 0.6)
    layer.polygon([[-1, 1.3], [-0.85, 0.75], [-0.3, 0.5], [0.3, 0.5], [0.85, 0.75], [1, 1.3]], cloth[1])
    layer.polygon([[-0.28, 0.5], [0, rng.uniform(0.7, 1.1)], [0.28, 0.5]], cloth[2])
    if human:
        layer.ellipse(0, -0.2, wide * rng.uniform(1.1, 1.4), tall * rng.uniform(1.05, 1.4), hair)
        layer.polygon([[-0.17, 0.1], [0.17, 0.1], [0.25, 0.6], [-0.25, 0.6]], skin * 0.8)
    else:
        for side in (-1, 1):
            layer.polygon([[side * 0.05, -0.55], [side * 0.42, -0.95], [side * 0.5, -0.2]], skin * 0.7)
            layer.polygon([[side * 0.18, -0.5], [side * 0.38, -0.78], [side * 0.4, -0.35]], (0.8, 0.55, 0.5), True)
    layer.ellipse(0, -0.05, wide, tall, skin)
    if human:
        part = rng.uniform(-0.3, 0.3)
        fringe = oval(0, -0.4, wide * 1.08, tall * 0.5)
        layer.polygon(np.concatenate([fringe[14:], [[wide * 0.9, -0.3], [part, -0.5], [-wide * 0.9, -0.25]]]), hair)
    iris, lip = palette(rng, 1, low=0.15, high=0.6)[0], skin * (0.85, 0.55, 0.55)
    apart, open_eye = rng.uniform(0.15, 0.2), rng.uniform(0.05, 0.085) * (1.0 if human else 1.4)
    for side in (-1, 1):
        eye(layer, side * apart, -0.1, open_eye, iris)
        if human:
            layer.line([[side * (apart - 0.1), -0.22], [side * (apart + 0.1), -0.24]], 0.035, hair * 0.7, True)
        else:
            for k in range(3):
                layer.line([[side * 0.12, 0.17 + 0.03 * k], [side * 0.75, 0.08 + 0.11 * k]], 0.012, skin + 0.3, True)
    layer.polygon([[0.02, -0.08], [0.09, 0.14], [-0.07, 0.14]], skin * 0.82, True)
    layer.ellipse(0, 0.28, rng.uniform(0.1, 0.18), rng.uniform(0.02, 0.07), lip, detail=True)


def fish(rng: np.random.Generator, layer: Layer) -> None:
    """A fish from the side, striped or scaled."""
    dark, body, fin, light = palette(rng, 4, vivid=rng.uniform(0.2, 1))
    deep = rng.uniform(0.22, 0.5)
    layer.polygon([[-0.45, 0], [-0.95, -0.4], [-0.82, 0], [-0.95, 0.4]], fin)
    layer.polygon([[-0.3, -deep * 0.8], [0.05, -deep - 0.25], [0.35, -deep * 0.7]], fin)
    layer.ellipse(0.1, 0, 0.68, deep, body)
    layer.ellipse(0.12, deep * 0.4, 0.5, deep * 0.45, light)
    for k in range(rng.integers(0, 6)):
        x = -0.3 + 0.16 * k
        half = deep * np.sqrt(max(1 - ((x - 0.1) / 0.68) ** 2, 0)) * 0.9
        layer.line([[x, -half], [x + 0.03, 0], [x, half]], 0.06, dark, detail=True)
    layer.polygon([[0.2, 0.05], [-0.1, 0.15], [-0.05, 0.32]], fin * 0.9)
    eye(layer, 0.52, -deep * 0.25, 0.07, (0.7, 0.6, 0.2))


def butterfly(rng: np.random.Generator, layer: Layer) -> None:
    """A butterfly from above: symmetric wings with eyespots."""
    dark, wing, band, light = palette(rng, 4, vivid=rng.uniform(0.3, 1))
    spots = rng.uniform([0.35, -0.55, 0.03], [0.8, 0.5, 0.11], (rng.integers(2, 6), 3))
    lift = rng.uniform(0.3, 0.7)
    for side in (-1, 1):
        mirror = np.array([side, 1.0])
        for x, y, a, b, angle in ((0.52, -lift * 0.6, 0.55, 0.32, -0.6), (0.4, 0.35, 0.42, 0.28, 0.7)):
            layer.polygon(oval(x, y, a, b, angle) * mirror, dark)
            layer.polygon(oval(x, y, a * 0.85, b * 0.82, angle) * mirror, wing)
            layer.polygon(oval(x * 0.8, y * 0.8, a * 0.5, b * 0.5, angle) * mirror, band)
        for x, y, r in spots:
            layer.ellipse(side * x, y * lift, r, r, light, detail=True)
            layer.ellipse(side * x, y * lift, r * 0.5, r * 0.5, dark, detail=True)
        layer.line([[0, -0.3], [side * 0.15, -0.6], [side * 0.25, -0.75]], 0.02, dark)
    layer.ellipse(0, 0, 0.07, 0.42, dark * 0.7)


def eye(layer: Layer, x: float, y: float, radius: float, iris: Colour) -> None:
    """A round eye with a highlight: a detail."""
    layer.ellipse(x, y, radius * 1.25, radius * 1.1, (0.9, 0.88, 0.84), detail=True)
    layer.ellipse(x, y, radius, radius, iris, detail=True)
    layer.ellipse(x, y, radius * 0.55, radius * 0.6, (0.03, 0.03, 0.04), detail=True)
    layer.ellipse(x - radius * 0.3, y - radius * 0.3, radius * 0.22, radius * 0.22, (1, 1, 1), detail=True)
