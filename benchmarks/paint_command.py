"""``retouch paint``: a photograph becomes a painting, or strokes become a painting again."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # the list of commands must not wait for torch
    from .paint import Session

LARGEST = 1024  # pixels of the longest side, where --size does not ask for more

Image = Annotated[
    str | None,
    typer.Argument(help="A file, or a photograph of scikit-image by name: astronaut, coffee ...", show_default=False),
]
Size = Annotated[
    int | None, typer.Option(min=16, max=8192, help=f"Longest side, pixels [default: the photo's, up to {LARGEST}].")
]


def paint(
    image: Image = None,
    strokes: Annotated[int, typer.Option(min=1, help="How many in all.")] = 1000,
    grid: Annotated[int, typer.Option(help="Windows along the longest side, for detail; 1: the whole alone.")] = 4,
    size: Size = None,
    agent: Annotated[str, typer.Option(help="shipped, optimise, random, best-colour, or a run's folder.")] = "shipped",
    replay: Annotated[Path | None, typer.Option(help="Paint these strokes (strokes.json) again instead.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write to [default: paintings/NAME].")] = None,
    video: Annotated[bool, typer.Option("--video", help="Also write a film that plays in a browser.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Decides what an agent leaves to chance.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")] = False,
) -> None:
    """Paint IMAGE with strokes: first whole, then in windows wherever it needs detail most.

    Writes the painting, a filmstrip of how it came about, and its strokes as JSON and SVG, and prints how far it is
    from the photograph. The strokes can be painted again at any size. Ctrl-C keeps what is painted so far.

        retouch paint photo.jpg

        retouch paint astronaut --strokes 3000 --grid 5 --video

        retouch paint --replay paintings/astronaut/strokes.json --size 4096 --out large
    """
    from ..simulators.strokes import read_strokes
    from .paint import Budget, Session, measure
    from .paint_files import paint_picture, write_files
    from .painters import find_photo, make_painter

    name, photo = find_photo(image) if image else ("", None)
    started, finished = time.monotonic(), True
    if replay:
        painting = read_strokes(replay)
        name = f"{replay.resolve().parent.name}-{size or 'replay'}"
    elif photo is not None:
        budget = Budget(strokes, grid)
        session = Session(photo, make_painter(agent, seed), budget)
        finished = work(session, name)
        painting = session.painting
    else:
        raise typer.BadParameter("give a photograph to paint, or --replay strokes.json", param_hint="IMAGE")
    picture = paint_picture(painting, size or min(LARGEST, painting.canvas if photo is None else max(photo.shape)))
    seconds = time.monotonic() - started
    result: dict[str, Any] = {"l2": None, "psnr": None, "ssim": None}
    if photo is not None:
        result = dict(measure(picture, photo))
    folder = out or Path("paintings") / name
    files = [str(path) for path in write_files(folder, painting, picture, photo, video)]
    result |= {"strokes": len(painting), "seconds": seconds, "files": files}
    print_result(result, as_json)
    if not finished:
        raise typer.Exit(130)


def work(session: "Session", name: str) -> bool:
    """Paint, showing progress on standard error; whether it came to the end (else the user stopped it)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console, total, started = Console(stderr=True), session.budget.total, time.monotonic()
    columns = (
        TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn("strokes  {task.description}  left"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            row = bar.add_task("", total=total)
            for done in session.run():
                rate = done / (time.monotonic() - started)
                bar.update(row, completed=done, description=f"{rate:,.0f}/s  L2 {session.l2():.4f}")
    except KeyboardInterrupt:
        console.print(f"stopped after {len(session.painting)} of {total} strokes")
        return False
    return True


def print_result(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result))
        return
    measured = {"L2": "l2", "PSNR": "psnr", "SSIM": "ssim"}
    shown = {label: f"{result[key]:.4f}" for label, key in measured.items() if result[key] is not None}
    shown |= {"strokes": f"{result['strokes']:,}", "seconds": f"{result['seconds']:.1f}"}
    for label, value in shown.items():
        typer.echo(f"{label:9}{value}")
    for number, path in enumerate(result["files"]):
        typer.echo(f"{'files' if number == 0 else '':9}{path}")
