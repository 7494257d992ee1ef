"""What a user hands to ``reset(options=...)``, checked."""

import numpy as np
import torch
from torch import Tensor

from .core import Options


def asked_index(options: Options, lanes: int, count: int, device: torch.device) -> Tensor:
    """``options["index"]``, one of ``count`` for all or one a lane: ``[lanes]`` int64. Raises ValueError otherwise."""
    index = torch.as_tensor(options["index"], dtype=torch.int64, device=device)
    if index.ndim > 1 or (index.ndim == 1 and len(index) != lanes):
        raise ValueError(f"options['index'] must be one number or {lanes}, got shape {list(index.shape)}")
    if (index < 0).any() or (index >= count).any():
        raise ValueError(f"options['index'] must lie in 0..{count - 1}, got {options['index']}")
    return index.expand(lanes)


def asked_images(name: str, options: Options, lanes: int, size: int, device: torch.device) -> Tensor:
    """``options[name]``, one image for all or one a lane: ``[lanes, 3, size, size]`` uint8. Raises ValueError."""
    array = np.asarray(options[name])
    shape = (size, size, 3)
    if array.shape not in (shape, (lanes, *shape)) or array.dtype != np.uint8:
        raise ValueError(f"options[{name!r}] must be uint8 {list(shape)}, got {array.dtype} {list(array.shape)}")
    return torch.tensor(array, device=device).movedim(-1, -3).expand(lanes, -1, -1, -1)
