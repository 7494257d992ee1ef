"""Pictures with their guidance maps, and where many of them lie."""

from __future__ import annotations

import tempfile
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DISK_ABOVE = 2**30  # bytes; beyond, a store is a temporary file that the system pages in


class Picture(NamedTuple):
    """One target as arrays."""

    image: NDArray[np.uint8]  # [H, W, 3] RGB
    mask: NDArray[np.uint8]  # [H, W]
    focus: NDArray[np.uint8]  # [H, W]
    window: NDArray[np.float32]  # [4] x, y, w, h in [0, 1]


class PictureStore:
    """`count` pictures of `size` pixels as uint8, five bytes a pixel."""

    def __init__(self, count: int, size: int) -> None:
        self.pixels = pixel_bytes((count, 5, size, size))  # [N, 5, H, W]: red, green, blue, mask, focus
        self.window = torch.zeros(count, 4)  # [N, 4]

    def write(self, index: int, picture: Picture) -> None:
        """Keep `picture` as number `index`."""
        self.pixels[index, :3] = torch.from_numpy(np.ascontiguousarray(picture.image.transpose(2, 0, 1)))
        self.pixels[index, 3] = torch.from_numpy(picture.mask)
        self.pixels[index, 4] = torch.from_numpy(picture.focus)
        self.window[index] = torch.from_numpy(picture.window)


def window_of(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The box x, y, w, h in [0, 1] around `mask` [H, W] > 127; the whole picture where there is nothing."""
    rows, columns = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
    if not len(rows):
        return np.array([0, 0, 1, 1], np.float32)
    height, width = mask.shape
    left, top = columns[0] / width, rows[0] / height
    return np.array([left, top, (columns[-1] + 1) / width - left, (rows[-1] + 1) / height - top], np.float32)


def pixel_bytes(shape: tuple[int, ...]) -> Tensor:
    """Uninitialised uint8 memory, or beyond `DISK_ABOVE` a temporary file that vanishes with the tensor."""
    if np.prod(shape, dtype=np.int64) <= DISK_ABOVE:
        return torch.empty(shape, dtype=torch.uint8)
    return torch.from_numpy(np.memmap(tempfile.TemporaryFile(), dtype=np.uint8, mode="w+", shape=shape))
