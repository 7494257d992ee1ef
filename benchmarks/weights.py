"""The weights that we ship, made anew."""

from collections.abc import Callable
from typing import Any

from .config import hint
from .make_renderer import make as make_renderer

MAKERS: dict[str, Callable[..., Any]] = {"renderer": make_renderer}


def make(name: str, minutes: float | None, seed: int) -> None:
    """Train the weights ``name`` and write them with their card; ``minutes``: as long as those shipped, where None.

    Raises ValueError for a name that is none of ``MAKERS``.
    """
    if name not in MAKERS:
        raise ValueError(f"no weights {name!r}; {hint(name, list(MAKERS))}")
    MAKERS[name](seed=seed, **({} if minutes is None else {"minutes": minutes}))
