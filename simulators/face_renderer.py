"""Faces drawn from forty numbers, without weights or files, differentiably."""

import torch
from torch import Tensor, nn

from .face_factors import FACTORS
from .face_features import draw_eyes, draw_glasses, draw_mouth
from .face_hair import draw_hair, hair_field
from .face_head import draw_scene, head_shape
from .face_layers import Canvas
from .face_measures import MEASURES
from .face_palette import Palette
from .face_traits import Measures

TOGETHER = 64 * 64**2  # pixels that a processor draws at a time: its cache holds no more
EDGE = 1.8  # sharpness of an edge per pixel of the size: soft over about two pixels


class FaceRenderer(nn.Module):
    """Factors ``[B, 40]`` (see `face_factors.NAMES`; degrees beyond [0, 5] are cut) to faces ``[B, 3, size, size]``.

    A picture is a pile of flat colours, each with an alpha, painted from the back to the front: the scene, the eyes,
    nose and mouth on the surface of the head, the hair, the glasses. Raises ValueError for factors of another shape.
    """

    grid: Tensor  # [3, size * size]: column and row of the pixels in [-1, 1], and ones

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        self.size = size
        ticks = (torch.arange(size) + 0.5) / size * 2 - 1
        rows, columns = torch.meshgrid(ticks, ticks, indexing="ij")
        grid = torch.stack([columns, rows, torch.ones_like(rows)]).flatten(1)
        self.register_buffer("grid", grid, persistent=False)
        self.measures = Measures(**MEASURES)
        self.palette = Palette()

    def forward(self, factors: Tensor) -> Tensor:
        if factors.ndim != 2 or factors.shape[1] != FACTORS:
            raise ValueError(f"factors of faces are [B, {FACTORS}], got {tuple(factors.shape)}")
        return torch.cat([self.draw(part) for part in self.parts(factors)])

    def parts(self, batch: Tensor) -> tuple[Tensor, ...]:
        """``batch`` ``[B, ...]`` in as many parts as are best drawn one after the other."""
        return batch.split(max(1, TOGETHER // self.size**2 if batch.device.type == "cpu" else len(batch)))

    def draw(self, factors: Tensor) -> Tensor:
        """The faces of one part."""
        m = self.measures(factors)
        colours = self.palette(factors)
        x, y = self._pose(m)
        sharp = EDGE * self.size
        head = head_shape(m, x, y)
        hair = hair_field(m, x, y)
        canvas = Canvas(factors.shape[0], self.size, colours, sharp)
        draw_scene(canvas, m, head, hair)
        across, down = x - m["yaw"] * head.depth, y - m["pitch"] * head.depth
        draw_eyes(canvas, m, across, down, head)
        draw_mouth(canvas, m, across, down, head)
        draw_hair(canvas, hair, head.distance)
        draw_glasses(canvas, m, across, down, head)
        return (canvas.image * m["exposure"][:, None]).clamp(0, 1)

    def _pose(self, m: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Columns and rows of the pixels in head units, turned with the head, each ``[B, size, size]``."""
        zoom, roll = m["zoom"].flatten(), m["roll"].flatten()
        cosine, sine = zoom * torch.cos(roll), zoom * torch.sin(roll)
        zero = torch.zeros_like(zoom)
        turn = torch.stack([cosine, sine, zero, -sine, cosine, zero + 0.03], 1).view(-1, 2, 3)
        x, y = (turn @ self.grid).view(-1, 2, self.size, self.size).unbind(1)
        return x, y
