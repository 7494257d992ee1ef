"""The pictures of ``edit_study``: how runs went, and edits before and after."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agents.rollout import Agent
from ..envs.image_edit import ImageEdit
from ..rewards.attention import token_map
from ..simulators.attention import AttentionRecorder
from .checkpoint import write_whole
from .edit import heat_map, on_one_scale
from .edit_tables import NAMES
from .evaluate import episodes_of, film
from .pictures import Picture

COLOURS = {
    "half": "#0072B2",
    "shipped": "#56B4E9",
    "guided": "#009E73",
    "attention": "#D55E00",
    "clip": "#E69F00",
    "both": "#CC79A7",
}  # Okabe and Ito, 2008
MARKERS = {"half": "o", "shipped": "s", "guided": "P", "attention": "^", "clip": "v", "both": "D"}
SHOWN = 2  # problems of a grid of each sort


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
        axes.plot(course.updates, course.success.mean(0), color=COLOURS[arm], marker=MARKERS[arm], label=NAMES[arm])
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
        axes.plot(reward, success, color=COLOURS[arm], marker=MARKERS[arm], label=NAMES[arm])
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


@dataclass(frozen=True)
class Shown:
    """An edit as there is to see of it: pictures ``[H, W, 3]``, and the attention ``[h, w]`` that its words got."""

    instruction: str
    source: Picture
    truth: Picture
    result: Picture
    attention: NDArray[np.float32]

    @classmethod
    def play(cls, task: ImageEdit, agent: Agent, seed: int) -> "Shown":
        """The episode of ``seed``, as ``evaluate.play`` plays it."""
        env = episodes_of(task, 1)
        env.reset(seed=seed)
        height, width = task.editor.latent_shape(task.size)[1:]
        with AttentionRecorder(task.editor.unet, (height, width), slice(1)) as recorder:
            source, result, truth = np.split(film(task, agent, 1, seed)[0, -1].numpy(), 3, 1)
        attention = token_map(recorder.mean(), env.state.counts)[0, 0].cpu().numpy()
        return cls(task.sources[int(env.state.problem)], source, truth, result, attention)


def pick(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> list[int]:
    """The first ``SHOWN`` of the problems that became right, of those that became wrong, and of the others."""
    sorts = after & ~before, before & ~after, before == after
    return [place for sort in sorts for place in np.flatnonzero(sort)[:SHOWN].tolist()]


def grid(edits: Sequence[tuple[Shown, Shown]], verdicts: Sequence[tuple[bool, bool]], told: str, path: Path) -> Path:
    """A row of pictures for each of ``edits``, before and after, with its exact ``verdicts``, and ``told`` beneath."""
    heads = "source", "asked for", "before", "attention before", "after", "attention after"
    figure, axes = subplots(len(edits), len(heads), (9, 1.8 * len(edits) + 0.7))
    for row, (before, after), right in zip(np.atleast_2d(axes), edits, verdicts, strict=True):
        maps = [heat_map(before.source, share) for share in on_one_scale([before.attention, after.attention])]
        pictures = before.source, before.truth, before.result, maps[0], after.result, maps[1]
        for place, picture in zip(row, pictures, strict=True):
            place.imshow(picture)
            place.axis("off")
        asked = row[0].text(0, 1.05, f"\u201c{before.instruction}\u201d", transform=row[0].transAxes, fontsize=10)
        asked.set_in_layout(False)  # it is wider than its column
        for place, good in zip((row[2], row[4]), right, strict=True):
            sign, colour = ("\u2713", "#009E73") if good else ("\u2717", "#D55E00")
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
            place.text(0.96, 0.04, sign, color=colour, transform=place.transAxes, ha="right", weight="bold", bbox=box)
    for place, head in zip(np.atleast_2d(axes)[-1], heads, strict=True):
        place.text(0.5, -0.05, head, transform=place.transAxes, ha="center", va="top", fontsize=9)
    figure.supxlabel(told, fontsize=9)
    figure.get_layout_engine().set(hspace=0.03, h_pad=0.15)
    return save(figure, path)


def subplots(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure of ``size`` inches that is drawn without a screen, and its axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, figsize=size, layout="constrained")


def plain_axes() -> tuple[Any, Any]:
    figure, axes = subplots(1, 1, (7, 4.2))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    write_whole(path, lambda partial: figure.savefig(partial, dpi=150, format="png"))
    pyplot.close(figure)
    return path
