"""Settings as a user writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest

from retouch.benchmarks.config import Misfit, arguments, describe, grouped, override, read


@dataclass(frozen=True)
class Oven:
    heat: float = 180.0
    minutes: int = 30
    fan: bool = False
    name: str = "oven"
    dishes: tuple[str, ...] = ()
    mode: Literal["top", "bottom"] = "top"

    def __post_init__(self):
        if self.heat > 300:
            raise ValueError(f"heat must be at most 300, got {self.heat}")


def bake(self, recipe: str | Mapping[str, float], steps: int | None = None, device: str = "cpu"): ...


def test_changes_only_what_is_named():
    changed = override(Oven(), {"heat": "2e2", "minutes": "5", "fan": "true", "dishes": "bread,cake", "mode": "bottom"})
    assert changed == Oven(heat=200.0, minutes=5, fan=True, dishes=("bread", "cake"), mode="bottom")
    assert isinstance(override(Oven(), {"heat": "200"}).heat, float)


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("5", str, "5"),
        ("'5'", str, "5"),
        ("None", str, "None"),
        ("null", int | None, None),
        ("None", int | None, None),
        ("1_000", int, 1000),
        ("False", bool, False),
        ("l2", str | Mapping[str, float], "l2"),
        ('{"l2": 1, "focus": 0.5}', str | Mapping[str, float], {"l2": 1.0, "focus": 0.5}),
        ("1,0.5,0", float | Sequence[float], (1.0, 0.5, 0.0)),
        ("0.5", float | Sequence[float], 0.5),
        ("[1, 2]", tuple[int, ...], (1, 2)),
        ("(1, 2.5)", tuple[int, float], (1, 2.5)),
        ("((1, 0.1, 2), (3, 0.2, 4))", tuple[tuple[int, float, float], ...], ((1, 0.1, 2.0), (3, 0.2, 4.0))),
        ("mask", Sequence[str], ("mask",)),
        ("", Sequence[str], ()),
    ],
)
def test_reads_text_as_the_type_that_is_wanted(text, wanted, expected):
    assert read(text, wanted) == expected and type(read(text, wanted)) is type(expected)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("2.5", int), ("true", int), ("1", bool), ("nan", float), ("1e999", float), ("Infinity", float), ("fast", float),
     ("(1, 2, 3)", tuple[int, int]), ("__import__('os')", int), ("side", Literal["top", "bottom"])],
)
def test_refuses_what_does_not_fit(text, wanted):
    with pytest.raises(Misfit):
        read(text, wanted)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"heart": "1"}, "no setting agent.heart; did you mean heat\\? There is heat, minutes, fan, name, dishes"),
        ({"minutes": "2.5"}, "agent.minutes must be int, got '2.5'"),
        ({"mode": "side"}, "agent.mode must be 'top' or 'bottom', got 'side'"),
        ({"heat": "301"}, "heat must be at most 300, got 301.0"),
    ],
)
def test_says_what_is_wrong(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        override(Oven(), settings, "agent.")


def test_arguments_of_a_function_are_settings_but_for_its_device():
    assert arguments(bake, {"recipe": "l2", "steps": "3"}) == {"recipe": "l2", "steps": 3}
    with pytest.raises(ValueError, match="no setting env.device; There is recipe, steps"):
        arguments(bake, {"device": "cuda"}, "env.")


def test_groups_settings_by_their_prefix():
    found = grouped(["seed=1", "env.size=64", "env.reward={'l2': 1}", "agent.name=a=b"], ("env", "agent", "policy"))
    assert found == {
        "": {"seed": "1"}, "env": {"size": "64", "reward": "{'l2': 1}"}, "agent": {"name": "a=b"}, "policy": {},
    }


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [("seed", "expected key=value, got 'seed'"), ("env.=3", "expected key=value"),
     ("environment.size=3", "no settings environment.\\*; There is env"), ("=3", "expected key=value")],
)
def test_refuses_settings_that_are_none(setting, complaint):
    with pytest.raises(ValueError, match=complaint):
        grouped([setting], ("env",))


def test_refuses_a_key_given_twice():
    with pytest.raises(ValueError, match="env.size is given twice"):
        grouped(["env.size=1", "env.size=2"], ("env",))


def test_types_read_as_people_write_them():
    assert describe(float | Sequence[float]) == "float or Sequence[float]"
    assert describe(tuple[str, ...]) == "tuple[str, ...]"
    assert describe(int | None) == "int or None"
