"""Scenes of coloured shapes: 32 x 32 pixels in four cells, each empty or with one object."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import torch
from torch import Tensor

from .edit_language import COLOURS, SHAPES

CELL = 16  # pixels
SIZE = 2 * CELL
EMPTY = len(SHAPES)  # the shape of a cell without an object
LOOKS = (*(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS), "")  # the last is an empty cell's
RADII = (4.5, 5.5, 6.5)  # pixels
OFFSETS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))  # of an object from its cell's middle
PALETTE = torch.tensor([(220, 40, 40), (40, 170, 60), (50, 80, 220), (240, 210, 40), (150, 50, 180), (60, 200, 220)])
BACKGROUNDS = torch.tensor(
    [(240, 240, 235), (225, 205, 190), (190, 185, 175), (150, 150, 150), (70, 75, 85), (20, 22, 30)]
)


def silhouettes(radii: Sequence[float], offsets: Sequence[tuple[int, int]]) -> Tensor:
    """Opacity of each shape at each radius and offset, anti-aliased: [SHAPES, radii, offsets, CELL, CELL]."""
    fine = 8  # samples a pixel in each direction
    grid = (torch.arange(CELL * fine) + 0.5) / fine - CELL / 2
    row, column = torch.tensor(offsets, dtype=torch.float32).T[:, None, :, None, None]
    y, x, r = grid[:, None] - row, grid - column, torch.tensor(radii)[:, None, None, None]
    long, short = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
    circle = x.square() + y.square() <= r.square()
    square = long <= 0.9 * r
    triangle = (y <= 0.85 * r) & (x.abs() <= 0.6 * (y + r))
    cross = (short <= 0.38 * r) & (long <= r)
    inside = torch.stack([circle, square, triangle, cross]).float()
    return inside.unflatten(-1, (CELL, fine)).unflatten(-3, (CELL, fine)).mean((-1, -3))


@cache
def _opacities(device: torch.device) -> Tensor:
    """[SHAPES + 1, RADII, OFFSETS, CELL, CELL], the last shape being nothing."""
    nothing = torch.zeros(1, len(RADII), len(OFFSETS), CELL, CELL)
    return torch.cat([silhouettes(RADII, OFFSETS), nothing]).to(device)


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes. What an empty cell has apart from its shape is 0."""

    background: Tensor  # [B] int64, place in BACKGROUNDS
    shape: Tensor  # [B, 4] int64, place in SHAPES, or EMPTY; cells in the order of PLACES
    colour: Tensor  # [B, 4] int64, place in COLOURS
    radius: Tensor  # [B, 4] int64, place in RADII
    offset: Tensor  # [B, 4] int64, place in OFFSETS

    @property
    def look(self) -> Tensor:
        """[B, 4] int64, place in LOOKS."""
        return self.shape * len(COLOURS) + self.colour

    def __getitem__(self, index: Tensor) -> "Scenes":
        """The scenes at `index` [M]."""
        return Scenes(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device | str) -> "Scenes":
        return Scenes(*(getattr(self, field.name).to(device) for field in fields(self)))

    def where(self, chosen: Tensor, other: "Scenes") -> "Scenes":
        """These scenes, with the cells of `other` where `chosen` [B, 4] is true."""
        pairs = zip(self.cells(), other.cells(), strict=True)
        return Scenes(self.background, *(torch.where(chosen, theirs, ours) for ours, theirs in pairs))

    def spread(self, cell: Tensor) -> "Scenes":
        """Scenes whose four cells all are as number `cell` [B] is here."""
        return Scenes(self.background, *(part.gather(1, cell[:, None]).expand_as(part) for part in self.cells()))

    def emptied(self, chosen: Tensor) -> "Scenes":
        """These scenes without the objects where `chosen` [B, 4] is true."""
        nothing = torch.zeros_like(self.shape)
        return self.where(chosen, Scenes(self.background, nothing + EMPTY, nothing, nothing, nothing))

    def cells(self) -> tuple[Tensor, ...]:
        """What each cell has: shape, colour, radius and offset, [B, 4] each."""
        return self.shape, self.colour, self.radius, self.offset

    def image(self) -> Tensor:
        """[B, 3, 32, 32] float in [0, 1]."""
        device = self.shape.device
        opacity = _opacities(device)[self.shape, self.radius, self.offset][:, :, None]
        background = BACKGROUNDS.to(device)[self.background][:, None, :, None, None] / 255
        return from_cells(torch.lerp(background, PALETTE.to(device)[self.colour][..., None, None] / 255, opacity))

    def pixels(self) -> Tensor:
        """[B, 3, 32, 32] uint8."""
        return (255 * self.image()).round().to(torch.uint8)


def cells_of(image: Tensor) -> Tensor:
    """[B, C, 32, 32] cut into [B, 4, C, CELL, CELL], in the order of PLACES."""
    return image.unflatten(3, (2, CELL)).unflatten(2, (2, CELL)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def from_cells(cells: Tensor) -> Tensor:
    """[B, 4, C, CELL, CELL] put together to [B, C, 32, 32]."""
    return cells.unflatten(1, (2, 2)).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
