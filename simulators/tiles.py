"""Tiles of an image that strokes touch, and painting them in order in one buffer."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .brushes import EDGE, Boxes


class Touched(NamedTuple):
    """Tiles `[M]` that strokes touch, sorted by `stroke`: indices of the stroke and of the tile's row and column."""

    stroke: Tensor
    row: Tensor
    column: Tensor


def tiled(image: Tensor, tile: int) -> Tensor:
    """View of `[..., H, W]` as `[..., H / tile, W / tile, tile, tile]`."""
    return image.unflatten(-1, (-1, tile)).unflatten(-3, (-1, tile)).transpose(-3, -2)


def touched_tiles(boxes: Boxes, size: int, tile: int) -> Touched:
    """The tiles that come within `radius` of any of a stroke's boxes, anti-aliased rim included."""
    low = torch.arange(0, size, tile, device=boxes.radius.device)[:, None, None]
    high = low + tile - 1
    rows = torch.maximum(boxes.top - high, low - boxes.bottom).clamp_min_(0).square_()
    columns = torch.maximum(boxes.left - high, low - boxes.right).clamp_min_(0).square_()
    columns -= (boxes.radius + EDGE).square()
    excess = rows[:, None, 0] + columns[None, :, 0]
    for piece in range(1, boxes.radius.shape[0]):
        excess = torch.minimum(excess, rows[:, None, piece] + columns[None, :, piece])
    return Touched(*(excess <= 0).permute(2, 0, 1).nonzero(as_tuple=True))


class Composite(torch.autograd.Function):
    """`canvas` `[B, 3, H, W]` painted over, round by round, by tiles that touch no tile twice within a round.

    `alpha` `[M, T, T]` and `colour` `[M, 3]` belong to the tiles `lane`, `row`, `column` `[M]`; `rounds` are the sizes
    of consecutive rounds. One copy of the canvas is made, not one a stroke.
    """

    @staticmethod
    def forward(ctx, canvas, alpha, colour, lane, row, column, rounds):  # type: ignore[no-untyped-def]
        painted = canvas.clone(memory_format=torch.contiguous_format)
        tiles = tiled(painted, alpha.shape[-1]).permute(0, 2, 3, 1, 4, 5)
        under = []
        places = list(zip(lane.split(rounds), row.split(rounds), column.split(rounds), strict=True))
        for place, a, c in zip(places, alpha.split(rounds), colour.split(rounds), strict=True):
            under.append(tiles[place])
            tiles[place] = torch.lerp(under[-1], c[:, :, None, None], a[:, None])
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(alpha, colour, *under)
            ctx.places = places
        return painted

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        alpha, colour, *under = ctx.saved_tensors
        rounds = [len(tiles) for tiles in under]
        grad = grad.clone(memory_format=torch.contiguous_format)
        tiles = tiled(grad, alpha.shape[-1]).permute(0, 2, 3, 1, 4, 5)
        grad_alpha, grad_colour = torch.empty_like(alpha), torch.empty_like(colour)
        parts = zip(ctx.places, under, *(x.split(rounds) for x in (alpha, colour, grad_alpha, grad_colour)), strict=True)
        for place, below, a, c, grad_a, grad_c in reversed(list(parts)):
            above = tiles[place]
            torch.sum(above * (c[:, :, None, None] - below), 1, out=grad_a)
            torch.sum(above * a[:, None], (2, 3), out=grad_c)
            tiles[place] = above * (1 - a[:, None])
        return grad, grad_alpha, grad_colour, None, None, None, None
