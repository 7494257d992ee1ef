"""Files that a kill at any moment leaves whole, and checkpoints made of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..simulators.files import whole

PATTERN = "update_*.pt"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have ``write`` fill a temporary file that then becomes ``path``."""
    with whole(path) as partial:
        write(partial)


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, saved: dict[str, Any]) -> None:
    """``saved`` holds nothing but tensors, numbers, text and containers of these."""
    write_whole(path, lambda partial: torch.save(saved, partial))


def read_tensors(path: Path, device: torch.device | str | None = None) -> dict[str, Any]:
    """What ``write_tensors`` wrote, on ``device`` or where each tensor lay; nothing in the file is executed."""
    return torch.load(path, map_location=device, weights_only=True)


def save(folder: Path, update: int, saved: dict[str, Any], keep: int) -> None:
    """Write the checkpoint of ``update`` and delete all but the last ``keep``, and what a kill left half written."""
    for partial in folder.glob(f".{PATTERN}"):
        partial.unlink()
    write_tensors(folder / f"update_{update:08d}.pt", saved)
    for old in sorted(folder.glob(PATTERN))[:-keep]:
        old.unlink()


def latest(folder: Path) -> Path | None:
    """The last checkpoint, if there is one."""
    return max(folder.glob(PATTERN), default=None)


def update_of(checkpoint: Path) -> int:
    """How many updates had been done when it was written."""
    return int(checkpoint.stem.rpartition("_")[2])


def random_state() -> dict[str, Any]:
    """The state of torch's global generators."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def set_random_state(saved: dict[str, Any]) -> None:
    torch.set_rng_state(saved["cpu"].cpu())
    if saved["cuda"]:
        torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda"]])
