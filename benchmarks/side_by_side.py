"""Rows of measurements, each in a process of its own, so that peak memory is its own too and none warms another up."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from .. import backends
from .checkpoint import write_text
from .memory import forget_peak, peak_bytes
from .speed import Tell

Numbers = dict[str, float]
Rows = Mapping[str, Callable[[], Numbers]]

CPU = torch.device("cpu")
PUBLISHED = {"StrokePaint-v0": "published_speed", "ImageEdit-v0": "published_edit_speed"}


def measured(work: Callable[[], object], repeats: int = 5) -> Numbers:
    """Median seconds of ``work``, after one that warms up, and the process's peak memory meanwhile."""
    work()
    forget_peak(CPU)
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return {"seconds": median(seconds), "peak_bytes": peak_bytes(CPU)}


def ours(measure: Callable[..., Numbers], *given: Any, **settings: Any) -> Numbers:
    """What ``measure`` finds where freed memory is kept, as by every command of ours."""
    backends.keep_freed_memory()
    return measure(*given, **settings)


def compare(task: str, tell: Tell) -> tuple[dict[str, Numbers], Table]:
    """``task`` beside the published design: what was found, and a table of it. Raises ValueError where there is none.

    On the threads that torch has here.
    """
    if task not in PUBLISHED:
        raise ValueError(f"no published design of {task} to compare with: choose from {', '.join(PUBLISHED)}")
    module = import_module(f".{PUBLISHED[task]}", __package__)
    found: dict[str, Numbers] = {}
    for row in module.ROWS:
        tell(f"measuring: {row}")
        found[row] = measure_apart(module.__name__, row, torch.get_num_threads())
    return found, module.table(found)


def measure_apart(module: str, row: str, threads: int) -> Numbers:
    command = [sys.executable, "-m", module, "--row", row, "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main(module: str, description: str, rows: Rows, table: Callable[[dict[str, Numbers]], Table], out: Path) -> None:
    """The command line of a ``module`` that has such ``rows``, found ones being shown by ``table``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--row", choices=list(rows), help="measure this one alone, in this process, and print JSON")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=out)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.row:
        print(json.dumps(rows[given.row]()))
        return
    found = {}
    for row in rows:
        print(f"measuring: {row}", file=sys.stderr)
        found[row] = measure_apart(module, row, given.threads)
        write_text(given.out, json.dumps(found, indent=2) + "\n")
    Console(width=120).print(table(found))
