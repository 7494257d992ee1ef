"""The exact differentiable rasteriser: strokes evaluated in closed form, only on the tiles that they touch."""

import torch
from torch import Tensor

from ..backends import compiled
from .brushes import BRUSHES, Brush
from .renderer import Renderer
from .tiles import COLUMNS, ROWS, Composite, Touched, composited, cut, pieces, touched_tiles

BATCH = {"cpu": 8000}  # tiles evaluated at once: enough to share among threads, few enough for the cache
LARGE_BATCH = 65536  # the same on an accelerator
UNROLLED = 16  # strokes on a canvas that are composited in one compiled loop
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
        blank = shape.new_zeros(len(shape), 1, self.size, self.size)
        where = pieces(self._at(touched), blank.shape)
        return blank.view(-1, COLUMNS).index_copy(0, where.flatten(), alpha.view(-1, COLUMNS)).view(blank[:, 0].shape)

    def _paint(self, canvas: Tensor, strokes: Tensor, mask: Tensor | None) -> Tensor:
        lanes, rounds = strokes.shape[:2]
        strokes = strokes.transpose(0, 1)  # all first strokes, then all second ones, ...
        shape, colour = strokes.split([self.num_params, 3], 2)
        touched, alpha = self._alpha(shape.flatten(0, 1))
        at, tiles = self._at(touched), lanes * (self.size // ROWS) * (self.size // COLUMNS)
        if mask is not None:
            alpha = alpha * cut(mask, pieces(at % tiles, mask.shape))[:, 0]
        learning = any(part.requires_grad for part in (canvas, alpha, colour))
        if self.fused and rounds <= UNROLLED and len(at) and not learning:
            return self._in_one_loop(canvas, alpha, colour, at)
        sizes = torch.bincount(touched.stroke // lanes, minlength=rounds).tolist()
        return Composite.apply(canvas, alpha, colour.flatten(0, 1)[touched.stroke], at % tiles, sizes)

    def _in_one_loop(self, canvas: Tensor, alpha: Tensor, colour: Tensor, at: Tensor) -> Tensor:
        """What `Composite` makes of `colour` `[K, B, 3]` and of tiles `alpha`, which are `at` of `[K, B]` images."""
        down, across = self.size // ROWS, self.size // COLUMNS
        number = at.new_full((colour[..., 0].numel() * down * across,), -1)
        number[at] = torch.arange(len(at), device=at.device)
        tiles = canvas.reshape(len(canvas), -1, down, ROWS, across, COLUMNS)
        tiles = compiled(composited)(tiles, alpha, colour, number.view(*colour.shape[:2], down, across))
        return tiles.view(canvas.shape)

    def _at(self, touched: Touched) -> Tensor:
        """Where the tiles are among those of the images that the strokes are in."""
        down, across = self.size // ROWS, self.size // COLUMNS
        return (touched.stroke * down + touched.row) * across + touched.column

    def _alpha(self, shape: Tensor) -> tuple[Touched, Tensor]:
        """The tiles that strokes `[N, P]` touch, and their opacity there `[M, ROWS, COLUMNS]`."""
        geometry = self.brush.geometry(shape, self.size)
        touched = touched_tiles(self.brush.boxes(geometry.detach()), self.size)
        batch = LARGE_BATCH if self.fused else BATCH.get(shape.device.type, LARGE_BATCH)
        opacity, pixels = compiled(in_tiles, self.fused), self._pixels(shape.device)
        alpha = []
        for stroke, row, column in zip(*(index.split(batch) for index in touched), strict=True):
            first = (row * ROWS).float(), (column * COLUMNS).float()
            alpha.append(opacity(self.brush, geometry.index_select(1, stroke), *first, *pixels))
        return touched, alpha[0] if len(alpha) == 1 else torch.cat(alpha)

    def _pixels(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Row and column of a tile's pixels; as one loop, which is what can be fused."""
        down = torch.arange(float(ROWS), device=device).view(-1, 1, 1)
        across = torch.arange(float(COLUMNS), device=device).view(1, -1, 1)
        if self.fused:
            down, across = (part.expand(ROWS, COLUMNS, 1).flatten(0, 1) for part in (down, across))
        return down, across


def in_tiles(brush: Brush, geometry: Tensor, row: Tensor, column: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Opacity `[n, ROWS, COLUMNS]` of the strokes `[G, n]`, each at the pixels `down`, `across` of its tile.

    The tile begins at the pixel `row` `[n]`, `column` `[n]`.
    """
    alpha = brush.alpha(geometry, row + down, column + across)
    return alpha.flatten(0, -2).t().contiguous().view(-1, ROWS, COLUMNS)
