"""What a user hands to a task, or to its ``reset(options=...)``, checked."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .core import Options


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """``value``, given for the argument ``name``. Raises ValueError where it is none of ``known``."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


def asked_index(options: Options, lanes: int, count: int, device: torch.device) -> Tensor:
    """``options["index"]``, one of ``count`` for all or one a lane: ``[lanes]`` int64. Raises ValueError otherwise."""
    index = np.asarray(options["index"])
    if index.dtype.kind not in "iu" or index.shape not in ((), (lanes,)):
        raise ValueError(f"options['index'] must be one number or {lanes}, all whole, got {options['index']!r}")
    if (index < 0).any() or (index >= count).any():
        raise ValueError(f"options['index'] must lie in 0..{count - 1}, got {options['index']}")
    return torch.as_tensor(index.astype(np.int64), device=device).expand(lanes)


def asked_images(name: str, options: Options, lanes: int, size: int, device: torch.device) -> Tensor:
    """``options[name]``, one image for all or one a lane: ``[lanes, 3, size, size]`` uint8.

    Raises ValueError for another size or type, also for transparency and 16 bits: how those become RGB is not for a
    task to guess.
    """
    array = np.asarray(options[name])
    shape = (size, size, 3)
    if array.shape not in (shape, (lanes, *shape)) or array.dtype != np.uint8:
        raise ValueError(
            f"options[{name!r}] must be uint8 {list(shape)} or {[lanes, *shape]}, RGB, got {array.dtype} "
            f"{list(array.shape)}; retouch.simulators.images reads any file as that: fit(read_image(FILE), {size})"
        )
    return torch.tensor(array, device=device).movedim(-1, -3).expand(lanes, -1, -1, -1)


def asked_texts(name: str, options: Options, lanes: int) -> list[str]:
    """``options[name]``, one text for all or one a lane: as many as there are lanes. Raises ValueError otherwise."""
    given = options[name]
    texts = [given] * lanes if isinstance(given, str) else list(given)
    if len(texts) != lanes or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"options[{name!r}] must be one text or {lanes}, got {given!r}")
    return texts
