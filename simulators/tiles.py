"""Tiles of an image that strokes touch, and painting them in order."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding

from .brushes import EDGE, Boxes

TESTS = 2**22  # of a tile for a piece of a stroke, made at once: bounds the memory that they take
ROWS, COLUMNS = 4, 16  # pixels of a tile; its rows are as long as a CPU's longest vectors


class Touched(NamedTuple):
    """Tiles `[M]` that strokes touch, sorted by `stroke`: indices of the stroke and of the tile's row and column."""

    stroke: Tensor
    row: Tensor
    column: Tensor


def touched_tiles(boxes: Boxes, size: int) -> Touched:
    """The tiles that come within `radius` of any of a stroke's boxes, anti-aliased rim included."""
    rows = _gaps(boxes.top, boxes.bottom, size, ROWS)
    columns = _gaps(boxes.left, boxes.right, size, COLUMNS)
    columns -= (boxes.radius + EDGE).square()
    strokes = max(1, TESTS // (len(rows) * len(columns) * len(boxes.radius)))
    parts = zip(rows.split(strokes, 2), columns.split(strokes, 2), strict=True)
    near = torch.cat([(down[:, None] + across).amin(2) <= 0 for down, across in parts], 2)
    return Touched(*near.permute(2, 0, 1).nonzero(as_tuple=True))


def _gaps(low: Tensor, high: Tensor, size: int, length: int) -> Tensor:
    """Squares `[size / length, S, N]` of the distances, along one axis, of `low` to `high` `[S, N]` from the tiles."""
    first = torch.arange(0, size, length, device=low.device)[:, None, None]
    return torch.maximum(low - (first + length - 1), first - high).clamp_min_(0).square_()


def pieces(at: Tensor, shape: torch.Size) -> Tensor:
    """Where the tiles `at` `[M]`, counted row by row and image by image, lie in images of `shape` `[B, C, H, W]`.

    Indices `[M, C * ROWS]` of pieces of COLUMNS pixels, as which `cut` and `paste` see an image.
    """
    _, channels, height, width = shape
    across = width // COLUMNS
    tiles = height // ROWS * across
    image, row, column = at // tiles, at % tiles // across, at % across
    first = (image * channels * height + row * ROWS) * across + column
    down = torch.arange(channels, device=at.device)[:, None] * height + torch.arange(ROWS, device=at.device)
    return first[:, None] + (down * across).flatten()


def cut(images: Tensor, where: Tensor) -> Tensor:
    """Copies `[M, C, ROWS, COLUMNS]` of the tiles at the `pieces` `where` `[M, C * ROWS]` of images `[B, C, H, W]`."""
    tiles = images.reshape(-1, COLUMNS).index_select(0, where.flatten())
    return tiles.view(len(where), images.shape[1], ROWS, COLUMNS)


def paste(images: Tensor, where: Tensor, tiles: Tensor) -> None:
    """Change `images`, which are contiguous, in place: what `cut` would copy becomes `tiles`."""
    images.view(-1, COLUMNS).index_copy_(0, where.flatten(), tiles.reshape(-1, COLUMNS))


class Composite(torch.autograd.Function):
    """Lays tiles over canvases `[B, 3, H, W]`, round by round.

    Of those laid on, m has opacity `alpha` `[M, ROWS, COLUMNS]` and `colour` `[M, 3]` and lies over tile `at` `[M]`;
    `rounds` are the sizes of consecutive rounds, within which no tile is touched twice.
    """

    @staticmethod
    def forward(ctx: Any, canvas: Tensor, alpha: Tensor, colour: Tensor, at: Tensor, rounds: list[int]) -> Tensor:
        canvas, where = canvas.clone(memory_format=torch.contiguous_format), pieces(at, canvas.shape)
        saved, learning = [], any(ctx.needs_input_grad)
        for a, c, place in zip(alpha.split(rounds), colour.split(rounds), where.split(rounds), strict=True):
            under = cut(canvas, place)
            paste(canvas, place, torch.lerp(under, c[:, :, None, None], a[:, None]))
            if learning:
                saved.append(under)
        ctx.save_for_backward(alpha, colour, where, *saved)
        return canvas

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        alpha, colour, where, *under = ctx.saved_tensors
        rounds, grad = [len(tiles) for tiles in under], grads[0].clone(memory_format=torch.contiguous_format)
        grad_alpha, grad_colour = torch.empty_like(alpha), torch.empty_like(colour)
        parts = zip(under, *(x.split(rounds) for x in (alpha, colour, where, grad_alpha, grad_colour)), strict=True)
        for below, a, c, place, grad_a, grad_c in reversed(list(parts)):
            above = cut(grad, place)
            torch.sum(above * (c[:, :, None, None] - below), 1, out=grad_a)
            torch.sum(above * a[:, None], (2, 3), out=grad_c)
            paste(grad, place, above.mul_((1 - a)[:, None]))
        return grad, grad_alpha, grad_colour, None, None


def composited(tiles: Tensor, alpha: Tensor, colour: Tensor, tile: Tensor) -> Tensor:
    """K strokes laid over each of B canvases, pixel by pixel: for torch.compile, which does it in one loop.

    Canvases are `[B, 3, H / ROWS, ROWS, W / COLUMNS, COLUMNS]`. Stroke k of canvas b has `colour` `[K, B, 3]` and,
    where `tile` `[K, B, H / ROWS, W / COLUMNS]` is m, the opacity `alpha[m]`, of `[M, ROWS, COLUMNS]`; none where it
    is -1.
    """
    alpha = alpha.view(-1, COLUMNS)
    row = torch.arange(ROWS, device=tile.device)[:, None]
    for c, m in zip(colour, tile, strict=True):
        over = embedding(m.clamp_min(0)[:, :, None] * ROWS + row, alpha)  # [B, H / ROWS, ROWS, W / COLUMNS, COLUMNS]
        over = over * (m >= 0)[:, :, None, :, None]
        tiles = tiles + over[:, None] * (c[:, :, None, None, None, None] - tiles)
    return tiles
