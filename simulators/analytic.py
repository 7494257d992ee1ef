"""The exact differentiable rasteriser: strokes evaluated in closed form, only on the tiles that they touch."""

import torch
from torch import Tensor

from .brushes import BRUSHES
from .renderer import Renderer
from .tiles import Composite, Touched, tiled, touched_tiles

TILE = 8
BATCH = {"cpu": 256, "cuda": 65536}  # tiles evaluated at once: on a CPU, the few maps in use should stay in its cache
STROKES = 4096  # strokes looked at in one go: bounds the memory that finding their tiles takes


class AnalyticRenderer(Renderer):
    """Strokes of `brush` by their distance to the pixels (see `brushes.py`), `size` any multiple of 16.

    Independent of the batch: a stroke's pixels are bit for bit the same however many are drawn with it.
    """

    def __init__(self, size: int = 128, brush: str = "bezier") -> None:
        super().__init__(size)
        if size <= 0 or size % 16:
            raise ValueError(f"the analytic renderer needs a size that is a multiple of 16, got {size}")
        self.brush = BRUSHES[brush]

    def forward(self, shape: Tensor) -> Tensor:
        return torch.cat([self._dense(part) for part in shape.split(STROKES)])

    def paint(self, canvas: Tensor, strokes: Tensor, mask: Tensor | None = None) -> Tensor:
        for bundle in strokes.split(max(1, STROKES // len(strokes)), 1):
            canvas = self._paint(canvas, bundle, mask)
        return canvas

    def _dense(self, shape: Tensor) -> Tensor:
        touched, alpha = self._alpha(shape)
        dense = alpha.new_zeros(len(shape), self.size, self.size)
        tiled(dense, TILE)[touched] = alpha
        return dense

    def _paint(self, canvas: Tensor, strokes: Tensor, mask: Tensor | None) -> Tensor:
        lanes, rounds = strokes.shape[:2]
        strokes = strokes.transpose(0, 1).flatten(0, 1)  # all first strokes, then all second ones, ...
        touched, alpha = self._alpha(strokes[:, : self.num_params])
        lane = touched.stroke % lanes
        if mask is not None:
            alpha = alpha * tiled(mask[:, 0], TILE)[lane, touched.row, touched.column]
        colour = strokes[touched.stroke, self.num_params :]
        sizes = torch.bincount(touched.stroke // lanes, minlength=rounds).tolist()
        return Composite.apply(canvas, alpha, colour, lane, touched.row, touched.column, sizes)

    def _alpha(self, shape: Tensor) -> tuple[Touched, Tensor]:
        """The tiles that strokes `[N, P]` touch, and their opacity there `[M, TILE, TILE]`."""
        geometry = self.brush.geometry(shape, self.size)
        touched = touched_tiles(self.brush.boxes(geometry.detach()), self.size, TILE)
        offset = torch.arange(TILE, device=shape.device)[:, None]
        alpha = []
        for stroke, row, column in zip(*(index.split(BATCH[shape.device.type]) for index in touched), strict=True):
            rows, columns = row * TILE + offset, column * TILE + offset
            alpha.append(self.brush.alpha(geometry[:, stroke], rows[:, None].float(), columns[None].float()))
        return touched, torch.cat(alpha, -1).permute(2, 0, 1) if alpha else geometry.new_zeros(0, TILE, TILE)
