"""All figures of a report as rows of a CSV file."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any

from .report_data import Run, line_numbers
from .report_figures import Figures
from .report_tables import over_several
from .statistics import Interval

COLUMNS = ("table", "task", "agent", "against", "metric", "value", "low", "high", "runs", "lines", "ids")


def as_csv(known: Figures) -> str:
    """A row a figure, with the lines and the ids of its runs."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records(known))
    return text.getvalue()


def records(known: Figures) -> Iterator[dict[str, Any]]:
    """The rows."""
    for task, standings in known.standings.items():
        for own in standings:
            scaled = {"scaled": own.scaled} if own.scaled else {}
            for metric, interval in {**own.measures, **scaled}.items():
                yield record("task", own.runs, interval, task=task, agent=own.agent, metric=metric)
    for all_of in over_several(known):
        for name, interval in all_of.estimates.items():
            tasks = " ".join(all_of.tasks)
            yield record("aggregate", all_of.runs, interval, task=tasks, agent=all_of.agent, metric=name)
    runs = {each.agent: each.runs for each in known.overall}
    for (one, other), interval in known.improvements.items():
        named = {"agent": one, "against": other, "metric": "probability of improvement"}
        yield record("improvement", [*runs[one], *runs[other]], interval, **named)


def record(table: str, runs: Sequence[Run], interval: Interval, **named: str) -> dict[str, Any]:
    """A row of COLUMNS; what is not known is left out."""
    bounds = {"value": interval.mean, "low": interval.low, "high": interval.high}
    told = {name: value for name, value in bounds.items() if value == value}
    ids = " ".join(run.id for run in runs)
    return {"table": table, **named, **told, "runs": len(runs), "lines": line_numbers(runs), "ids": ids}
