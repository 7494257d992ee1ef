"""The exact differentiable rasteriser: strokes evaluated in closed form, only on the tiles that they touch."""

import torch
from torch import Tensor

from ..backends import compiled
from .brushes import BRUSHES
from .renderer import Renderer
from .tiles import TILE, Composite, Touched, tiled, touched_tiles, untiled

BATCH = {"cpu": 8000}  # tiles evaluated at once: enough to share among threads, few enough for the cache
LARGE_BATCH = 65536  # the same on an accelerator
STROKES = 4096  # strokes looked at in one go: bounds the memory that finding their tiles takes


class AnalyticRenderer(Renderer):
    """Strokes of `brush` by their distance to the pixels (see `brushes.py`), `size` any multiple of 16.

    Independent of the batch: a stroke's pixels are bit for bit the same however many are drawn with it. With
    `compile` torch.compile fuses what is done to a tile: the same to rounding.
    """

    def __init__(self, size: int = 128, brush: str = "bezier", compile: bool = False) -> None:
        super().__init__(size)
        if size <= 0 or size % 16:
            raise ValueError(f"the analytic renderer needs a size that is a multiple of 16, got {size}")
        self.brush, self.fused = BRUSHES[brush], compile

    def forward(self, shape: Tensor) -> Tensor:
        return torch.cat([self._dense(part) for part in shape.split(STROKES)])

    def paint(self, canvas: Tensor, strokes: Tensor, mask: Tensor | None = None) -> Tensor:
        for bundle in strokes.split(max(1, STROKES // len(strokes)), 1):
            canvas = self._paint(canvas, bundle, mask)
        return canvas

    def _dense(self, shape: Tensor) -> Tensor:
        touched, alpha = self._alpha(shape)
        blank = alpha.new_zeros(len(shape) * (self.size // TILE) ** 2, TILE, TILE)
        return untiled(blank.index_copy(0, self._at(touched), alpha)[:, None], self.size)[:, 0]

    def _paint(self, canvas: Tensor, strokes: Tensor, mask: Tensor | None) -> Tensor:
        lanes, rounds = strokes.shape[:2]
        strokes = strokes.transpose(0, 1).flatten(0, 1)  # all first strokes, then all second ones, ...
        touched, alpha = self._alpha(strokes[:, : self.num_params])
        at = self._at(touched._replace(stroke=touched.stroke % lanes))
        if mask is not None:
            alpha = alpha * tiled(mask)[at, 0]
        sizes = torch.bincount(touched.stroke // lanes, minlength=rounds).tolist()
        tiles = tiled(canvas)
        painted = Composite.apply(tiles, alpha, strokes[touched.stroke, self.num_params :], at, sizes)
        return untiled(painted, self.size)

    def _at(self, touched: Touched) -> Tensor:
        """Where the tiles are among those of the images that the strokes are in."""
        across = self.size // TILE
        return (touched.stroke * across + touched.row) * across + touched.column

    def _alpha(self, shape: Tensor) -> tuple[Touched, Tensor]:
        """The tiles that strokes `[N, P]` touch, and their opacity there `[M, TILE, TILE]`."""
        geometry = self.brush.geometry(shape, self.size)
        touched = touched_tiles(self.brush.boxes(geometry.detach()), self.size)
        pixel = torch.arange(TILE, device=shape.device)[:, None]
        opacity = compiled(self.brush.alpha, self.fused)
        batch = LARGE_BATCH if self.fused else BATCH.get(shape.device.type, LARGE_BATCH)
        alpha = [geometry.new_zeros(0, TILE, TILE)]
        for stroke, row, column in zip(*(index.split(batch) for index in touched), strict=True):
            rows, columns = (row * TILE + pixel).float(), (column * TILE + pixel).float()
            tiles = opacity(geometry[:, stroke], rows[:, None], columns[None])
            alpha.append(tiles.permute(2, 0, 1).contiguous())
        return touched, torch.cat(alpha)
