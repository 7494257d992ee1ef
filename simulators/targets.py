"""What is to be painted: batches of pictures, each with its object's mask, focus map and window.

`make_targets` opens a source by its name: the embedded world, the photographs of scikit-image, a folder of
pictures, or a published dataset. Whatever the source, the pictures lie in memory as uint8, squared and resized.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from . import datasets
from .scenes import draw_scene
from .storage import PictureStore

SPLITS = ("train", "test", "all")
EMBEDDED_COUNTS = {"train": 4096, "test": 256}


@dataclass(frozen=True)
class Scene:
    """A batch of targets."""

    image: Tensor  # [B, 3, H, W] uint8, RGB
    mask: Tensor  # [B, 1, H, W] uint8, 255 on the object, soft at its edge
    focus: Tensor  # [B, 1, H, W] uint8, where to look closely
    window: Tensor  # [B, 4] float32, the object's box x, y, w, h in [0, 1]; x is the column


class Targets(Protocol):
    """A fixed, ordered collection of targets."""

    names: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Scene:
        """The targets at `index` [B] int64, on the collection's device."""
        ...


class StoredTargets:
    """Targets that lie in a `PictureStore`, all of them drawn or read already."""

    def __init__(self, names: Sequence[str], store: PictureStore, device: torch.device | str = "cpu") -> None:
        self.names = list(names)
        self._store = store
        self._device = torch.device(device)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Tensor) -> Scene:
        index = index.cpu()
        pixels = self._store.pixels[index].to(self._device)
        return Scene(pixels[:, :3], pixels[:, 3:4], pixels[:, 4:5], self._store.window[index].to(self._device))


class SceneTargets(StoredTargets):
    """The embedded world: `count` scenes of a split, each drawn when it is first asked for."""

    def __init__(self, size: int, count: int, seed: int = 0, split: str = "train",
                 device: torch.device | str = "cpu") -> None:
        if split not in EMBEDDED_COUNTS:
            raise ValueError(f"no split {split!r} in the embedded world: expected one of {list(EMBEDDED_COUNTS)}")
        super().__init__([f"{split}/{seed}/{index}" for index in range(count)], PictureStore(count, size), device)
        self._size, self._seed, self._split = size, seed, split
        self._drawn = np.zeros(count, bool)

    def __getitem__(self, index: Tensor) -> Scene:
        for missing in np.unique(index.cpu().numpy()):
            if not self._drawn[missing]:
                self._store.write(missing, draw_scene(self._size, int(missing), self._seed, self._split))
                self._drawn[missing] = True
        return super().__getitem__(index)


def make_targets(name: str, size: int = 128, split: str = "train", seed: int = 0,
                 device: torch.device | str = "cpu", guided: bool = False) -> Targets:
    """Targets of `size` pixels by name.

    | name | targets | splits |
    | --- | --- | --- |
    | `embedded`, `embedded:COUNT` | the embedded world, drawn from `seed` | train, test |
    | `photos` | the colour photographs in scikit-image, for evaluation | test, all |
    | `PATH`, `folder:PATH` | every image under a folder (an ImageFolder tree too) | train, test, all |
    | `cub:PATH` | CUB-200-2011, with the maps of Semantic Guidance | train, test, all |
    | `cars:PATH` | Stanford Cars | train, test, all |

    `guided` computes mask, window and focus map of a plain folder's pictures and of the photographs, which are
    the whole picture otherwise. Raises ValueError for what is not in the table and for a source without pictures.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: expected one of {list(SPLITS)}")
    if name.partition(":")[0] == "embedded":
        return SceneTargets(size, embedded_count(name, split), seed, split, device)
    names, store = datasets.load(_entries(name, split, guided), size)
    if not names:
        raise ValueError(f"{name}: no readable image in the split {split!r}"
                         + ("" if split == "all" else "; split='all' takes every image"))
    return StoredTargets(names, store, device)


def _entries(name: str, split: str, guided: bool) -> list[datasets.Entry]:
    kind, _, rest = name.partition(":")
    if name == "photos":
        if split == "train":
            raise ValueError("the photographs of scikit-image are for evaluation: take split='test'")
        return datasets.photographs(guided)
    if kind in ("cub", "cars") and rest:
        return (datasets.cub if kind == "cub" else datasets.cars)(Path(rest), split)
    path = Path(rest if kind == "folder" and rest else name)
    if not path.is_dir():
        raise ValueError(f"no targets {name!r}: expected embedded[:COUNT], photos, [folder:]PATH, cub:PATH or "
                         f"cars:PATH, and {str(path)!r} is no folder")
    return datasets.folder(path, split, guided)


def embedded_count(name: str, split: str) -> int:
    """How many items `embedded` or `embedded:COUNT` means; raises ValueError for another COUNT than 1, 2, ..."""
    _, colon, count = name.partition(":")
    if not colon:
        return EMBEDDED_COUNTS.get(split, 0)
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{name!r}: expected embedded:COUNT with COUNT >= 1")
    return int(count)
