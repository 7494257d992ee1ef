"""Whether an agent can edit faces in a dialog without losing the person, on the embedded world.

    python -m retouch.benchmarks.face_study [run|report] --seeds 3 --dialogs 1000 --out runs/face-study [--arms ARM ...]

``run`` trains every arm that learns from several seeds (it goes on where it was stopped), and measures all arms on the
same held-out dialogs; ``report`` shows what there is. The table is printed and written as Markdown and JSON, with the
verdict; the two published plots, feature distance and attribute distance per round, side by side as a picture, beside
the identity that was kept. Distances are of the latents that are rendered.
"""

import argparse
import json
import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ..agents.rollout import Agent
from ..envs.core import Task
from .checkpoint import write_text
from .config import grouped
from .evaluate import play
from .face_tables import draw, markdown, measured_arms, sheets, verdict
from .plan import GROUPS, Plan, plan_run, read_plan
from .recipes import AGENTS, environment, make_task, named_policy, unseen
from .train import Progress, train, trained_agent

TASK = "FaceDialog-v0"
FIRST = 10_000  # seed of the first held-out dialog
DIALOG = ('env.user={"kind": "attentive", "says_degree": 1.0}', "env.rounds=5")
BUDGET = ("env.pictures=false", "num_envs=256", "eval_every=100", "eval_episodes=128", "checkpoint_every=50", "keep=1")
JUMP = ("env.control=latent", "env.micro_steps=1")  # one edit a round, as published
TRACKER = (
    *JUMP,
    "env.show=latent,degrees,request,proposal,round,micro_step,proposals,goal",
    "rollout=5",
    "agent.epochs=1",
    "agent.minibatch=1280",
    "updates=60",
)
RESIDUAL = ("env.radius=1.0", "env.show=latent,degrees,request,proposal,round,micro_step")
WIDE = (*RESIDUAL, "policy.widths=256,256", "policy.log_std=-2.5")
SURE = ('env.reward={"latent": 1.0, "attributes": 2.0}', "agent.gamma=0.5")
REMEMBERS = ("agent.batch=512", "agent.updates=50", "agent.capacity=100000")


@dataclass(frozen=True)
class Arm:
    """What is compared: one of ``AGENTS``, trained, or a policy that learns nothing."""

    agent: str
    settings: tuple[str, ...] = ()
    start: str = ""  # the arm with whose networks it begins

    @property
    def learns(self) -> bool:
        return self.agent in AGENTS


ARMS = {
    "none": Arm("none", RESIDUAL),
    "line": Arm("field", (*RESIDUAL, "env.base=line")),
    "field": Arm("field", RESIDUAL),
    "published": Arm("edit-tracker", (*TRACKER, "agent.loss=published")),
    "reinforce": Arm("edit-tracker", (*TRACKER, "agent.loss=reinforce")),
    "supervised": Arm("edit-tracker", (*TRACKER, "agent.loss=supervised", "agent.epochs=4", "agent.minibatch=512")),
    "imitation": Arm("imitation", (*WIDE, "rollout=10", "agent.anneal=40", "updates=40")),
    "ppo": Arm(
        "ppo", (*WIDE, *SURE, "rollout=20", "agent.lr=1e-4", "agent.minibatch=1280", "updates=20"), start="imitation"
    ),
    "ddpg": Arm("ddpg", (*RESIDUAL, *SURE, *REMEMBERS, "rollout=10", "agent.warmup=10000", "updates=40")),
    "oracle": Arm("oracle", (*JUMP, "env.show=latent,degrees,request,micro_step")),
}


@dataclass(frozen=True)
class Study:
    """How every arm is trained and measured, and where it is kept. ``settings`` amend those of all that learn."""

    out: Path
    dialogs: int = 1000  # held-out, to measure on
    settings: tuple[str, ...] = ()

    def folder(self, arm: str, seed: int) -> Path:
        return self.out / arm / f"seed{seed}"

    def plan(self, arm: str, seed: int) -> Plan:
        chosen = ARMS[arm]
        start = (f"start={self.folder(chosen.start, seed)}",) if chosen.start else ()
        asked = *DIALOG, *BUDGET, *chosen.settings, *start, f"seed={seed}", *self.settings
        return plan_run(TASK, chosen.agent, last_of(asked))

    def measure(self, arm: str) -> None:
        """Measure ``arm``, which learns nothing, unless that is known. Raises ValueError as ``run`` does."""
        chosen = ARMS[arm]
        env = environment(TASK, grouped(last_of([*DIALOG, *chosen.settings]), GROUPS)["env"])
        self._keep(self.out / arm / "measured.json", env, partial(named_policy, chosen.agent))

    def run(self, arm: str, seed: int) -> None:
        """Train ``arm`` from ``seed``, and before it the arm that it begins with, and measure it, unless that is known.

        Raises ValueError where other settings were used in its folder, KeyboardInterrupt where training was stopped.
        """
        if ARMS[arm].start:
            self.run(ARMS[arm].start, seed)
        plan, folder = self.plan(arm, seed), self.folder(arm, seed)
        if folder.is_dir() and read_plan(folder) != plan:
            raise ValueError(f"the run in {folder} has other settings: give another --out, or delete it")
        self._keep(folder / "measured.json", plan.env, partial(self._trained, plan, folder, arm))

    def _trained(self, plan: Plan, folder: Path, arm: str, task: Task) -> Agent:
        if not train(plan, folder, partial(tell, arm, plan.run.seed)):
            raise KeyboardInterrupt
        return trained_agent(plan, folder, task)

    def _keep(self, path: Path, env: dict[str, Any], agent: Callable[[Task], Agent]) -> None:
        """Write what ``agent`` reaches at the held-out dialogs of ``env`` to ``path``, unless it is there."""
        env = unseen(env) | {"pictures": True}
        asked = json.loads(json.dumps(env))
        known = json.loads(path.read_text()) if path.is_file() else None
        if known is not None and known["env"] != asked:
            raise ValueError(f"{path} was measured with other settings: give another --out, or delete it")
        if known is None or len(known["success"]) != self.dialogs:
            task = make_task(TASK, env)
            write_text(path, json.dumps({"env": asked} | measured(task, agent(task), self.dialogs)))


def last_of(settings: Sequence[str]) -> list[str]:
    """Every setting once, as it was given last."""
    return list({text.partition("=")[0]: text for text in settings}.values())


def measured(task: Task, agent: Agent, dialogs: int) -> dict[str, list[float | None]]:
    """Every metric of the finished dialogs, null where it says nothing of one."""
    seen = play(task, agent, dialogs, seed=FIRST)
    return {name: [None if math.isnan(x) else x for x in values.tolist()] for name, values in seen.items()}


def tell(arm: str, seed: int, progress: Progress) -> None:
    told = ("feature_distance/round_3", "attribute_distance/round_3", "success")
    if f"eval/{told[0]}" in progress.metrics:
        numbers = ", ".join(f"{name} {progress.metrics[f'eval/{name}']:.3f}" for name in told)
        print(f"{arm} seed {seed}: update {progress.update}/{progress.updates}, {numbers}", flush=True)


def jobs_of(study: Study, arms: Sequence[str], seeds: int) -> Iterator[Callable[[], None]]:
    """The parts of the work that can be done at the same time: an arm is one with those that begin with it."""
    for arm in arms:
        if not ARMS[arm].learns:
            yield partial(study.measure, arm)
    learned = [arm for arm in arms if ARMS[arm].learns]
    roots = dict.fromkeys(ARMS[arm].start or arm for arm in learned)
    for seed in range(seeds):  # first every arm from seed 0, so that a stop leaves them comparable
        for root in roots:
            yield partial(run_all, study, [arm for arm in learned if root in (arm, ARMS[arm].start)], seed)


def run_all(study: Study, arms: Sequence[str], seed: int) -> None:
    for arm in arms:
        study.run(arm, seed)


def carry_out(study: Study, arms: Sequence[str], seeds: int, jobs: int = 1) -> None:
    """Train and measure all of ``arms``, ``jobs`` of them at a time."""
    work = list(jobs_of(study, arms, seeds))
    if jobs == 1:
        for step in work:
            step()
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
        for done in [pool.submit(step) for step in work]:
            done.result()


def report(out: Path) -> None:
    """Print the tables of what is measured, and write them and the picture into ``out``."""
    console, found = Console(width=200), measured_arms(out, list(ARMS))
    if not found:
        console.print(f"nothing is measured in {out}")
        return
    learned = [arm for arm in found if ARMS[arm].learns]
    tables, clauses = sheets(found), verdict(found, learned)
    for sheet in tables:
        console.print(sheet.table())
    for clause in clauses:
        console.print(clause.line(), markup=False)
    rows = [row for arm in found for row in found[arm].rows(found)]
    kept = {"rows": rows, "verdict": [vars(clause) for clause in clauses]}
    write_text(out / "study.json", json.dumps(kept, indent=1) + "\n")
    write_text(out / "study.md", markdown(tables, clauses))
    console.print(f"wrote {out / 'study.json'}, {out / 'study.md'}, {draw(found, out / 'face-study.png')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", nargs="?", choices=["run", "report"], default="run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dialogs", type=int, default=1000, help="held-out, to measure on")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, of one thread each")
    parser.add_argument("--out", type=Path, default=Path("runs/face-study"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.do == "run":
        carry_out(Study(given.out, given.dialogs, tuple(given.set)), given.arms, given.seeds, given.jobs)
    report(given.out)


if __name__ == "__main__":
    main()
