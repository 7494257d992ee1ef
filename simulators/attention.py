"""Where a denoiser looks: its cross-attention, recorded while it runs."""

from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..rewards.attention import aggregate, attention_probabilities

FINEST = 16


class AttentionRecorder:
    """Records the cross-attention of a diffusers `UNet2DConditionModel` within a `with` block, without gradient.

    Of the layers with maps of `size` (height, width) and of those `rows` of every batch that are conditional: with
    several branches in one batch `slice(B)` where the text's come first, as our `Editor` and InstructPix2Pix's pipeline
    have them, `slice(B, None)` in Stable Diffusion's [empty, text]. A sum is kept, so memory does not grow with the
    steps. Stable Diffusion 1.5 is usually read at a quarter of its latents' size: 16 x 16 for pictures of 512.

    It listens to the layers' query and key projections, so any attention processor and LoRA adapters may be there;
    adapters are added before the block is entered. The UNet is left as it was, also by an exception. Attention masks,
    which editors of this family do not use, are not seen. Raises ValueError for a network without cross-attention.
    """

    def __init__(self, unet: nn.Module, size: tuple[int, int], rows: slice = slice(None)) -> None:
        self.size = size
        self.rows = rows
        self._layers: list[Any] = [layer for layer in unet.modules() if getattr(layer, "is_cross_attention", False)]
        if not self._layers:
            raise ValueError(f"{type(unet).__name__} has no cross-attention: expected a UNet that is told a text")
        self._hooks: list[RemovableHandle] = []
        self._clear()

    def __enter__(self) -> "AttentionRecorder":
        self._clear()
        for layer in self._layers:
            self._hooks.append(layer.to_q.register_forward_hook(partial(self._keep, layer)))
            self._hooks.append(layer.to_k.register_forward_hook(partial(self._add, layer)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._hooks:
            self._hooks.pop().remove()
        self._queries.clear()

    def mean(self) -> Tensor:
        """`[B, L, h, w]` float32, summing to 1 over the L tokens: the mean over heads, layers and calls of the block.

        Raises ValueError where nothing was recorded.
        """
        if self._sum is None:
            height, width = self.size
            seen = ", ".join(map(str, sorted(self._seen))) or "none (was the UNet called within the block?)"
            raise ValueError(
                f"no cross-attention of {height} x {width} = {height * width} positions was seen: those that ran had "
                f"{seen}; give a size that the picture has at one of its levels"
            )
        return self._sum / self._count

    def _clear(self) -> None:
        self._sum: Tensor | None = None  # [B, L, h, w]
        self._count = 0
        self._seen: set[int] = set()  # positions of the layers that ran
        self._queries: dict[nn.Module, Tensor] = {}  # of the layer that runs

    def _keep(self, layer: nn.Module, projection: nn.Module, inputs: tuple[Tensor, ...], query: Tensor) -> None:
        self._queries[layer] = query.detach()

    @torch.no_grad()
    def _add(self, layer: Any, projection: nn.Module, inputs: tuple[Tensor, ...], key: Tensor) -> None:
        query = self._queries.pop(layer)
        self._seen.add(query.shape[1])
        if query.shape[1] != self.size[0] * self.size[1]:
            return
        found = attention_probabilities(query[self.rows], key[self.rows], layer.heads, layer.scale)
        maps = aggregate([found.unflatten(2, self.size)], self.size)
        self._sum = maps if self._sum is None else self._sum + maps
        self._count += 1


def attention_size(unet: Any, latent: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the finest cross-attention on a UNet's way down of at most `FINEST` positions a side, where
    words are best told apart: 16 x 16 of Stable Diffusion's 64 x 64. The coarsest where all are finer.
    """
    levels = [level for level, kind in enumerate(unet.config.down_block_types) if "CrossAttn" in kind]
    sizes = [(latent[0] >> level, latent[1] >> level) for level in levels]
    return next((size for size in sizes if max(size) <= FINEST), sizes[-1])
