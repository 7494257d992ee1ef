"""``retouch report``: what a suite's results say, as tables, Markdown, CSV and a page."""

from pathlib import Path
from typing import Annotated

import typer

Place = Annotated[Path | None, typer.Option(metavar="FILE", help="Elsewhere than in DIR.", show_default=False)]


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where results.jsonl lies.", show_default=False)],
    html: Place = None,
    markdown: Place = None,
    csv: Place = None,
    readme: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Fill its tables from these results.", show_default=False)
    ] = None,
) -> None:
    """Tables, plots and pictures of what `retouch bench` left in DIR.

    Prints the tables, and writes report.html (one page, nothing beside it), report.md and report.csv into DIR. A file
    given by `--readme` gets its tables where it has `<!-- results:NAME -->` and `<!-- /results -->`; NAME is scores,
    aggregate, improvement, undone, a task's id, or that with /beside for what its papers measure.

        retouch report runs/quick

        retouch report runs/quick --readme README.md
    """
    from .display import err, out
    from .report import fill_readme, write_report

    with err.status("estimating intervals"):
        made = write_report(folder, html, markdown, csv)
    for sheet in made.sheets:
        out.print(sheet.table(), "")
    filled = [] if readme is None else fill_readme(readme, made.sheets)
    for path in made.files:
        out.print(str(path), highlight=False)
    if filled:
        out.print(f"{readme}: {', '.join(filled)}", highlight=False)
