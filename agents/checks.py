"""Checks of settings, made once, when they are."""

import math
from typing import Any


def require_positive(settings: Any, *names: str) -> None:
    """Raise ValueError unless each named setting is above zero and finite."""
    _require(settings, names, lambda value: 0 < value < math.inf, "above zero")


def require_not_negative(settings: Any, *names: str) -> None:
    """Raise ValueError unless each named setting is zero or above, and finite."""
    _require(settings, names, lambda value: 0 <= value < math.inf, "at least zero")


def require_fraction(settings: Any, *names: str) -> None:
    """Raise ValueError unless each named setting lies in [0, 1]."""
    _require(settings, names, lambda value: 0 <= value <= 1, "in [0, 1]")


def require_one_of(settings: Any, name: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless the named setting is one of those known."""
    _require(settings, (name,), lambda value: value in known, f"one of {', '.join(known)}")


def _require(settings: Any, names: tuple[str, ...], holds: Any, expected: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not holds(value):
            raise ValueError(f"{type(settings).__name__}.{name} must be {expected}, got {value!r}")
