"""The training of weights that are shipped: for so many minutes, interrupted at any moment, gone on with later."""

import time
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .checkpoint import read_tensors, write_tensors
from .train import interruption

EVERY = 300.0  # seconds between checkpoints


class Trainer(Protocol):
    updates: int
    seconds: float  # of training so far

    def update(self, done: float) -> None:
        """One update, `done` (0 to 1) of the way through the training."""
        ...

    def try_out(self) -> None:
        """Measure on held-out problems what `told` tells of them, before each checkpoint."""
        ...

    def told(self) -> str:
        """How the training goes, in a few words."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, saved: dict[str, Any]) -> None: ...


AnyTrainer = TypeVar("AnyTrainer", bound=Trainer)


def train(trainer: AnyTrainer, minutes: float, path: Path) -> AnyTrainer:
    """Train for `minutes` in all, from what is left of an earlier training for the weights `path`, if there is any.

    On Ctrl-C, keep what is done and raise KeyboardInterrupt.
    """
    checkpoint, name = partial(path), path.stem
    if checkpoint.exists():
        trainer.load_state_dict(read_tensors(checkpoint))
        print(f"{name}: goes on from {checkpoint}, update {trainer.updates}", flush=True)
    budget, saved = 60 * minutes, trainer.seconds
    with interruption() as interrupted:
        while trainer.seconds < budget:
            start = time.monotonic()
            trainer.update(trainer.seconds / budget)
            trainer.seconds += time.monotonic() - start
            stop, due = interrupted(), trainer.seconds >= min(budget, saved + EVERY)
            if due:
                saved = trainer.seconds
                trainer.try_out()
            if due or stop:
                write_tensors(checkpoint, trainer.state_dict())
            if due or stop or trainer.updates % 50 == 0:
                rate, left = trainer.updates / trainer.seconds, max(0.0, budget - trainer.seconds)
                pace = f"{rate:.2f} updates/s, {left:.0f} s left"
                print(f"{name}: update {trainer.updates}, {trainer.told()}, {pace}", flush=True)
            if stop:
                print(f"{name}: kept in {checkpoint}; the same command goes on", flush=True)
                raise KeyboardInterrupt
    return trainer


def partial(path: Path) -> Path:
    """Where an unfinished training of the weights `path` is kept."""
    return path.with_suffix(".partial.pt")
