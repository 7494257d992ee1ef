"""The embedded world of targets: procedurally drawn scenes with exact masks, windows and details.

A scene is surroundings, one or several objects of a kind, shading and shadow, and a camera (light, tone, blur,
grain). It is a function of a seed alone: the same composition at every size.
"""
from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .backgrounds import BACKGROUNDS
from .storage import Picture, window_of
from .subjects import SUBJECTS, Layer
from .textures import Colours, Field, grid, mix, noise, soften

SPLIT_STREAMS = {"train": 0, "test": 1}


def draw_scene(size: int, index: int, seed: int = 0, split: str = "train") -> Picture:
    """Scene number `index` of a split: image, mask and focus map uint8, and the window of the mask.

    The focus map is 255 on what was drawn as a detail (eyes, beaks, stripes, wheels) and faint on the object.
    """
    rng = np.random.default_rng([seed, SPLIT_STREAMS[split], index])
    picture = BACKGROUNDS[rng.integers(len(BACKGROUNDS))](rng, size)
    if rng.random() < 0.3:
        picture = soften(picture, rng.uniform(0.005, 0.03))
    mask = np.zeros((size, size), np.float32)
    detail = np.zeros((size, size), np.float32)
    for layer in _objects(rng, size):
        cover = layer.mask.astype(np.float32) / 255
        picture = _place(rng, picture, layer, cover)
        mask = np.maximum(mask, cover)
        detail = np.maximum(detail * (1 - cover), layer.detail.astype(np.float32) / 255)
    picture = _photograph(rng, picture)
    image = np.round(255 * picture).astype(np.uint8)
    mask_bytes = np.round(255 * mask).astype(np.uint8)
    focus = np.round(np.maximum(255 * np.minimum(detail, mask), 32 * mask)).astype(np.uint8)
    return Picture(image, mask_bytes, focus, window_of(mask_bytes))


def _objects(rng: np.random.Generator, size: int) -> list[Layer]:
    """One object, or a group of a kind from far to near."""
    draw = SUBJECTS[rng.integers(len(SUBJECTS))]
    count = int(rng.choice([1, 2, 3], p=[0.75, 0.15, 0.1]))
    largest = 0.5 if count == 1 else 0.34
    layers = []
    for scale in np.sort(rng.uniform(0.16, largest, count)):
        middle = np.clip(rng.normal(0.5, 0.13 if count == 1 else 0.22, 2), 0.2, 0.8)
        turn, mirror = rng.normal(0, 0.15), rng.choice([-1.0, 1.0])
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        aspect = rng.uniform(0.85, 1.15)
        matrix = size * np.array([[cos * mirror * aspect, -sin, middle[0]], [sin * mirror * aspect, cos, middle[1]]])
        layer = Layer(size, matrix)
        draw(rng, layer)
        layers.append(layer)
    return layers


def _place(rng: np.random.Generator, picture: Colours, layer: Layer, cover: Field) -> Colours:
    """The object on the picture: its shadow, its texture, and light that models its body."""
    size = cover.shape[0]
    light = rng.uniform(0, 2 * np.pi)
    picture = picture * (1 - rng.uniform(0.1, 0.6) * _shadow(cover, light, rng.uniform(0.01, 0.08)))[..., None]
    body = soften(cover, rng.uniform(0.02, 0.08))
    slope = cv2.Sobel(body, cv2.CV_32F, 1, 0) * np.cos(light) + cv2.Sobel(body, cv2.CV_32F, 0, 1) * np.sin(light)
    strength = rng.uniform(0.1, 0.6) * size / 20
    fur = rng.uniform(0.02, 0.22) * noise(rng, size, rng.choice((1.0, 1.4, 1.8)), rng.uniform(0.4, 1.5),
                                          rng.choice((1.0, 4.0)))
    shade = np.clip(1 + strength * slope + fur, 0.25, 1.6)
    colour = layer.colour.astype(np.float32) / 255 * shade[..., None]
    return picture * (1 - cover)[..., None] + np.minimum(colour, cover[..., None])


def _shadow(cover: Field, light: float, reach: float) -> Field:
    """The object's silhouette, moved away from the light and blurred."""
    size = cover.shape[0]
    move = np.array([[1, 0, -reach * size * np.cos(light)], [0, 1, reach * size * np.sin(light) * 0.5 + reach * size]])
    return soften(cv2.warpAffine(cover, move, (size, size)), reach * 0.7)


def _photograph(rng: np.random.Generator, picture: Colours) -> Colours:
    """The camera: uneven light, vignette, tone curve, colour cast, a little blur and grain."""
    size = picture.shape[0]
    rows, columns = grid(size)
    field = 1 + rng.uniform(0, 0.25) * noise(rng, size, 2.2, rng.uniform(1, 4))
    field *= 1 - rng.uniform(0, 0.9) * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2) * (rng.random() < 0.4)
    cast = 1 + rng.normal(0, 0.05, 3)
    picture = np.clip(picture * field[..., None] * cast, 0, 1).astype(np.float32)
    tone = np.linspace(0, 1, 256) ** rng.uniform(0.65, 1.6)
    lift, gain = rng.uniform(0, 0.08), rng.uniform(0.85, 1.0)
    picture = np.interp(picture, np.linspace(0, 1, 256), lift + (gain - lift) * tone).astype(np.float32)
    if rng.random() < 0.5:
        picture = soften(picture, rng.uniform(0.002, 0.006))
    grain = rng.uniform(0, 0.02) * noise(rng, size, 1.0, 0.5)
    return np.clip(picture + grain[..., None], 0, 1)
