"""The tables of a report."""

import re
from collections.abc import Sequence
from math import inf

from .aggregate import ESTIMATORS
from .report_data import RETURN, Results, Run, line_numbers
from .report_figures import MOMENT, NOWHERE, Figures, Overall, scale
from .scores import score_of
from .sheets import NOTHING, Cell, Sheet, column, number, spread

UNDONE, BESIDE = "undone", "/beside"
SPREAD = "\u00b1 is half the 95 % bootstrap interval"


def sheets(known: Figures) -> list[Sheet]:
    """All tables, by the names that a README's markers may call."""
    tables = [scores(known), aggregates(known), improvements(known)]
    tables += [sheet for task in known.results.tasks for sheet in (of_task(known, task), beside(known, task))]
    return [sheet for sheet in [*tables, undone(known.results)] if sheet.rows]


def scores(known: Figures) -> Sheet:
    """Every agent on every task, on the common scale."""
    tasks = known.results.scaled
    rows = [[Cell(agent), *(scaled_cell(known, task, agent) for task in tasks)] for agent in known.agents]
    tried = [row for row in rows if any(cell != NOTHING for cell in row[1:])]
    note = f"0 is random actions, 1 the task's ceiling. {SPREAD} over runs and episodes."
    return Sheet("scores", "Scores", ["agent", *tasks], tried, note)


def scaled_cell(known: Figures, task: str, agent: str) -> Cell:
    own = known.standing(task, agent)
    if own and own.scaled:
        return Cell(spread(own.scaled), own.scaled.mean, line_numbers(own.runs))
    tried = [run for run in known.results.undone if (run.task, run.agent) == (task, agent)]
    return Cell(tried[-1].status, -inf, line_numbers(tried)) if tried else NOTHING


def aggregates(known: Figures) -> Sheet:
    """What rliable shows of agents over tasks."""
    count = len(known.results.scaled)
    rows = [
        [
            Cell(own.agent),
            Cell(f"{len(own.tasks)} of {count}", len(own.tasks)),
            *(Cell(spread(own.estimates[name]), own.estimates[name].mean) for name in ESTIMATORS),
            runs_cell(own.runs),
        ]
        for own in over_several(known)
    ]
    note = f"Of the scores of runs. {SPREAD}, stratified by task; of single runs there is none."
    if any(own.tasks != known.results.scaled for own in over_several(known)):
        note += " Those who did not play all tasks are not comparable with the rest."
    return Sheet("aggregate", "Over tasks", ["agent", "tasks", *ESTIMATORS, "runs"], rows, note)


def over_several(known: Figures) -> list[Overall]:
    """Without those who played one task of several: that is no average."""
    least = min(2, len(known.results.scaled))
    return [own for own in known.overall if len(own.tasks) >= least]


def improvements(known: Figures) -> Sheet:
    """Who beats whom, in the order of the aggregates."""
    names = list(dict.fromkeys(one for one, _ in known.improvements))
    rows = []
    for one in names:
        pairs = (known.improvements.get((one, other)) for other in names)
        rows.append([Cell(one), *(NOTHING if pair is None else Cell(spread(pair), pair.mean) for pair in pairs)])
    note = f"How probably the row's run beats the column's, a mean over tasks. {SPREAD}; of single runs there is none."
    return Sheet("improvement", "Probability of improvement", ["agent", *names], rows, note)


def of_task(known: Figures, task: str) -> Sheet:
    """The agents on a task, in its own units."""
    standings, scaled = known.standings[task], [own.scaled for own in known.standings[task] if own.scaled]
    columns = {"agent": [Cell(own.agent) for own in standings]}
    if scaled:
        columns[known.results.metric(task)] = column([own.score for own in standings])
        columns["scaled"] = [Cell(f"{own.mean:z.2f}", own.mean) for own in scaled]
    columns[RETURN] = column([own.rewarded for own in standings])
    columns["steps"] = [steps_cell(own.runs) for own in standings]
    columns["runs"] = [runs_cell(own.runs) for own in standings]
    rows = list(zip(*columns.values(), strict=True))
    return Sheet(task, task, list(columns), rows, f"{scale(known.results, task)} {SPREAD} over runs and episodes.")


def beside(known: Figures, task: str) -> Sheet:
    """What the task's papers tabulate, beside what it is scored by."""
    standings, score = known.standings[task], score_of(task)
    columns = {}
    for name in score.beside if score else ():
        told = [own.measured(name) for own in standings]
        if any(interval is not NOWHERE for interval in told):
            columns[re.sub("[_/]", " ", name)] = column(told)
    agents = [Cell(own.agent, lines=line_numbers(own.runs)) for own in standings]
    rows = list(zip(agents, *columns.values(), strict=True)) if columns else []
    note = f"{SPREAD} over runs and episodes."
    return Sheet(f"{task}{BESIDE}", f"{task}, as its papers measure", ["agent", *columns], rows, note)


def all_metrics(known: Figures, task: str) -> Sheet:
    """The means of everything that was measured on a task, of curves the end alone."""
    standings = known.standings[task]
    measured = dict.fromkeys(name for own in standings for name in own.measures)
    names = [name for name in measured if not (MOMENT.match(name) and name.partition("/")[0] in measured)]
    rows = []
    for own in standings:
        means = (own.measured(name).mean for name in names)
        rows.append([Cell(own.agent), *(Cell(number(mean), mean) if mean == mean else NOTHING for mean in means)])
    return Sheet(f"{task}/all", f"All metrics of {task}", ["agent", *names], rows)


def undone(results: Results) -> Sheet:
    """What failed or was skipped, and why."""
    rows = [
        [
            Cell(run.task),
            Cell(run.agent),
            Cell(str(run.seed)),
            Cell(run.status),
            Cell(run.error or run.reason),
            Cell(str(run.line)),
        ]
        for run in results.undone
    ]
    return Sheet(UNDONE, "Not done", ["task", "agent", "seed", "status", "reason", "line"], rows)


def run_list(results: Results) -> Sheet:
    """What the lines are."""
    rows = [
        [
            Cell(str(run.line), run.line),
            Cell(run.id),
            Cell(run.status),
            Cell(f"{run.seconds or 0:,.0f}", run.seconds or 0),
            Cell(short(run.commit or "")),
        ]
        for run in results.runs
    ]
    return Sheet("runs", "Runs", ["line", "run", "status", "seconds", "commit"], rows)


def short(commit: str) -> str:
    """The first digits of a hash, and whether the tree was changed since."""
    digits, dash, changed = commit.partition("-")
    return digits[:7] + dash + changed


def steps_cell(runs: Sequence[Run]) -> Cell:
    """Environment steps that a run was trained on."""
    steps = max((run.steps or 0 for run in runs), default=0)
    return Cell(f"{steps:,}", steps) if steps else NOTHING


def runs_cell(runs: Sequence[Run]) -> Cell:
    return Cell(str(len(runs)), len(runs), line_numbers(runs))
