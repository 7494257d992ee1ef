"""The pictures of ``edit_study``: how runs went, and edits before and after."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import write_whole
from .edit_tables import NAMES

COLOURS = {"half": "#0072B2", "shipped": "#56B4E9", "attention": "#D55E00", "clip": "#E69F00", "both": "#CC79A7"}
MARKERS = {"half": "o", "shipped": "s", "attention": "^", "clip": "v", "both": "D"}  # colours: Okabe and Ito, 2008


@dataclass(frozen=True)
class Course:
    """What the runs of an arm logged of their evaluation, from before the first update on: ``[seeds, points]``."""

    updates: list[int]
    success: NDArray[np.float64]
    reward: NDArray[np.float64]  # the arm's own, in deviations among edits before training, gained

    @classmethod
    def read(cls, folder: Path) -> "Course | None":
        """Of an arm's folder, as far as all its runs have come; None before their first evaluation."""
        start = folder / "untrained.json"
        runs = [evaluations(path) for path in sorted(folder.glob("seed*/metrics.jsonl"))]
        shared = sorted(set.intersection(*map(set, runs))) if runs else []
        if not shared or not start.is_file():
            return None
        begun = json.loads(start.read_text())
        points = [[begun["logged"], *(run[update] for update in shared)] for run in runs]
        success, reward = (
            np.array([[at[f"eval/{key}"] for at in run] for run in points]) for key in ("success", "return")
        )
        return cls([0, *shared], success, (reward - reward[:, :1]) / max(begun["spread"], 1e-12))


def evaluations(path: Path) -> dict[int, dict[str, Any]]:
    """The lines of a ``metrics.jsonl`` that are of an evaluation, by update."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["update"]: line for line in lines if "eval/success" in line}


def draw(out: Path, studies: Mapping[str, Sequence[str]]) -> Iterator[Path]:
    """Write the pictures of what there is in ``out``; yields each path written."""
    found = {arm: course for arms in studies.values() for arm in arms if (course := Course.read(out / arm))}
    for study, arms in studies.items():
        courses = {arm: found[arm] for arm in arms if arm in found}
        if courses:
            yield curves(courses, out / f"{study}-curves.png")
    if found:
        yield audit(found, out / "reward-against-success.png")


def curves(courses: Mapping[str, Course], path: Path) -> Path:
    """Exact success over training; the band is from the worst seed to the best."""
    figure, axes = plain_axes()
    for arm, course in courses.items():
        axes.plot(course.updates, course.success.mean(0), color=COLOURS[arm], marker=MARKERS[arm], label=label(arm))
        low, high = course.success.min(0), course.success.max(0)
        axes.fill_between(course.updates, low, high, color=COLOURS[arm], alpha=0.2, linewidth=0)
    axes.set(xlabel="updates", ylabel="exact success on held-out edits")
    axes.legend(frameon=False)
    return save(figure, path)


def audit(courses: Mapping[str, Course], path: Path) -> Path:
    """What an arm's own reward gained against the exact success at the same update, a line an arm."""
    figure, axes = plain_axes()
    for arm, course in courses.items():
        reward, success = course.reward.mean(0), course.success.mean(0)
        axes.plot(reward, success, color=COLOURS[arm], marker=MARKERS[arm], label=label(arm))
        axes.annotate(
            f"{course.updates[-1]}", (reward[-1], success[-1]), (5, 4), textcoords="offset points", fontsize=8
        )
    axes.set(
        xlabel="gain of the reward that is trained for\n(deviations of it among edits before training)",
        ylabel="exact success on held-out edits",
        title="each line begins before training, at 0; points are evaluations, the last with its update",
    )
    axes.title.set_fontsize(9)
    axes.legend(frameon=False)
    return save(figure, path)


def label(arm: str) -> str:
    return {"half": "exact, half-trained editor", "shipped": "exact, shipped editor"}.get(arm, NAMES[arm])


def plain_axes() -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    write_whole(path, lambda partial: figure.savefig(partial, dpi=150, format="png"))
    pyplot.close(figure)
    return path
