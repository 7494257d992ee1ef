"""What each task is scored by, and the scale on which tasks can be averaged: 0 is random, 1 the stated ceiling."""

from collections.abc import Iterable
from dataclasses import dataclass

RANDOM = "random"  # the agent whose measured mean is 0 on the scale
NAMESPACE = "retouch:"
LAST = "*"  # in the name of a metric: the last of its moments that was measured


@dataclass(frozen=True)
class Score:
    """The one metric that stands for a task.

    ``metric`` may end in ``*`` for the last moment of those measured ("combined/round_*"). ``floor`` is what random
    actions got in 64 held-out episodes of the task as it is by default; it counts only where random was not run.
    """

    metric: str
    less: bool  # whether less is better
    ceiling: float
    why: str  # that is the ceiling
    floor: float
    beside: tuple[str, ...] = ()  # what the task's papers tabulate too

    def named(self, names: Iterable[str]) -> str | None:
        """The metric among ``names``; None where it was not measured."""
        if not self.metric.endswith(LAST):
            return self.metric if self.metric in names else None
        stem = self.metric.removesuffix(LAST)
        moments = [name for name in names if name.startswith(stem) and name.removeprefix(stem).isdecimal()]
        return max(moments, key=lambda name: int(name.removeprefix(stem)), default=None)


PAINTING = Score(
    "l2",
    True,
    0.0,
    "the canvas is the target, pixel for pixel",
    0.105,
    ("foreground_l2", "background_l2", "focus_l2", "psnr", "ssim"),
)
SCORES: dict[str, Score] = {
    "StrokePaint-v0": PAINTING,
    "StrokePaintGuided-v0": PAINTING,
    "ImageEdit-v0": Score(
        "success",
        False,
        1.0,
        "the exact checker finds every edit done and the rest kept",
        0.0,
        ("done", "kept", "l1", "l2", "psnr", "ssim"),
    ),
    "FaceDialog-v0": Score(
        "combined/round_*",
        True,
        0.0,
        "the wanted face: its latent and its degrees are reached; of no edit it is 1",
        1.6,
        (
            *(f"{distance}_distance/round_{round}" for distance in ("feature", "attribute") for round in (1, 3)),
            *("moved/person", "success"),
        ),
    ),
    "ImageRetrieval-v0": Score(
        "rank_percentile/turn_*",
        False,
        1.0,
        "no item of the catalogue ranks before the one wanted",
        0.5,
        (*(f"rank_percentile/turn_{turn}" for turn in (1, 3, 5)), "hits@10/turn_5", "bri", "found"),
    ),
}


def score_of(task: str) -> Score | None:
    """The score of ``task``, an id with or without ``retouch:``; None of others' tasks, which have no scale."""
    return SCORES.get(task.removeprefix(NAMESPACE))


def score_metric(task: str, names: Iterable[str]) -> str:
    """The metric among ``names`` that stands for ``task``; ``return`` where there is no other."""
    score = score_of(task)
    return (score and score.named(list(names))) or "return"


def normalised(value: float, floor: float, ceiling: float) -> float:
    """``value`` where ``floor`` is 0 and ``ceiling`` 1, whichever of them is the greater.

    Raises ValueError where they are one and the same: there is no scale then.
    """
    if floor == ceiling:
        raise ValueError(f"random actions reach the ceiling {ceiling}: a task that is solved so has no scale")
    return (value - floor) / (ceiling - floor)
