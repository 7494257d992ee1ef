"""Functions of batches, fused by torch.compile where that is wished for."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..backends import compiled


def run(function: Callable[..., Tensor], module: nn.Module, *batch: Tensor, compile: bool, **constants: int) -> Tensor:
    """``function(module, *batch, **constants)``, ``[B, ...]`` of a batch ``[B, ...]``.

    With ``compile``, and where no gradient is asked for, its operations are fused: the same to rounding. All modules
    of a kind whose tensors have the same shapes share one compilation, whatever B is; gradients, whose compilation
    would take minutes, are left to the plain function.
    """
    if not compile or (torch.is_grad_enabled() and any(part.requires_grad for part in batch)):
        return function(module, *batch, **constants)
    lanes = len(batch[0])
    # a single lane would be compiled for apart, and so would a view, by what it is a view of
    own = (torch.cat([part, part]) if lanes == 1 else part.clone() for part in batch)
    with torch.no_grad():
        return compiled(function)(module, *own, **constants)[:lanes]
