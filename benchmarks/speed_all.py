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
PATIENCE = 60.0, 8.0  # seconds, and times those of a row, after which it is given up
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
    """Stepping, and learning."""
    stepping = Table("task", title="steps/s, actions: random", title_justify="left")
    for name in ("envs", "native", "in the model", "SyncVectorEnv", "native is", "AsyncVectorEnv", "native is", "peak"):
        stepping.add_column(name, justify="right")
    learning = Table(
        "task", "PPO", title="PPO, at equal networks, batches, minibatches and epochs", title_justify="left"
    )
    for name in ("envs", "steps/s", "a rollout", "an update", "return after as many steps"):
        learning.add_column(name, justify="right")
    for row in rows:
        if row["kind"] == "steps":
            stepping.add_row(row["task"], f"{row['num_envs']}", *step_cells(row))
        else:
            for cells in learning_cells(row):
                learning.add_row(*cells)
    return [stepping, learning]


def step_cells(row: Row) -> list[str]:
    if "error" in row:
        return ["failed", row["error"]]
    processes = row["async_steps_per_second"]
    return [
        f"{row['steps_per_second']:,.0f}",
        f"{row['model_share']:.0%}",
        f"{row['sync_steps_per_second']:,.1f}",
        f"{row['gain']:.1f} x",
        f"{processes:,.1f}" if processes else "-",
        f"{row['async_gain']:.1f} x" if processes else "-",
        f"{row['peak_bytes'] / 2**20:,.0f} MiB",
    ]


def learning_cells(row: Row) -> list[list[str]]:
    """A line a side."""
    if "error" in row:
        return [[row["task"], "failed", f"{row['num_envs']}", row["error"]]]
    sides = {"ours": "ours", "theirs": "SB3's on our batch", "singles": "SB3's on single ones"}
    lines = []
    for key, name in sides.items():
        side, score = row[key], row[key]["score"]
        shown = f"{score['mean']:.3g} [{score['low']:.3g}, {score['high']:.3g}], {row['steps']:,}" if score else ""
        lines.append([
            row["task"] if key == "ours" else "",
            name + (f", {row['gain']:.2f} x" if key == "ours" else ""),
            f"{row['num_envs']}" if key == "ours" else "",
            f"{side['steps_per_second']:,.0f}",
            f"{side['collect_seconds']:.3g} s",
            f"{side['update_seconds']:.3g} s",
            shown,
        ])  # fmt: skip
    return lines


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
