"""Unlearns half of the shipped editor, to have one that is right now and then, as those trained on collected data are.

It goes on with targets half of which are wrong: another colour, another place, nothing done, something else done too.
"""

from pathlib import Path

from ..simulators.editors import SHIPPED, load_editor
from .editor_card import Table
from .lessons import train
from .make_editor import Trainer, finish

PROBLEMS = "imperfect:32768"
LEARNING_RATE = 4e-4


def make(out: str | Path | None = None, minutes: float = 6.0, seed: int = 0) -> Table:
    """Train for `minutes`; write `editor-half.safetensors` and its card into `out`; return the card's table."""
    path = SHIPPED["half-trained"] if out is None else Path(out) / SHIPPED["half-trained"].name
    trainer = Trainer(seed, PROBLEMS, load_editor("shipped"), LEARNING_RATE)
    return finish(train(trainer, minutes, path), minutes, path, "half-editor")
