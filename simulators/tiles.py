"""Tiles of an image that strokes touch, and painting them in order in one buffer."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .brushes import EDGE, Boxes

TILE = 8  # pixels; an image is seen as lines of TILE pixels, and a tile as TILE such lines


class Touched(NamedTuple):
    """Tiles `[M]` that strokes touch, sorted by `stroke`: indices of the stroke and of the tile's row and column."""

    stroke: Tensor
    row: Tensor
    column: Tensor


def touched_tiles(boxes: Boxes, size: int) -> Touched:
    """The tiles that come within `radius` of any of a stroke's boxes, anti-aliased rim included."""
    low = torch.arange(0, size, TILE, device=boxes.radius.device)[:, None, None]
    high = low + TILE - 1
    rows = torch.maximum(boxes.top - high, low - boxes.bottom).clamp_min_(0).square_()
    columns = torch.maximum(boxes.left - high, low - boxes.right).clamp_min_(0).square_()
    columns -= (boxes.radius + EDGE).square()
    excess = rows[:, None, 0] + columns[None, :, 0]
    for piece in range(1, boxes.radius.shape[0]):
        excess = torch.minimum(excess, rows[:, None, piece] + columns[None, :, piece])
    return Touched(*(excess <= 0).permute(2, 0, 1).nonzero(as_tuple=True))


def tile_lines(image: Tensor, row: Tensor, column: Tensor, channels: int, size: int) -> Tensor:
    """Where tiles `[M]` of images lie among the lines of `[B, C, size, size]`: `[M, C, TILE]` indices.

    Whole lines are gathered and stored several times faster than elements of a tiled view.
    """
    device = image.device
    plane = image[:, None, None] * channels + torch.arange(channels, device=device)[:, None]
    pixel_row = row[:, None, None] * TILE + torch.arange(TILE, device=device)
    return (plane * size + pixel_row) * (size // TILE) + column[:, None, None]


class Composite(torch.autograd.Function):
    """`canvas` `[B, 3, H, W]` with tiles laid over it, round by round; no tile is touched twice within a round.

    Tile m has opacity `alpha` `[M, TILE, TILE]`, `colour` `[M, 3]` and lies at `lines` `[M, 3, TILE]`; `rounds` are the
    sizes of consecutive rounds. One copy of the canvas is made, not one a stroke.
    """

    @staticmethod
    def forward(ctx, canvas, alpha, colour, lines, rounds):  # type: ignore[no-untyped-def]
        painted = canvas.clone(memory_format=torch.contiguous_format)
        image, saved, learning = painted.view(-1, TILE), [], any(ctx.needs_input_grad)
        for a, c, at in zip(alpha.split(rounds), colour.split(rounds), lines.split(rounds), strict=True):
            under = image.index_select(0, at.flatten()).view(-1, 3, TILE, TILE)
            over = torch.lerp(under, c[:, :, None, None], a[:, None])
            image.index_copy_(0, at.flatten(), over.view(-1, TILE))
            if learning:
                saved.append(under)
        ctx.save_for_backward(alpha, colour, lines, *saved)
        return painted

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        alpha, colour, lines, *under = ctx.saved_tensors
        rounds = [len(tiles) for tiles in under]
        grad = grad.clone(memory_format=torch.contiguous_format)
        image = grad.view(-1, TILE)
        grad_alpha, grad_colour = torch.empty_like(alpha), torch.empty_like(colour)
        parts = zip(under, *(x.split(rounds) for x in (alpha, colour, lines, grad_alpha, grad_colour)), strict=True)
        for below, a, c, at, grad_a, grad_c in reversed(list(parts)):
            above = image.index_select(0, at.flatten()).view(-1, 3, TILE, TILE)
            torch.sum(above * (c[:, :, None, None] - below), 1, out=grad_a)
            torch.sum(above * a[:, None], (2, 3), out=grad_c)
            image.index_copy_(0, at.flatten(), (above * (1 - a[:, None])).view(-1, TILE))
        return grad, grad_alpha, grad_colour, None, None
