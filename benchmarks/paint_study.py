"""The three orderings of the painting papers, on the embedded world with its exact masks.

    python -m retouch.benchmarks.paint_study --seeds 3 --out runs/paint-study

trains every arm from several seeds (it goes on where it was stopped), plays the same unseen scenes with each, and
prints what differs, with intervals over seeds and scenes. Strokes, updates and networks are equal in all arms.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from .checkpoint import write_text
from .evaluate import play
from .plan import plan_run
from .recipes import make_task, unseen
from .statistics import difference
from .train import Progress, train, trained_agent

BUDGET = (
    "env.size=64",
    "env.steps=10",
    "env.targets=embedded:1024",
    "num_envs=32",
    "agent.batch=32",
    "agent.updates=10",
    "agent.actor_lr=3e-4",
    "agent.gamma=0.0",  # the rewards are gains; with a value of what follows, weighted ones do not train stably
    "eval_every=1000",
    "checkpoint_every=20",
)
SCENES = 64  # unseen, to measure on
FOCUS = 6.0  # weight of the focus reward: an episode then gains about 2 of it, as of the guided arm's foreground


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    task: str
    agent: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ordering:
    """What the papers say of two arms: the second does better in ``metric`` (lower is better)."""

    claim: str
    metric: str
    worse: str
    better: str


ARMS = {
    "plain": Arm("StrokePaint-v0", "ddpg-model"),
    "model-free": Arm("StrokePaint-v0", "ddpg"),
    "guided": Arm("StrokePaintGuided-v0", "ddpg-model", ('env.reward={"l2": 1, "foreground": 2}',)),
    "focused": Arm(
        "StrokePaint-v0", "ddpg-model", ('env.guidance=["focus"]', f'env.reward={{"l2": 1, "focus": {FOCUS}}}')
    ),
}
ORDERINGS = (
    Ordering("model-based DDPG beats model-free DDPG", "l2", "model-free", "plain"),
    Ordering("semantic guidance lowers the foreground's L2", "foreground_l2", "plain", "guided"),
    Ordering("the focus reward sharpens what it points at", "focus_l2", "plain", "focused"),
)


def measure(arm: str, seed: int, updates: int, out: Path) -> dict[str, list[float]]:
    """Metrics of every scene by the agent of ``arm`` and ``seed``, which is trained first if it is not yet."""
    folder = out / arm / f"seed{seed}"
    known = folder / "measured.json"
    if known.is_file():
        return json.loads(known.read_text())
    settings = [*BUDGET, *ARMS[arm].settings, f"seed={seed}", f"updates={updates}"]
    plan = plan_run(ARMS[arm].task, ARMS[arm].agent, settings)
    if not train(plan, folder, lambda progress: report(arm, seed, progress)):
        raise KeyboardInterrupt
    task = make_task(plan.task, unseen(plan.env), plan.run.device)
    measured = {k: v.tolist() for k, v in play(task, trained_agent(plan, folder, task), SCENES, seed=10_000).items()}
    write_text(known, json.dumps(measured))
    return measured


def report(arm: str, seed: int, progress: Progress) -> None:
    if progress.update % 10 == 0:
        print(f"\r{arm} seed {seed}: update {progress.update}/{progress.updates}", end="", flush=True)


def compare(measured: dict[str, list[dict[str, list[float]]]]) -> list[dict]:
    """One row an ordering: both means, their difference with its interval, and whether the interval excludes zero."""
    rows = []
    for ordering in ORDERINGS:
        arms = ordering.worse, ordering.better
        sides = [np.array([seed[ordering.metric] for seed in measured[arm]]) for arm in arms]
        gap = difference(sides[0], sides[1])
        rows.append(
            {
                "claim": ordering.claim,
                "metric": ordering.metric,
                ordering.worse: sides[0].mean(),
                ordering.better: sides[1].mean(),
                "seeds": {arm: side.mean(1).tolist() for arm, side in zip(arms, sides, strict=True)},
                "difference": [gap.mean, gap.low, gap.high],
                "holds": gap.high < 0,
            }
        )
    return rows


def table(rows: list[dict]) -> Table:
    out = Table("ordering", "metric", "means", "difference [95 % interval]", "holds", title="The papers' orderings")
    for row in rows:
        means = ", ".join(f"{arm} {np.mean(values):.4f}" for arm, values in row["seeds"].items())
        middle, low, high = row["difference"]
        out.add_row(row["claim"], row["metric"], means, f"{middle:.4f} [{low:.4f}, {high:.4f}]", str(row["holds"]))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=80, help="rollouts of 320 steps, with 10 gradient steps each")
    parser.add_argument("--out", type=Path, default=Path("runs/paint-study"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    measured: dict[str, list[dict[str, list[float]]]] = {arm: [] for arm in ARMS}
    for seed in range(given.seeds):
        for arm in ARMS:
            measured[arm].append(measure(arm, seed, given.updates, given.out))
    rows = compare(measured)
    write_text(given.out / "orderings.json", json.dumps(rows, indent=2) + "\n")
    print()
    Console(width=150).print(table(rows))


if __name__ == "__main__":
    main()
