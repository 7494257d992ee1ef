"""The embedded world of instruction editing: problems whose answer is known exactly.

A problem is a scene and an instruction. Number i of a split is a function of the seed and i alone, whatever is drawn
with it; problems live in batches on any device.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .edit_language import COLOURS, KINDS, PLACES, WORDINGS, Request
from .edit_scenes import BACKGROUNDS, CELL, EMPTY, LOOKS, OFFSETS, RADII, Scenes, from_cells

MEDIUM, CENTRED = 1, 4  # radius and offset of an inserted object
STREAMS = {"train": 0, "test": 1, "corrupted": 2}
CORRUPTIONS = ("no edit", "wrong colour", "wrong place", "another change too")
_BLOCK = 1024  # problems that share a stream of random numbers
_ROLLS = 42  # random numbers a problem


@dataclass(frozen=True)
class Problems:
    """A batch of scenes and of what is to be done to them."""

    source: Scenes
    target: Scenes  # exactly what was asked for
    kind: Tensor  # [B] int64, place in KINDS
    cell: Tensor  # [B] int64, place in PLACES of what is edited
    wording: Tensor  # [B] int64, place in the kind's WORDINGS

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, index: Tensor) -> "Problems":
        """The problems at `index` [M]."""
        return self._with(lambda part: part[index])

    def to(self, device: torch.device | str) -> "Problems":
        return self._with(lambda part: part.to(device))

    def _with(self, change: Callable[[Any], Any]) -> "Problems":
        """These problems, with `change` made to each part."""
        return Problems(*(change(getattr(self, field.name)) for field in fields(self)))

    @property
    def edited(self) -> Tensor:
        """[B, 4] bool, true at the cell that is edited."""
        return _one_of_four(self.cell)

    def mask(self) -> Tensor:
        """[B, 1, 32, 32] bool, true in the cell that is edited."""
        return from_cells(self.edited[:, :, None, None, None].expand(-1, -1, 1, CELL, CELL))

    def requests(self) -> list[Request]:
        """What each instruction asks for."""
        old, new = self.source.look[self.edited].tolist(), self.target.look[self.edited].tolist()
        asked = zip(self.kind.tolist(), self.cell.tolist(), old, new, strict=True)
        return [_request(KINDS[kind], PLACES[cell], LOOKS[before], LOOKS[after]) for kind, cell, before, after in asked]

    def instructions(self) -> list[str]:
        """Each request in its wording."""
        return [request.text(wording) for request, wording in zip(self.requests(), self.wording.tolist(), strict=True)]

    def captions(self) -> list[str]:
        """What each target shows: "a red circle on the top left and a blue cross on the bottom left"."""
        return [_caption([LOOKS[look] for look in looks]) for looks in self.target.look.tolist()]


def draw_problems(count: int, seed: int = 0, split: str = "train", first: int = 0) -> Problems:
    """Problems number `first` to `first + count - 1` of a split: each kind as often, one to three objects a source.

    No two objects of a source look alike, so an instruction names one only. The splits share no source: those whose
    attributes add up to a multiple of 9 are the test's. Raises ValueError for another split than train or test.
    """
    if split not in ("train", "test"):
        raise ValueError(f"no split {split!r} in the embedded world: expected train or test")
    roll = _Rolls(_uniform(count, [seed, STREAMS[split]], first))
    order = roll.permutation(4)  # cells: the objects' come first, the edited object's before all, an empty one last
    looks = roll.permutation(len(LOOKS) - 1)  # the fifth is of what is new
    source = _sources(roll, order, looks[:, :4], split)
    kind = roll.integers(len(KINDS))
    inserted, removed, recoloured = (kind == KINDS.index(name) for name in ("insertion", "removal", "transformation"))
    cell = torch.where(inserted, order[:, 3], order[:, 0])
    inserted, recoloured = inserted[:, None], recoloured[:, None]
    result = Scenes(
        source.background,
        torch.where(recoloured, source.shape, looks[:, 4:5] // len(COLOURS)),
        torch.where(recoloured, _other(source.colour, roll), looks[:, 4:5] % len(COLOURS)),
        torch.where(inserted, MEDIUM, source.radius),
        torch.where(inserted, CENTRED, source.offset),
    ).emptied(removed[:, None])
    wording = roll.integers(torch.tensor([len(WORDINGS[name]) for name in KINDS])[kind])
    return Problems(source, source.where(_one_of_four(cell), result), kind, cell, wording)


def corrupted(problems: Problems, chance: float, seed: int = 0, first: int = 0) -> Scenes:
    """Imperfect targets, to train an editor by halves: with `chance`, one of CORRUPTIONS in place of what was asked.

    `first` is the number of the first problem, as in `draw_problems`; what befalls a number depends on the seed alone.
    """
    roll = _Rolls(_uniform(len(problems), [seed, STREAMS["corrupted"]], first).to(problems.kind.device))
    wrong = roll.uniform() < chance
    how = torch.where(wrong, roll.integers(len(CORRUPTIONS)), -1)[:, None]
    edited, elsewhere = problems.edited, _one_of_four((problems.cell + 1 + roll.integers(3)) % len(PLACES))
    source, target = problems.source, problems.target
    shown = target.where(target.shape == EMPTY, source)
    recoloured = replace(shown, colour=_other(shown.colour, roll))
    beside = shown.spread(problems.cell).emptied(source.shape != EMPTY)
    return (
        target.where(edited & ((how == 0) | (how == 2)), source)
        .where(edited & (how == 1), recoloured)
        .where(elsewhere & (how == 2), target.spread(problems.cell))
        .where(elsewhere & (how == 3), beside)
    )


class _Rolls:
    """Random numbers [B, N] in [0, 1), used up from the left."""

    def __init__(self, numbers: Tensor) -> None:
        self._numbers = numbers

    def uniform(self, *shape: int) -> Tensor:
        """[B, *shape] in [0, 1)."""
        count = math.prod(shape)
        numbers, self._numbers = self._numbers[:, :count], self._numbers[:, count:]
        return numbers.unflatten(1, shape) if shape else numbers[:, 0]

    def integers(self, high: int | Tensor, *shape: int) -> Tensor:
        """[B, *shape] int64 in {0, ..., high - 1}."""
        return (self.uniform(*shape) * high).long()

    def permutation(self, count: int) -> Tensor:
        """[B, count] int64, 0 to count - 1 in any order."""
        return self.uniform(count).argsort(1)


def _uniform(count: int, stream: list[int], first: int) -> Tensor:
    """Random numbers of rows `first` to `first + count - 1` of a stream: [count, _ROLLS] float64."""
    blocks = range(first // _BLOCK, -(-(first + count) // _BLOCK))
    rows = [np.random.default_rng([*stream, block]).random((_BLOCK, _ROLLS)) for block in blocks]
    start = first % _BLOCK
    return torch.from_numpy(np.concatenate([np.empty((0, _ROLLS)), *rows])[start : start + count])


def _sources(roll: _Rolls, order: Tensor, looks: Tensor, split: str) -> Scenes:
    """Scenes of a split with objects of `looks` [B, 4] in the first one, two or three cells of `order` [B, 4]."""
    objects = 1 + roll.integers(3)[:, None]
    scenes = Scenes(
        roll.integers(len(BACKGROUNDS)), looks // len(COLOURS), looks % len(COLOURS),
        roll.integers(len(RADII), 4), roll.integers(len(OFFSETS), 4),
    ).emptied(order.argsort(1) >= objects)  # fmt: skip
    total = scenes.background + torch.stack(scenes.cells()).sum((0, 2))
    wanted = 0 if split == "test" else 1 + roll.integers(len(OFFSETS) - 1)
    offset = (scenes.offset + (wanted - total)[:, None]) % len(OFFSETS)
    return replace(scenes, offset=torch.where(_one_of_four(order[:, 0]), offset, scenes.offset))


def _other(colour: Tensor, roll: _Rolls) -> Tensor:
    """Another colour for each of [B, 4]."""
    return (colour + 1 + roll.integers(len(COLOURS) - 1)[:, None]) % len(COLOURS)


def _one_of_four(cell: Tensor) -> Tensor:
    """[B, 4] bool, true at `cell` [B]."""
    return F.one_hot(cell, len(PLACES)).bool()


def _request(kind: str, place: str, old: str, new: str) -> Request:
    if kind == "insertion":
        return Request(kind, new=new, place=place)
    if kind == "removal":
        return Request(kind, old=old)
    if kind == "replacement":
        return Request(kind, old=old, new=new)
    return Request(kind, old=old, colour=new.split()[0])


def _caption(names: list[str]) -> str:
    """A scene in words, by the name in each cell."""
    shown = [f"a {name} on the {place}" for name, place in zip(names, PLACES, strict=True) if name]
    return " and ".join(shown) or "an empty picture"
