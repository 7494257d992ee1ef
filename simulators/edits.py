"""What is to be edited, and how: batches of pictures with an instruction, its exact answer and its place.

`make_edits` opens a source by its name: the embedded world, MagicBrush, or a folder of triples.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from . import triples
from .edit_checker import check, margin
from .edit_language import KINDS
from .edit_scenes import SIZE, Scenes
from .edit_world import Problems, corrupted, draw_problems
from .targets import SPLITS, embedded_count

REAL_SIZE = 512  # pixels of real pictures unless another size is asked for, as Stable Diffusion has it
WRONG = 0.5  # of imperfect targets
UNKNOWN = -1  # the kind of a real edit

__all__ = ["KINDS", "UNKNOWN", "Edit", "Edits", "EmbeddedEdits", "StoredEdits", "make_edits"]


@dataclass(frozen=True)
class Edit:
    """A batch of problems."""

    source: Tensor  # [B, 3, S, S] uint8
    target: Tensor  # [B, 3, S, S] uint8, exactly what was asked for; the source where that is not known
    mask: Tensor  # [B, 1, S, S] uint8, 255 where the edit belongs
    kind: Tensor  # [B] int64, place in KINDS, or UNKNOWN


class Edits(Protocol):
    """A fixed, ordered collection of editing problems."""

    size: int  # S, pixels
    instructions: list[str]  # what is asked
    objects: list[str]  # the words of the instruction that name the edited object, "" where they are not known
    captions: list[str]  # what the target shows

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Edit:
        """The problems at `index` [B] int64, on the collection's device."""
        ...

    def check(self, image: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Whether `image` [B, 3, S, S] in [0, 1] solves the problems at `index` [B]: "done" and "kept", each [B], 0 or
        1 as float. {} where there is no telling."""
        ...

    def margin(self, image: Tensor, index: Tensor) -> Tensor:
        """How surely it does, [B] in [-1, 1], below 0 where it does not. NaN where there is no telling."""
        ...


class EmbeddedEdits:
    """Problems of the embedded world, 32 pixels, drawn anew whenever they are looked at."""

    size = SIZE

    def __init__(self, problems: Problems, shown: Scenes | None = None) -> None:
        """`shown`: the targets that are shown, in place of what was asked for exactly, which is checked still."""
        self._problems = problems
        self._shown = problems.target if shown is None else shown
        self.instructions = problems.instructions()
        self.objects = [request.named for request in problems.requests()]
        self.captions = problems.captions()

    def __len__(self) -> int:
        return len(self._problems)

    def __getitem__(self, index: Tensor) -> Edit:
        problems = self._at(index)
        mask = 255 * problems.mask().to(torch.uint8)
        shown = self._shown[index.to(problems.kind.device)]
        return Edit(problems.source.pixels(), shown.pixels(), mask, problems.kind)

    def check(self, image: Tensor, index: Tensor) -> dict[str, Tensor]:
        """As `Edits.check`, by the exact checker."""
        return check(image, self._at(index))

    def margin(self, image: Tensor, index: Tensor) -> Tensor:
        """As `Edits.margin`, by the exact checker."""
        return margin(image, self._at(index))

    def _at(self, index: Tensor) -> Problems:
        return self._problems[index.to(self._problems.kind.device)]


class StoredEdits:
    """Problems with real pictures, all of them read already."""

    def __init__(self, loaded: triples.Loaded, device: torch.device | str = "cpu") -> None:
        self.size = loaded.pixels.shape[-1]
        self.instructions, self.captions = loaded.instructions, loaded.captions
        self.objects = [""] * len(loaded.instructions)
        self._pixels = loaded.pixels
        self._device = torch.device(device)

    def __len__(self) -> int:
        return len(self.instructions)

    def __getitem__(self, index: Tensor) -> Edit:
        pixels = self._pixels[index.cpu()].to(self._device)
        kind = torch.full((len(pixels),), UNKNOWN, device=self._device)
        return Edit(pixels[:, :3], pixels[:, 3:6], pixels[:, 6:], kind)

    def check(self, image: Tensor, index: Tensor) -> dict[str, Tensor]:
        """{}: nothing tells exactly whether a photograph was edited as asked."""
        return {}

    def margin(self, image: Tensor, index: Tensor) -> Tensor:
        """NaN: nor how surely."""
        return torch.full((len(image),), torch.nan, device=image.device)


def make_edits(
    source: str = "embedded",
    size: int | None = None,
    split: str = "train",
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Edits:
    """Editing problems by name.

    | source | problems | splits | size |
    | --- | --- | --- | --- |
    | `embedded`, `embedded:COUNT` | the embedded world, drawn from `seed` | train, test | 32 |
    | `imperfect`, `imperfect:COUNT` | the same, but every other target is not what was asked | train, test | 32 |
    | `magicbrush:PATH` | MagicBrush, as on the hub or in its archive (`triples.magicbrush`) | train, test, all | any |
    | `PATH`, `folder:PATH` | `NAME.png`, `NAME.mask.png`, `NAME.txt`, `NAME.target.png` | train, test, all | any |

    Real pictures are cut to their middle square and resized to `size`, 512 unless it is given. Raises ValueError for
    what is not in the table and for a source without problems.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: expected one of {list(SPLITS)}")
    kind, _, rest = source.partition(":")
    if kind in ("embedded", "imperfect"):
        if size not in (None, SIZE):
            raise ValueError(f"the embedded world is {SIZE} pixels, not {size}: leave the size out")
        problems = draw_problems(embedded_count(source, split), seed, split).to(device)
        return EmbeddedEdits(problems, corrupted(problems, WRONG, seed) if kind == "imperfect" else None)
    read = triples.magicbrush if kind == "magicbrush" and rest else triples.folder
    root = Path(rest if rest and kind in ("magicbrush", "folder") else source)
    if not root.is_dir():
        raise ValueError(
            f"no edits {source!r}: expected embedded[:COUNT], magicbrush:PATH or [folder:]PATH, and "
            f"{str(root)!r} is no folder"
        )
    loaded = triples.load(read(root, split), REAL_SIZE if size is None else size)
    if not loaded.instructions:
        raise ValueError(
            f"{source}: no readable problem in the split {split!r}"
            + ("" if split == "all" else "; split='all' takes every one")
        )
    return StoredEdits(loaded, device)
