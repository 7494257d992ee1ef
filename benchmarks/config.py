"""Settings are frozen dataclasses and keyword arguments; a command line changes some of them: ``lr=1e-4 clip=0.1``."""

import json
import math
import types
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
NOT_SETTABLE = ("self", "device")  # a run has one device, for all its parts


class Misfit(Exception):
    """A value is not of the type that is wanted."""


def grouped(settings: Sequence[str], groups: Sequence[str]) -> dict[str, dict[str, str]]:
    """``["seed=1", "env.size=64"]`` as ``{"": {"seed": "1"}, "env": {"size": "64"}, ...}``, every group present.

    Raises ValueError for what is not ``key=value``, for an unknown group, and for a key given twice.
    """
    found: dict[str, dict[str, str]] = {group: {} for group in ("", *groups)}
    for setting in settings:
        path, equals, text = setting.partition("=")
        group, _, key = path.rpartition(".")
        if not equals or not key:
            raise ValueError(f"expected key=value, got {setting!r}")
        if group not in found:
            raise ValueError(f"no settings {group}.*; {hint(group, groups)}")
        if key in found[group]:
            raise ValueError(f"{path} is given twice")
        found[group][key] = text
    return found


def override(config: Config, settings: Mapping[str, Any], prefix: str = "") -> Config:
    """``config`` with some fields changed, each read as its own type (see ``read``); ``prefix`` is for the errors.

    Raises ValueError for unknown fields, wrong types, and whatever the dataclass itself refuses.
    """
    hints = get_type_hints(type(config))
    return replace(config, **_read_all({f.name: hints[f.name] for f in fields(config)}, settings, prefix))


def arguments(function: Callable, settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Keyword arguments for ``function``, read as its signature's types. Raises ValueError as ``override`` does."""
    return _read_all(settable(function), settings, prefix)


def settable(function: Callable) -> dict[str, Any]:
    """The arguments that settings may name, and their types."""
    hints = get_type_hints(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]
    return {name: hints.get(name, Any) for name in signature(function).parameters if name not in NOT_SETTABLE}


def read(value: Any, wanted: Any) -> Any:
    """``value`` as the type ``wanted``: text as a JSON or Python literal, as itself, or as ``a,b,c``.

    Raises Misfit where no reading fits.
    """
    for reading in _readings(value) if isinstance(value, str) else (value,):
        try:
            return _fit(reading, wanted)
        except Misfit:
            continue
    raise Misfit(f"{value!r} is no {describe(wanted)}")


def hint(name: str, known: Sequence[str]) -> str:
    """The nearest name and all the others, for the end of an error message."""
    near = get_close_matches(name, known, 1)
    return (f"did you mean {near[0]}? " if near else "") + f"There is {', '.join(known) or 'none'}"


def describe(wanted: Any) -> str:
    """A type as a person writes it."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(map(describe, inner))
    if wanted in (types.NoneType, Ellipsis):
        return "None" if wanted is types.NoneType else "..."
    parts = f"[{', '.join(map(describe, inner))}]" if inner else ""
    return (origin or wanted).__name__ + parts


def _read_all(known: Mapping[str, Any], settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    changes = {}
    for key, value in settings.items():
        if key not in known:
            raise ValueError(f"no setting {prefix}{key}; {hint(key, list(known))}")
        try:
            changes[key] = read(value, known[key])
        except Misfit:
            raise ValueError(f"{prefix}{key} must be {describe(known[key])}, got {value!r}") from None
    return changes


def _readings(text: str) -> Iterator[Any]:
    for parser in (json.loads, literal_eval):
        try:
            yield parser(text)
        except (ValueError, SyntaxError):
            continue
    yield text
    yield [next(_readings(part)) for part in text.split(",") if part]


def _fit(value: Any, wanted: Any) -> Any:
    """``value`` where it is a ``wanted``: int passes for float, and any list for a tuple; raises Misfit otherwise."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _fit_any(value, inner)
    if origin is Literal:
        return _expect(value in inner, value)
    if wanted is Any or wanted is types.NoneType:
        return _expect(wanted is Any or value is None, value)
    if wanted is float:
        _expect(type(value) in (int, float) and math.isfinite(value), value)
        return float(value)
    container = origin or wanted
    if container in (str, int, bool):
        return _expect(type(value) is container, value)
    if isinstance(container, type) and issubclass(container, Mapping):
        _expect(isinstance(value, Mapping), value)
        key, item = inner or (Any, Any)
        return {_fit(k, key): _fit(v, item) for k, v in value.items()}
    if isinstance(container, type) and issubclass(container, Sequence):
        return _fit_sequence(value, inner)
    raise Misfit


def _fit_any(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        try:
            return _fit(value, choice)
        except Misfit:
            continue
    raise Misfit


def _fit_sequence(value: Any, inner: tuple[Any, ...]) -> tuple:
    _expect(isinstance(value, list | tuple), value)
    if len(inner) > 1 and inner[1] is not Ellipsis:
        _expect(len(inner) == len(value), value)
        return tuple(_fit(v, item) for v, item in zip(value, inner, strict=True))
    return tuple(_fit(v, inner[0] if inner else Any) for v in value)


def _expect(fits: bool, value: Any) -> Any:
    if not fits:
        raise Misfit
    return value
