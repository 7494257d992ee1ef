"""A report as one HTML page that needs nothing beside it: styles, script, plots and pictures are inside."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from . import report_plots as plots
from .report_figures import Figures
from .report_tables import BESIDE, UNDONE, all_metrics, over_several
from .sheets import Sheet, spread

FILM = (1200, 900)  # pixels at most, of a film in the page
QUALITY = 82  # of its WebP
STROKES = {"-": "solid", "--": "dashed", ":": "dotted"}  # a line's dash, as CSS calls it


def page(known: Figures, tables: Sequence[Sheet], title: str, summary: str) -> str:
    """The whole page."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    undone = [sheet for sheet in tables if sheet.name == UNDONE]
    general = [sheet for sheet in tables if sheet.name.removesuffix(BESIDE) not in (*known.results.tasks, UNDONE)]
    style, several = plots.styles(known.agents), over_several(known)
    by_name = {sheet.name: sheet for sheet in tables}
    tasks = [part(known, by_name, task, style) for task in known.results.tasks]
    ordered = [*general, *(by_name[task] for task in known.results.tasks), *undone]
    return templates.get_template("report.html").render(
        title=title,
        summary=summary,
        contents=[*((sheet.name, sheet.title) for sheet in ordered), ("runs", "Runs")],
        general=general,
        tasks=tasks,
        undone=undone,
        share=share,
        style=style,
        strokes=STROKES,
        failed=f"What leaves a plot is of an agent that failed altogether: its score is below {plots.FAILED:g}.",
        estimates=plots.estimates(several, style) if several else "",
        profiles=plots.profiles(several, style) if several else "",
        profiled=[own.agent for own in several],
        runs=[asdict(run) | {"told": told(asdict(run))} for run in known.results.runs],
    )


def part(known: Figures, sheets: Mapping[str, Sheet], task: str, style: dict[str, plots.Style]) -> dict[str, Any]:
    """What the page says of a task."""
    standings = known.standings[task]
    return {
        "sheet": sheets[task],
        "beside": sheets.get(f"{task}{BESIDE}"),
        "everything": all_metrics(known, task),
        "agents": [own.agent for own in standings],
        "curves": plots.learning_curves(known.results, task, standings, style),
        "along": plots.along_episodes(standings, style),
        "films": list(films(known, task)),
    }


def films(known: Figures, task: str) -> Iterator[dict[str, Any]]:
    """The last film of each agent's first run that has one, beside its score."""
    for own in known.standings[task]:
        filmed = [(run, known.results.folder / run.films[-1]) for run in own.runs if run.films]
        for run, path in [(run, path) for run, path in filmed if path.is_file()][:1]:
            score = spread(own.scaled or own.rewarded)
            yield {"agent": own.agent, "score": score, "line": run.line, "source": embedded(path)}


def embedded(path: Path) -> str:
    """The picture at ``path`` as a data URI, no larger than ``FILM``."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail(FILM)
    data = BytesIO()
    picture.save(data, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + b64encode(data.getvalue()).decode("ascii")


def share(score: float) -> float:
    """The percentage of a cell that ``score`` fills, where 1 is all of it."""
    return round(100 * min(max(score, 0.0), 1.0), 1)


def told(run: dict[str, Any]) -> str:
    """What decides a run, and what it ran on."""
    names = ("error", "reason", "folder", "seconds", "steps", "commit", "versions", "hardware", "config")
    known = {name: run[name] for name in names if run[name] not in (None, {}, "")}
    return json.dumps(known, indent=2, ensure_ascii=False)
