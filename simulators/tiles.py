"""Tiles of an image that strokes touch, and painting them in order in one buffer."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .brushes import EDGE, Boxes

TILE = 8  # pixels


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


def tiled(image: Tensor) -> Tensor:
    """A copy of `[B, C, H, W]` as its tiles `[B * H / TILE * W / TILE, C, TILE, TILE]`, each in one piece of memory."""
    batch, channels, height, width = image.shape
    cut = image.reshape(batch, channels, height // TILE, TILE, width // TILE, TILE).permute(0, 2, 4, 1, 3, 5)
    return cut.clone(memory_format=torch.contiguous_format).view(-1, channels, TILE, TILE)


def untiled(tiles: Tensor, size: int) -> Tensor:
    """The images `[B, C, size, size]` of `tiled`."""
    cut = tiles.view(-1, size // TILE, size // TILE, *tiles.shape[1:])
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(len(cut), -1, size, size)


class Composite(torch.autograd.Function):
    """Lays tiles over the `tiles` `[N, 3, TILE, TILE]` of canvases, in place, round by round.

    Of those laid on, m has opacity `alpha` `[M, TILE, TILE]` and `colour` `[M, 3]` and lies over tile `at` `[M]`;
    `rounds` are the sizes of consecutive rounds, within which no tile is touched twice.
    """

    @staticmethod
    def forward(ctx: Any, tiles: Tensor, alpha: Tensor, colour: Tensor, at: Tensor, rounds: list[int]) -> Tensor:
        saved, learning = [], any(ctx.needs_input_grad)
        for a, c, where in zip(alpha.split(rounds), colour.split(rounds), at.split(rounds), strict=True):
            under = tiles.index_select(0, where)
            tiles.index_copy_(0, where, torch.lerp(under, c[:, :, None, None], a[:, None]))
            if learning:
                saved.append(under)
        ctx.mark_dirty(tiles)
        ctx.save_for_backward(alpha, colour, at, *saved)
        return tiles

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        alpha, colour, at, *under = ctx.saved_tensors
        rounds, grad = [len(tiles) for tiles in under], grads[0].clone(memory_format=torch.contiguous_format)
        grad_alpha, grad_colour = torch.empty_like(alpha), torch.empty_like(colour)
        parts = zip(under, *(x.split(rounds) for x in (alpha, colour, at, grad_alpha, grad_colour)), strict=True)
        for below, a, c, where, grad_a, grad_c in reversed(list(parts)):
            above = grad.index_select(0, where)
            torch.sum(above * (c[:, :, None, None] - below), 1, out=grad_a)
            torch.sum(above * a[:, None], (2, 3), out=grad_c)
            grad.index_copy_(0, where, above.mul_((1 - a)[:, None]))
        return grad, grad_alpha, grad_colour, None, None
