"""The tables, the verdict and the picture of ``face_study``, with intervals over seeds and dialogs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from .edit_pictures import save, subplots

Numbers = NDArray[np.float64]
Bounds = tuple[float, float, float]  # a mean and its 95 % interval

BASELINE, NOTHING = "field", "none"
NAMES = {
    "none": "no edit",
    "line": "straight line",
    "field": "semantic field (baseline)",
    "published": "REINFORCE, as written",
    "reinforce": "REINFORCE, repaired",
    "supervised": "supervised",
    "imitation": "imitation of the oracle",
    "ppo": "PPO after imitation",
    "ddpg": "DDPG",
    "oracle": "oracle",
}
STYLES = {  # colours: Okabe and Ito, 2008
    "none": ("#999999", ":"),
    "line": ("#E69F00", "--"),
    "field": ("#D55E00", "-"),
    "published": ("#CC79A7", ":"),
    "reinforce": ("#CC79A7", "--"),
    "supervised": ("#CC79A7", "-"),
    "imitation": ("#56B4E9", "--"),
    "ppo": ("#0072B2", "-"),
    "ddpg": ("#009E73", "-"),
    "oracle": ("#000000", "--"),
}
PER_ROUND = {"feature_distance": "feature distance", "attribute_distance": "attribute distance", "identity": "identity"}
MOVED = {"moved/others": "others moved", "moved/person": "person moved", "moved/circumstances": "circumstances moved"}
FINALLY = {"success": "success", "satisfied": "satisfied"} | MOVED
JUDGED = 3  # the round of the published claim
RISE, SHARE, STRETCH = 1.1, 0.7, 0.45  # of the baseline from round 1 on; of a policy in the baseline's distance
FLAT = 1.02  # of the distance after round 1: what still counts as not rising
SCALE = 2.0  # of the distance at the start: the end of the plot
RESAMPLES = 2000


class Measured:
    """An arm's metrics ``[seeds, dialogs]`` by name, and how surely they are known."""

    def __init__(self, arm: str, values: Mapping[str, Numbers]):
        self.arm, self.values = arm, dict(values)

    @classmethod
    def read(cls, arm: str, paths: Sequence[Path]) -> "Measured":
        """Of one file a seed."""
        seeds = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        names = [name for name, values in seeds[0].items() if isinstance(values, list)]
        return cls(arm, {name: np.array([seed[name] for seed in seeds], dtype=np.float64) for name in names})

    @property
    def seeds(self) -> int:
        return len(self.values["success"])

    @property
    def rounds(self) -> int:
        return sum(name.startswith("feature_distance/") for name in self.values) - 1

    def mean(self, metric: str) -> float:
        return float(self.values[metric].mean())

    @cached_property
    def drawn(self) -> dict[str, Numbers]:
        """Means ``[RESAMPLES]`` of a hierarchical bootstrap: seeds and dialogs are resampled, the dialogs alike for all
        arms, so that differences are of the same dialogs."""
        seeds, dialogs = self.values["success"].shape
        picked = counts(np.random.default_rng(0), dialogs)
        runs = counts(np.random.default_rng([1, list(NAMES).index(self.arm)]), seeds)
        return {name: ((picked @ values.T) * runs).sum(1) for name, values in self.values.items()}

    def bounds(self, metric: str) -> Bounds:
        return interval(self.mean(metric), self.drawn[metric])

    def less(self, other: "Measured", metric: str) -> Bounds:
        """How much higher the mean is than that of ``other`` on the same dialogs."""
        return interval(self.mean(metric) - other.mean(metric), self.drawn[metric] - other.drawn[metric])

    def rows(self, arms: Mapping[str, "Measured"]) -> Iterator[dict[str, Any]]:
        """One row a metric, with the paired differences to the baseline and to no edit where these are measured."""
        for metric in self.values:
            beside = {f"less_{name}": self.less(arms[name], metric) for name in (BASELINE, NOTHING) if name in arms}
            yield {"arm": self.arm, "seeds": self.seeds, "metric": metric, "mean": self.bounds(metric)} | beside


def counts(random: np.random.Generator, size: int) -> Numbers:
    """``[RESAMPLES, size]``: the share of each of ``size`` in a sample of as many, drawn with replacement."""
    return random.multinomial(size, np.full(size, 1 / size), RESAMPLES) / size


def interval(mean: float, drawn: Numbers) -> Bounds:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return mean, float(low), float(high)


def measured_arms(out: Path, names: Sequence[str]) -> dict[str, Measured]:
    """What is measured in ``out``. Raises ValueError where not all arms were measured on as many dialogs."""
    found = {}
    for arm in names:
        paths = [path for path in [out / arm / "measured.json"] if path.is_file()]
        if paths := paths or sorted((out / arm).glob("seed*/measured.json")):
            found[arm] = Measured.read(arm, paths)
    dialogs = {arm: scores.values["success"].shape[1] for arm, scores in found.items()}
    if len(set(dialogs.values())) > 1:
        raise ValueError(f"the arms in {out} were measured on different numbers of dialogs, run them again: {dialogs}")
    return found


@dataclass(frozen=True)
class Sheet:
    """A table, to print or to write."""

    title: str
    heads: list[str]
    rows: list[list[str]]

    def table(self) -> Table:
        out = Table(*self.heads, title=self.title)
        for row in self.rows:
            out.add_row(*row)
        return out

    def markdown(self) -> str:
        lines = [self.heads, ["---"] * len(self.heads), *self.rows]
        return f"{self.title}:\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def sheets(arms: Mapping[str, Measured]) -> list[Sheet]:
    """Both distances side by side, what was reached in the end, and the paired differences."""
    last = next(iter(arms.values())).rounds
    every, few = distances(range(1, last + 1)), distances(sorted({min(JUDGED, last), last}))
    end = FINALLY | {f"identity/round_{last}": "identity", f"predicted_distance/round_{last}": "distance by predictor"}
    beside = {name: text for name, text in ((BASELINE, "the field"), (NOTHING, "no edit")) if name in arms}
    gaps = [(metric, name) for metric in few for name in beside]
    heads = [f"{few[metric]} less that of {beside[name]}" for metric, name in gaps]
    rows = [
        [NAMES[arm], *(written(own.less(arms[name], metric)) for metric, name in gaps)] for arm, own in arms.items()
    ]
    return [
        sheet("Distances after each round, ± half the 95 % interval", arms, every),
        sheet(f"After {last} rounds", arms, end),
        Sheet("Paired differences [95 % intervals]", ["arm", *heads], rows),
    ]


def distances(rounds: Iterable[int]) -> dict[str, str]:
    """The metrics of the two published plots after ``rounds``, and what they are called."""
    return {f"{name}/round_{k}": f"{PER_ROUND[name]} {k}" for name in list(PER_ROUND)[:2] for k in rounds}


def sheet(title: str, arms: Mapping[str, Measured], metrics: Mapping[str, str]) -> Sheet:
    rows = []
    for arm, scores in arms.items():
        cells = [f"{mean:.3f} ±{(high - low) / 2:.3f}" for mean, low, high in map(scores.bounds, metrics)]
        rows.append([NAMES[arm], str(scores.seeds), *cells])
    return Sheet(title, ["arm", "seeds", *metrics.values()], rows)


def written(bounds: Bounds) -> str:
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*bounds)


@dataclass(frozen=True)
class Clause:
    """One of the things to show, of one arm."""

    arm: str
    holds: bool
    says: str

    def line(self) -> str:
        return f"{'holds' if self.holds else 'FAILS'}: {NAMES[self.arm]}, round {JUDGED}: {self.says}"


def verdict(arms: Mapping[str, Measured], learned: Sequence[str]) -> list[Clause]:
    """Which of the claims hold; none without the two arms that they compare with."""
    if not {BASELINE, NOTHING} <= arms.keys():
        return []
    field, feature = arms[BASELINE], f"feature_distance/round_{JUDGED}"
    rise = field.mean(feature) / field.mean("feature_distance/round_1")
    said = f"feature distance {rise:.2f} of that at round 1; at least {RISE} is expected of it"
    return [Clause(BASELINE, rise >= RISE, said), *(clause for arm in learned for clause in clauses(arms[arm], arms))]


def clauses(own: Measured, arms: Mapping[str, Measured]) -> Iterator[Clause]:
    """Of an arm that learned, beside the two that it is compared with."""
    feature, attribute = (f"{name}/round_{JUDGED}" for name in ("feature_distance", "attribute_distance"))
    baseline = arms[BASELINE].mean(feature)
    share, worst = own.mean(feature) / baseline, float(own.values[feature].mean(1).max()) / baseline
    said = f"feature distance {share:.2f} of the baseline's (worst seed {worst:.2f})"
    yield Clause(own.arm, share <= SHARE, f"{said}; at most {SHARE} is asked, {STRETCH} hoped for")
    rise = own.mean(feature) / own.mean("feature_distance/round_1")
    yield Clause(own.arm, rise <= FLAT, f"feature distance {rise:.2f} of that at round 1; at most {FLAT} is not rising")
    (mean, low, high), (none, least, most) = own.bounds(feature), arms[NOTHING].bounds(feature)
    said = f"feature distance {mean:.3f} [{low:.3f}, {high:.3f}], no edit {none:.3f} [{least:.3f}, {most:.3f}]"
    yield Clause(own.arm, high < least, f"{said}; below it with intervals apart is asked")
    gap = own.less(arms[BASELINE], attribute)
    yield Clause(own.arm, gap[0] <= 0, f"attribute distance less the baseline's {written(gap)}; at most 0 is asked")


def markdown(tables: Sequence[Sheet], clauses: Sequence[Clause]) -> str:
    return "\n".join([*(sheet.markdown() for sheet in tables), *(f"- {clause.line()}" for clause in clauses), ""])


def draw(arms: Mapping[str, Measured], path: Path) -> Path:
    """Both published plots side by side, and the identity; a line an arm, bands are 95 % intervals."""
    figure, axes = subplots(1, len(PER_ROUND), (12, 4.8))
    for axis, (metric, label) in zip(axes, PER_ROUND.items(), strict=True):
        for arm, scores in arms.items():
            rounds = range(scores.rounds + 1)
            mean, low, high = zip(*(scores.bounds(f"{metric}/round_{k}") for k in rounds), strict=True)
            colour, line = STYLES[arm]
            axis.plot(rounds, mean, line, color=colour, label=NAMES[arm], linewidth=2)
            axis.fill_between(rounds, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.set(xlabel="round", title=label, xticks=list(rounds))
        axis.set_ylim(bottom=None if metric == "identity" else 0)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    clip(axes[0], arms)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=4, frameon=False, fontsize=11)
    return save(figure, path)


def clip(axis: Any, arms: Mapping[str, Measured]) -> None:
    """End the axis of feature distances at ``SCALE`` times the start, and say which lines leave it."""
    top = SCALE * next(iter(arms.values())).mean("feature_distance/round_0")
    highest = {arm: max(s.mean(f"feature_distance/round_{k}") for k in range(s.rounds + 1)) for arm, s in arms.items()}
    beyond = [f"{NAMES[arm]} (to {value:.2g})" for arm, value in highest.items() if value > top]
    if beyond:
        axis.set_ylim(0, top)
        axis.set_xlabel("round\nbeyond the scale: " + ", ".join(beyond), fontsize=8)
