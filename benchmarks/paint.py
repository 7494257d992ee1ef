"""A photograph painted: first whole, then in windows where it is still far from the photograph.

Learning to Paint's test script squashes the photograph into a square, and paints half of the strokes on the whole and
half on a fixed grid of tiles, as many on each. Here the picture keeps its shape (the rest of the square canvas repeats
its edge, and is neither shown nor counted), and windows of a tile's size go where the error is largest, elsewhere in
every round, so that strokes are spent where they are needed. A stroke may leave its window: cut off at the edge it
would leave seams, and the L2 is the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..rewards.pixel import l2, psnr, ssim
from ..simulators.images import resize
from ..simulators.renderers import make_renderer
from ..simulators.strokes import Painting, moved, rounded

Corners = list[tuple[int, int]]  # top and left of windows, in pixels
STEPS_A_SIDE = 4  # places that a window may take within its own length
Paint = Callable[[Tensor, Tensor, int], Iterator[Tensor]]


@dataclass(frozen=True)
class Painter:
    """``paint(target, canvas, count)`` yields ``count`` strokes for images ``[B, 3, size, size]`` in [0, 1], in bundles
    ``[B, K, 13]``, each made for a canvas that has the earlier ones."""

    paint: Paint
    size: int = 128
    visit: int = 10  # strokes that it lays on a window before looking elsewhere
    renderer: str = "analytic"  # by which its strokes are laid


@dataclass(frozen=True)
class Budget:
    """How the strokes are shared out. Raises ValueError where they cannot be."""

    total: int
    grid: int = 4  # windows along the longest side
    whole: int = 150  # go on the whole picture first, but at most half of the total
    keep: float = 0.25  # painted in one round: the windows whose error is at least this share of the worst's

    def __post_init__(self) -> None:
        if not 1 <= self.grid <= 8:
            raise ValueError(f"grid must be 1 (the whole picture) to 8 windows along its longest side, got {self.grid}")
        least = 5 * (1 + self.grid**2) if self.grid > 1 else 1
        if self.total < least:
            raise ValueError(
                f"{self.total} strokes are too few for a grid of {self.grid}: it needs at least {least}, "
                "5 for the whole picture and as many for each of its tiles. Give more strokes or a smaller grid"
            )

    def shares(self) -> tuple[int, int]:
        """Strokes on the whole picture, and in windows."""
        whole = self.total if self.grid == 1 else min(self.whole, self.total // 10 * 5)
        return whole, self.total - whole


class Session:
    """A photograph ``[H, W, 3]`` uint8 being painted; ``painting`` is at any moment what there is so far."""

    def __init__(self, photo: NDArray[np.uint8], painter: Painter, budget: Budget):
        self.painter, self.budget = painter, budget
        side = painter.size * budget.grid
        height, width = (max(1, round(length * side / max(photo.shape[:2]))) for length in photo.shape[:2])
        self.painting = Painting(height, width, renderer=painter.renderer)
        picture = as_image(resize(photo, height, width))
        self.target = pad(picture, (0, side - width, 0, side - height), mode="replicate")  # [1, 3, side, side]
        self.canvas = torch.zeros_like(self.target)
        self.renderer = make_renderer(painter.renderer, side)

    def run(self) -> Iterator[int]:
        """Paint; yields the number of strokes so far, often."""
        whole, details = self.budget.shares()
        yield from self._paint([(0, 0)], self.painting.canvas, whole)
        while details:
            corners = self._worst_windows(max(1, details // self.painter.visit))
            count = min(self.painter.visit, details)
            yield from self._paint(corners, self.painter.size, count)
            details -= count * len(corners)

    def l2(self) -> float:
        """The mean squared error of what there is so far, at the size that it is painted at."""
        height, width = self.painting.height, self.painting.width
        return l2(self.canvas[..., :height, :width], self.target[..., :height, :width]).item()

    def _paint(self, corners: Corners, side: int, count: int) -> Iterator[int]:
        """``count`` strokes on each of the windows of ``side`` pixels at ``corners``, which do not overlap."""
        target, canvas = (self._look(image, corners, side) for image in (self.target, self.canvas))
        for bundle in self.painter.paint(target, canvas, count):
            self._add(bundle, corners, side)
            yield len(self.painting)

    def _look(self, image: Tensor, corners: Corners, side: int) -> Tensor:
        """The windows as the painter sees them, ``[B, 3, size, size]``."""
        windows = torch.cat([image[..., top : top + side, left : left + side] for top, left in corners])
        return interpolate(windows, size=(self.painter.size, self.painter.size), mode="area")

    def _add(self, bundle: Tensor, corners: Corners, side: int) -> None:
        """Lay ``bundle`` ``[B, K, 13]``, made in the windows, on the canvas. What leaves its window stays."""
        scale, canvas = side / self.painter.size, self.painting.canvas
        placed = [
            moved(strokes, self.painter.size, scale, (-top, -left), canvas)
            for strokes, (top, left) in zip(bundle, corners, strict=True)
        ]
        strokes = rounded(torch.stack(placed, 1).flatten(0, 1))  # all first strokes, then all second ones ...
        self.canvas = self.renderer.paint(self.canvas, strokes[None])
        self.painting = self.painting.add(strokes)

    def _worst_windows(self, most: int) -> Corners:
        """At most ``most`` windows of the largest errors that do not overlap."""
        height, width, side = self.painting.height, self.painting.width, self.painter.size
        error = (self.canvas - self.target).square().sum(1)[0].double()
        error[height:], error[:, width:] = 0, 0
        tops, lefts = starts(height, side), starts(width, side)
        integral = pad(error.cumsum(0).cumsum(1), (1, 0, 1, 0))
        rows = integral[tops + side] - integral[tops]
        inside = rows[:, lefts + side] - rows[:, lefts]  # [len(tops), len(lefts)]
        worst = inside.max()
        corners: Corners = []
        while len(corners) < most and (value := inside.max()) > 0 and value >= self.budget.keep * worst:
            row, column = divmod(int(inside.argmax()), len(lefts))
            corners.append((int(tops[row]), int(lefts[column])))
            near = ((tops - tops[row]).abs() < side)[:, None] & ((lefts - lefts[column]).abs() < side)
            inside = inside.masked_fill(near, -1)
        return corners or [(0, 0)]


def measure(picture: NDArray[np.uint8], photo: NDArray[np.uint8]) -> dict[str, float]:
    """l2, psnr and ssim of a painted ``picture`` ``[H, W, 3]`` and the photograph at its size."""
    image, target = as_image(picture), as_image(resize(photo, *picture.shape[:2]))
    return {name: metric(image, target).item() for name, metric in (("l2", l2), ("psnr", psnr), ("ssim", ssim))}


def starts(length: int, side: int) -> Tensor:
    """Where windows of ``side`` pixels may start along ``length``, the last one flush with the end."""
    last = max(0, length - side)
    return torch.unique(torch.tensor([*range(0, last, max(1, side // STEPS_A_SIDE)), last]))


def as_image(array: NDArray[np.uint8]) -> Tensor:
    """``[H, W, 3]`` uint8 as ``[1, 3, H, W]`` in [0, 1]."""
    return torch.tensor(array).permute(2, 0, 1)[None].float() / 255


def pixels(image: Tensor) -> NDArray[np.uint8]:
    """``[B, 3, H, W]`` in [0, 1] as ``[B, H, W, 3]`` uint8."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()
