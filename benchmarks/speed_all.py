"""One table of every task's speed on this machine, measured row by row, each in a process of its own.

    python -m retouch.benchmarks.speed_all TASK steps|learning NUM_ENVS [KEY=VALUE ...]   (one row, as JSON)

``steps``: a native batch beside Gymnasium's vector environments over single ones. ``learning``: our PPO beside
Stable-Baselines3's. What is compared is measured in turn, so that a busy machine slows both alike.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from .. import TASKS
from .plan import plan_run
from .speed import Tell, measure_steps

BATCHES = (1, 16, 96)
LEARNED = 16  # environments that both PPOs learn from
SECONDS = 8.0  # that a row may take, beside what it needs to begin
PATIENCE = 180.0, 8.0  # seconds, and times those of a row, after which it is given up
KINDS = ("steps", "learning")
Row = dict[str, Any]


def measure_all(
    tasks: Sequence[str], batches: Sequence[int] | None, seconds: float, device: str, tell: Tell
) -> list[Row]:
    """The rows of ``tasks``: {"task", "kind", "num_envs"} and what was measured, or "error", why nothing was.

    ``batches`` None: 1, 16, 96, and what the task is usually trained with where that is more.
    """
    wanted = [(task, *row) for task in tasks for row in rows_of(task, batches)]
    found = []
    for number, (task, kind, size) in enumerate(wanted, 1):
        tell(f"row {number} of {len(wanted)}: {kind} of {task}, {size} environments")
        found.append({"task": task, "kind": kind, "num_envs": size} | measure_apart(task, kind, size, seconds, device))
    return found


def rows_of(task: str, batches: Sequence[int] | None) -> list[tuple[str, int]]:
    """Kind and number of environments."""
    if batches is None:
        usual = plan_run(task, "ppo").run.num_envs
        batches = [*BATCHES, *([usual] if usual > BATCHES[-1] else [])]
    return [*(("steps", size) for size in batches), ("learning", LEARNED)]


def measure_apart(task: str, kind: str, size: int, seconds: float, device: str) -> Row:
    """A row from a process of its own: peak memory is its own too, and what ends it ends nothing else."""
    words = [task, kind, str(size), "--seconds", str(seconds), "--device", device]
    command = [sys.executable, "-m", __spec__.name, *words]
    limit = PATIENCE[0] + PATIENCE[1] * seconds
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"it took longer than {limit:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"its process ended with code {done.returncode}"])[-1]
        return {"error": last}
    return json.loads(done.stdout.splitlines()[-1])


def measure(task: str, kind: str, size: int, seconds: float, device: str, settings: Sequence[str] = ()) -> Row:
    """A row, in this process. Raises what goes wrong."""
    if kind == "steps":
        report = measure_steps(task, "random", settings, [size], device, lambda text: None, seconds)
        return {"device": report.device, "unit": report.unit} | asdict(report.batches[0])
    from .contest import contest  # wants Stable-Baselines3, which stepping does not

    return {"device": device} | asdict(contest(task, size, seconds, device, settings))


def tables(rows: Sequence[Row]) -> list[Table]:
    """Of each task stepping, and learning."""
    found = []
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == task]
        found.append(stepping_table(task, [row for row in own if row["kind"] == "steps"]))
        found.append(learning_table(task, [row for row in own if row["kind"] == "learning"]))
    return [table for table in found if table.row_count or table.caption]


def stepping_table(task: str, rows: Sequence[Row]) -> Table:
    out = empty_table(f"{task}: steps/s of actions at random; in brackets, how much faster native is", rows)
    for name in ("envs", "native", "in model", "SyncVectorEnv", "AsyncVectorEnv", "peak"):
        out.add_column(name, justify="right")
    for row in rows:
        if "error" not in row:
            out.add_row(*step_cells(row))
    return out


def step_cells(row: Row) -> list[str]:
    processes = row["async_steps_per_second"]
    return [
        f"{row['num_envs']}",
        f"{row['steps_per_second']:,.0f}",
        f"{row['model_share']:.0%}",
        f"{row['sync_steps_per_second']:,.0f} ({row['gain']:.1f} x)",
        f"{processes:,.0f} ({row['async_gain']:.1f} x)" if processes else "-",
        f"{row['peak_bytes'] / 2**20:,.0f} MiB",
    ]


def learning_table(task: str, rows: Sequence[Row]) -> Table:
    out = empty_table(f"{task}: PPO, at equal networks, batches, minibatches and epochs", rows)
    out.add_column("")
    for name in ("steps/s", "a rollout", "an update", "return after as many steps"):
        out.add_column(name, justify="right")
    for row in rows:
        if "error" not in row:
            for cells in learning_cells(row):
                out.add_row(*cells)
    return out


def learning_cells(row: Row) -> list[list[str]]:
    """A line a side."""
    sides = {"ours": f"ours, {row['gain']:.2f} x", "theirs": "SB3's on our batch", "singles": "SB3's on single ones"}
    lines = []
    for key, name in sides.items():
        side, score = row[key], row[key]["score"]
        shown = f"{score['mean']:.2g} [{score['low']:.2g}, {score['high']:.2g}]" if score else ""
        times = f"{side['collect_seconds']:.3g} s", f"{side['update_seconds']:.3g} s"
        lines.append([name, f"{side['steps_per_second']:,.0f}", *times, shown])
    return lines


def empty_table(title: str, rows: Sequence[Row]) -> Table:
    """One whose caption says which rows failed, and why."""
    failed = [f"{row['num_envs']} environments: {row['error']}" for row in rows if "error" in row]
    return Table(title=title, title_justify="left", caption="\n".join(failed) or None, caption_justify="left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("num_envs", type=int)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="of the environment, or of our run")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    row = measure(given.task, given.kind, given.num_envs, given.seconds, given.device, given.settings)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
