"""Every figure of a report, estimated once: an agent on a task, an agent over tasks, one agent against another."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from .aggregate import (
    ESTIMATORS,
    Band,
    curve,
    over_episodes,
    performance_profile,
    probability_of_improvement,
    stratified,
)
from .report_data import RETURN, Results, Run
from .scores import RANDOM, score_of
from .statistics import Interval

THRESHOLDS = np.linspace(-0.25, 1.0, 51)  # of performance profiles
NOWHERE = Interval(float("nan"), float("nan"), float("nan"))
MOMENT = re.compile(r"(.+)/([a-z]+)_(\d+)$")  # a metric on the way: its name at the end, the unit, how many of them


@dataclass(frozen=True)
class Standing:
    """An agent on a task."""

    task: str
    agent: str
    runs: Sequence[Run]
    measures: Mapping[str, Interval]  # every metric, over runs and episodes; NOWHERE of one that says nothing
    score: Interval  # of the task's metric
    scaled: Interval | None  # the same, where random is 0 and the ceiling 1
    curve: tuple[np.ndarray, Band] | None  # environment steps [T] and the score there

    @property
    def rewarded(self) -> Interval:
        return self.measured(RETURN)

    def measured(self, metric: str) -> Interval:
        """NOWHERE if it was not."""
        return self.measures.get(metric, NOWHERE)

    def along(self) -> dict[tuple[str, str], dict[int, Interval]]:
        """The metrics, with their unit, that were measured at several moments of an episode, by these."""
        found: dict[tuple[str, str], dict[int, Interval]] = {}
        for name, interval in self.measures.items():
            moment = MOMENT.match(name)
            if moment and "/" not in moment[1] and interval is not NOWHERE:
                found.setdefault((moment[1], moment[2]), {})[int(moment[3])] = interval
        return {metric: dict(sorted(moments.items())) for metric, moments in found.items() if len(moments) > 1}


@dataclass(frozen=True)
class Overall:
    """An agent over the ``tasks`` that it played, of those with a scale."""

    agent: str
    tasks: Sequence[str]
    runs: Sequence[Run]
    estimates: Mapping[str, Interval]  # by the names of ESTIMATORS
    profile: Band  # at THRESHOLDS


@dataclass(frozen=True)
class Figures:
    """The best come first."""

    results: Results
    standings: Mapping[str, Sequence[Standing]]  # by task
    overall: Sequence[Overall]  # those who played all tasks before others
    improvements: Mapping[tuple[str, str], Interval]  # the probability that a run of the first beats one of the second
    agents: Sequence[str]  # all of them

    def standing(self, task: str, agent: str) -> Standing | None:
        return next((own for own in self.standings[task] if own.agent == agent), None)


def figures(results: Results) -> Figures:
    standings = {
        task: ranked([standing(results, task, agent) for agent in results.agents(task)]) for task in results.tasks
    }
    overall = [over_tasks(results, agent) for agent in results.agents() if played(results, agent)]
    overall.sort(key=lambda own: (-len(own.tasks), -own.estimates["IQM"].mean))
    everywhere = {own.agent: results.strata(own.agent, own.tasks) for own in overall if own.tasks == results.scaled}
    improvements = {
        (one, other): probability_of_improvement(everywhere[one], everywhere[other])
        for one, other in permutations(everywhere, 2)
    }
    names = list(
        dict.fromkeys([*(own.agent for own in overall), *results.agents(), *(run.agent for run in results.undone)])
    )
    return Figures(results, standings, overall, improvements, names)


def standing(results: Results, task: str, agent: str) -> Standing:
    runs = results.of(task, agent)
    names = dict.fromkeys([RETURN, *(name for run in runs for name in run.names)])
    measures = {name: measured(runs, name) for name in names}
    score, scaled = measures.get(results.metric(task), NOWHERE), None
    if task in results.scaled:
        ends = [results.on_scale(task, value) for value in (score.low, score.high)]
        scaled = Interval(results.on_scale(task, score.mean), min(ends), max(ends))
    return Standing(task, agent, runs, measures, score, scaled, learning(runs))


def measured(runs: Sequence[Run], metric: str) -> Interval:
    """The mean of ``metric`` over ``runs`` and episodes, NaN where it was not measured."""
    told = [run.of(metric) for run in runs]
    return over_episodes(told) if any(map(len, told)) else NOWHERE


def learning(runs: Sequence[Run], name: str = "score") -> tuple[np.ndarray, Band] | None:
    """Steps ``[T]`` and the mean curve of ``runs`` there, up to where the shortest ends; None of runs without one."""
    curves = [(steps, values) for steps, values in (run.along(name) for run in runs) if len(steps)]
    if not curves:
        return None
    first, last = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    moments = np.unique(np.concatenate([steps for steps, _ in curves]))
    moments = moments[(first <= moments) & (moments <= last)]
    return moments, curve(np.array([np.interp(moments, *line) for line in curves]))


def ranked(standings: Sequence[Standing]) -> list[Standing]:
    """The best first: by the scale, or by the return of a task that has none; those not measured last."""

    def merit(own: Standing) -> float:
        value = (own.scaled or own.score).mean
        return value if np.isfinite(value) else -np.inf

    return sorted(standings, key=merit, reverse=True)


def played(results: Results, agent: str) -> list[str]:
    """The tasks with a scale that ``agent`` played."""
    return [task for task in results.scaled if results.of(task, agent)]


def over_tasks(results: Results, agent: str) -> Overall:
    tasks = played(results, agent)
    strata = results.strata(agent, tasks)
    estimates = {name: stratified(estimator, strata) for name, estimator in ESTIMATORS.items()}
    runs = [run for task in tasks for run in results.of(task, agent)]
    return Overall(agent, tasks, runs, estimates, performance_profile(strata, THRESHOLDS))


def scale(results: Results, task: str) -> str:
    """What ``task`` is scored by, in words."""
    score, metric = score_of(task), results.metric(task)
    if score is None or task not in results.scaled:
        return "Scored by the return: this task states no ceiling, so it is in no average over tasks."
    where = "random actions, measured here" if results.of(task, RANDOM) else "random actions, as stated for the task"
    floor = f"0 is {results.floor(task):.4g} ({where})"
    return f"{metric}, {'less' if score.less else 'more'} is better; {floor}, 1 is {score.ceiling:g} ({score.why})."
