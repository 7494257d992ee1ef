"""What a stroke renderer is."""

import torch
from torch import Tensor, nn


class Renderer(nn.Module):
    """Turns the shape of a stroke, `num_params` numbers in [0, 1], into opacity on `size` x `size` pixels."""

    num_params = 10

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, shape: Tensor) -> Tensor:
        """Opacity `[N, H, W]` in [0, 1] of the strokes `[N, num_params]`, differentiable."""
        raise NotImplementedError

    def paint(self, canvas: Tensor, strokes: Tensor, mask: Tensor | None = None) -> Tensor:
        """A new canvas `[B, 3, H, W]`: `strokes` `[B, K, num_params + 3]` (shape, then colour) laid over it in order.

        Each stroke leaves `canvas * (1 - alpha) + alpha * colour`; `mask` `[B, 1, H, W]` in [0, 1] multiplies alpha.
        """
        for stroke in strokes.unbind(1):
            alpha = self(stroke[:, : self.num_params])[:, None]
            colour = stroke[:, self.num_params :, None, None]
            canvas = torch.lerp(canvas, colour, alpha if mask is None else alpha * mask)
        return canvas
