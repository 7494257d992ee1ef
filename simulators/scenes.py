"""The embedded world of targets: procedurally drawn scenes with exact masks, windows and details.

A scene is surroundings, one or several objects of a kind, shading and shadow, and a camera (light, tone, blur,
grain). It is a function of a seed alone: the same composition at every size.
"""
from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from .backgrounds import BACKGROUNDS
from .creatures import bird, butterfly, face, fish, quadruped
from .layer import Layer
from .storage import Picture, window_of
from .textures import Field, Planes, canvas, defocus, grid, noise, planes, soften
from .things import car, crystal, flower, stones, tree, vessel

SPLIT_STREAMS = {"train": 0, "test": 1}
SUBJECTS: tuple[Callable[[np.random.Generator, Layer], None], ...] = (
    bird, bird, quadruped, face, face, car, flower, vessel, fish, tree, stones, crystal, butterfly,
)


def draw_scene(size: int, index: int, seed: int = 0, split: str = "train") -> Picture:
    """Scene number `index` of a split: image, mask and focus map uint8, and the window of the mask.

    The focus map is 255 on what was drawn as a detail (eyes, beaks, stripes, wheels) and faint on the object.
    """
    rng = np.random.default_rng([seed, SPLIT_STREAMS[split], index])
    picture = BACKGROUNDS[rng.integers(len(BACKGROUNDS))](rng, size)
    if rng.random() < 0.2:
        picture = defocus(picture, rng.uniform(0.003, 0.02))
    mask = np.zeros((size, size), np.float32)
    detail = np.zeros((size, size), np.float32)
    for layer in _objects(rng, size):
        cover = layer.paint[..., 3].astype(np.float32) / 255
        picture = _place(rng, picture, layer, cover)
        mask = np.maximum(mask, cover)
        detail = np.maximum(detail * (1 - cover), layer.detail.astype(np.float32) / 255)
    image = canvas(_photograph(rng, picture))
    mask_bytes = np.round(255 * mask).astype(np.uint8)
    focus = np.round(np.maximum(255 * np.minimum(detail, mask), 32 * mask)).astype(np.uint8)
    return Picture(image, mask_bytes, focus, window_of(mask_bytes))


def _objects(rng: np.random.Generator, size: int) -> list[Layer]:
    """One object, or a group of a kind from far to near."""
    draw = SUBJECTS[rng.integers(len(SUBJECTS))]
    count = int(rng.choice([1, 2, 3], p=[0.75, 0.15, 0.1]))
    largest = (0.34, 0.45, 0.75)[rng.integers(3)] if count == 1 else 0.34
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


def _place(rng: np.random.Generator, picture: Planes, layer: Layer, cover: Field) -> Planes:
    """The object on the picture: its shadow, its texture, and light that models its body."""
    size = cover.shape[0]
    light = rng.uniform(0, 2 * np.pi)
    across, down = math.cos(light), math.sin(light)
    if layer.prop.any():
        picture = picture * (1 - layer.prop[..., 3] / np.float32(255)) + planes(layer.prop[..., :3])
    picture = picture * (1 - rng.uniform(0.1, 0.6) * _shadow(cover, across, down, rng.uniform(0.01, 0.08)))
    body = soften(cover, rng.uniform(0.02, 0.08))
    slope = cv2.Sobel(body, cv2.CV_32F, 1, 0) * across + cv2.Sobel(body, cv2.CV_32F, 0, 1) * down
    fur = noise(rng, size, rng.choice((1.0, 1.4, 1.8)), rng.uniform(0.4, 1.5), rng.choice((1.0, 4.0)))
    shade = np.clip(1 + rng.uniform(0.1, 0.6) * size / 20 * slope + rng.uniform(0.02, 0.22) * fur, 0.25, 1.6)
    return picture * (1 - cover) + np.minimum(planes(layer.paint[..., :3]) * shade, cover)


def _shadow(cover: Field, across: float, down: float, reach: float) -> Field:
    """The object's silhouette, moved away from the light and blurred."""
    size = cover.shape[0]
    move = np.array([[1, 0, -reach * size * across], [0, 1, reach * size * (1 - 0.5 * down)]])
    return soften(cv2.warpAffine(cover, move, (size, size)), reach * 0.7)


def _photograph(rng: np.random.Generator, picture: Planes) -> Planes:
    """The camera: uneven light, vignette, tone curve, colour cast, a little blur and grain."""
    size = picture.shape[1]
    rows, columns = grid(size)
    light = 1 + rng.uniform(0, 0.2) * noise(rng, size, 2.2, rng.uniform(1, 4))
    if rng.random() < 0.4:
        light *= 1 - rng.uniform(0, 0.9) * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2)
    cast = rng.normal(1, 0.05, (3, 1, 1)).astype(np.float32)
    picture = np.clip(picture * light * cast, 0, 1)
    picture = cv2.pow(picture.reshape(-1, size), rng.uniform(0.65, 1.6)).reshape(picture.shape)
    contrast = min(rng.uniform(0.13, 0.33) / max(float(picture.std()), 1e-3), 2.5)
    picture = (picture - picture.mean()) * contrast + rng.uniform(0.25, 0.65)
    if rng.random() < 0.3:
        picture = defocus(picture, rng.uniform(0.002, 0.006))
    return picture + rng.uniform(0, 0.03) * noise(rng, size, 1.0, 0.5)
