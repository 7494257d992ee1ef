"""What reinforcement learning does to an editor, on the embedded world with its exact checker.

    python -m retouch.benchmarks.edit_study [improve|guidance|ablation|report] --seeds 3 --out FOLDER

``improve``: PPO with LoRA, from a half-trained editor for the exact reward, and from the shipped one for the checker's
margin, by the last of four steps. ``guidance``: PPO on how strongly each of four steps of the shipped one, which stays
as it is, listens to the text and to the source, for the margin too. ``ablation``: the rewards of InstructRL4Pix (Li et
al., 2024, arXiv:2406.09973, Table 2), each alone and both, beside the exact one, all from the half-trained editor.
``report`` shows what there is. Every arm is trained from several seeds (it goes on where it was stopped) and measured
on the same held-out problems; tables, JSON and pictures are written into ``--out``.
"""

import argparse
import json
import math
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from ..agents.rollout import Agent
from ..envs.core import Task
from ..envs.image_edit import ImageEdit
from .checkpoint import write_text
from .edit_pictures import SHOWN, Shown, draw, grid, pick
from .edit_tables import Scores, ablation_rows, ablation_table, improve_rows, improve_table, verdict
from .evaluate import play
from .plan import Plan, plan_run, read_plan
from .recipes import build_agent, make_task, named_policy, unseen
from .train import Progress, train, trained_agent

BUDGET = (
    "updates=80",
    "env.edits=embedded:16384",
    "env.group=8",
    "num_envs=64",
    "agent.epochs=1",
    "agent.minibatch=320",
    "agent.window=0,5",  # what is done is decided early; later steps' gradients are larger, and say less
    "agent.clip=5e-4",
    "agent.lr=1e-2",
    "policy.rank=8",
    "eval_every=10",
    "eval_episodes=128",
    "checkpoint_every=10",
    "keep=1",
)
HALF, SHIPPED = "env.model=half-trained", "env.model=shipped"
EXACT = 'env.reward={"exact": 1.0}'
MARGIN = 'env.reward={"margin": 1.0}'  # the shipped editor's groups are nearly all right or all wrong: how surely?
THRESHOLD = "env.threshold=0.04"  # of distances from the source: the half-trained editor's are 0.04 to 0.06
ARMS = {
    "half": (HALF, EXACT),
    "shipped": (
        *("updates=160", SHIPPED, MARGIN, "env.steps=4", "env.group=4", "num_envs=512"),
        *("env.alike=true", "env.eta=0", "env.ending=0.15"),  # a group differs by its last step alone, which is learned
        *("agent.window=3,4", "agent.minibatch=128", "agent.accumulate=4"),
        *("agent.epsilon=1e-8", "agent.lr=2e-3", "agent.average=0.95"),
    ),
    "guided": (
        *("updates=100", SHIPPED, MARGIN, "env.control=guidance", "env.steps=4"),
        *("policy.sees=t", "policy.log_std=-1.5"),  # one guidance a step, whatever the picture: eight numbers to find
        *("agent.advantage=grouped", "agent.group=source,instruction", "agent.normalize=false", "agent.window=0,4"),
        *("agent.epochs=2", "agent.minibatch=64", "agent.clip=0.2", "agent.lr=5e-3"),
    ),
    "attention": (HALF, 'env.reward={"attention": 1.0}'),
    "clip": (HALF, 'env.reward={"clipped_mae": -1.0}', THRESHOLD),
    "both": (HALF, 'env.reward={"attention": 1.0, "clipped_mae": -1.0}', THRESHOLD),
}
STUDIES = {"improve": ("half", "shipped"), "guidance": ("guided",), "ablation": ("attention", "clip", "both", "half")}
IMPROVED = (*STUDIES["improve"], *STUDIES["guidance"])
BEFORE = ("reference", "untrained", "copy")  # sampled noisily; without noise, as trained ones are; the input returned
FIRST = 10_000  # seed of the first held-out problem


@dataclass(frozen=True)
class Study:
    """How every arm is trained and measured, and where it is kept. ``settings`` amend those of all arms."""

    out: Path
    problems: int = 1024  # held-out, to measure on
    settings: tuple[str, ...] = ()

    def folder(self, arm: str, seed: int) -> Path:
        return self.out / arm / f"seed{seed}"

    def plan(self, arm: str, seed: int) -> Plan:
        asked = *BUDGET, *ARMS[arm], f"seed={seed}", *self.settings
        last = {setting.partition("=")[0]: setting for setting in asked}
        return plan_run("ImageEdit-v0", "ppo", list(last.values()))

    def begin(self, arm: str) -> None:
        """Measure, unless it is known, where ``arm`` starts from: every metric of ``BEFORE`` on the held-out problems,
        and of the untrained policy what a run logs of its evaluation."""
        plan = self.plan(arm, 0)
        for name in BEFORE:
            self._keep(self.out / arm / f"{name}.json", partial(self._before, plan, name))

    def run(self, arm: str, seed: int) -> None:
        """Train ``arm`` from ``seed`` and measure it, unless that is known.

        Raises ValueError where another run is in its folder, and KeyboardInterrupt where the training was interrupted.
        """
        plan, folder = self.plan(arm, seed), self.folder(arm, seed)
        if folder.is_dir() and read_plan(folder) != plan:
            raise ValueError(f"the run in {folder} has other settings: give another --out, or delete it")
        self._keep(folder / "measured.json", partial(self._after, plan, folder, arm))

    def _before(self, plan: Plan, name: str) -> dict:
        copying = {"control": "latent"} if name == "copy" else {}  # the input is returned as a latent
        task = held_out(replace(plan, env=plan.env | copying))
        return measured(task, untrained(plan, task, name), self.problems) | self._logged(plan, name)

    def _logged(self, plan: Plan, name: str) -> dict:
        """What a run would have logged of its untrained policy, and the reward's spread, for the curves."""
        if name != "untrained":
            return {}
        task = make_task(plan.task, unseen(plan.env), plan.run.device)
        seen = play(task, untrained(plan, task, name), plan.run.eval_episodes)
        spread = seen["return"].std(correction=0).item()
        return {"logged": {f"eval/{key}": seen[key].mean().item() for key in ("return", "success")}, "spread": spread}

    def _after(self, plan: Plan, folder: Path, arm: str) -> dict:
        if not train(plan, folder, partial(tell, arm, plan.run.seed)):
            raise KeyboardInterrupt
        task = held_out(plan)
        return measured(task, trained_agent(plan, folder, task), self.problems)

    def _keep(self, path: Path, measure: Callable[[], dict]) -> None:
        known = json.loads(path.read_text()) if path.is_file() else {"success": []}
        if len(known["success"]) != self.problems:
            write_text(path, json.dumps(measure()))


def held_out(plan: Plan) -> Task:
    """The task to measure on, whose pictures are not noisy; nobody watches attention, which takes time."""
    return make_task(plan.task, unseen(plan.env) | {"reward": "exact", "ending": 0.0}, plan.run.device)


def untrained(plan: Plan, task: Task, name: str) -> Agent:
    """The policy ``name`` of ``BEFORE``. ``untrained`` is what the run of ``plan`` begins with."""
    return build_agent(plan.agent, task, plan.policy, plan.learner) if name == "untrained" else named_policy(name, task)


def measured(task: Task, agent: Agent, problems: int) -> dict[str, list[float | None]]:
    """Every metric of the finished edits, null where it says nothing of one."""
    seen = play(task, agent, problems, seed=FIRST)
    ended = {name: values for name, values in seen.items() if f"/{task.unit}_" not in name and name != "return"}
    return {name: [None if math.isnan(x) else x for x in values.tolist()] for name, values in ended.items()}


def tell(arm: str, seed: int, progress: Progress) -> None:
    success = progress.metrics.get("eval/success")
    if success is not None:
        print(f"{arm} seed {seed}: update {progress.update}/{progress.updates}, success {success:.3f}", flush=True)


def known_scores(out: Path) -> dict[str, dict[str, Scores]]:
    """``{arm: {policy: metric of every seed and problem}}`` of all that is measured; trained policies are ``after``."""
    found = {}
    for arm in ARMS:
        sides = {name: [out / arm / f"{name}.json"] for name in BEFORE}
        sides["after"] = sorted((out / arm).glob("seed*/measured.json"))
        if sides["after"]:
            found[arm] = {name: Scores.read(paths) for name, paths in sides.items()}
    return found


def report(out: Path) -> None:
    """Print the tables of what is measured, and write them and the pictures into ``out``."""
    console, found = Console(width=200), known_scores(out)
    improved = improve_rows({arm: found[arm] for arm in IMPROVED if arm in found})
    ablated: Mapping[str, Scores] = {arm: found[arm]["after"] for arm in STUDIES["ablation"] if arm in found}
    if improved:
        console.print(improve_table(improved))
        write_text(out / "improve.json", json.dumps(improved, indent=1) + "\n")
    if ablated.keys() - set(IMPROVED):
        start = {name: next(found[arm][name] for arm in ablated) for name in BEFORE}
        rows = ablation_rows({**start, **ablated})
        console.print(ablation_table(rows))
        sentence = verdict(ablated)
        console.print(sentence)
        write_text(out / "ablation.json", json.dumps({"rows": rows, "verdict": sentence}, indent=1) + "\n")
    for path in [*draw(out, STUDIES), *(pictured(out, arm, sides) for arm, sides in found.items())]:
        console.print(f"wrote {path}")


def pictured(out: Path, arm: str, sides: Mapping[str, Scores]) -> Path:
    """Draw edits of ``arm`` before and after its first run."""
    folder = min((out / arm).glob("seed*/measured.json")).parent
    plan, tasks = read_plan(folder), []
    for _ in range(2):  # an adapter is added to a task's editor: each side has its own
        task = held_out(plan)
        assert isinstance(task, ImageEdit)
        tasks.append(task)
    agents = untrained(plan, tasks[0], "untrained"), trained_agent(plan, folder, tasks[1])
    before, after = (sides[name].of("success")[0] > 0 for name in ("untrained", "after"))
    chosen = pick(before, after)
    edits = [(Shown.play(tasks[0], agents[0], FIRST + i), Shown.play(tasks[1], agents[1], FIRST + i)) for i in chosen]
    told = (
        f"Of {len(before)} held-out edits {(after & ~before).sum()} became right and {(before & ~after).sum()} wrong; "
        f"shown: the first {SHOWN} of either, and of those that stayed as they were"
    )
    return grid(edits, [(bool(before[i]), bool(after[i])) for i in chosen], told, out / f"{arm}-edits.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", choices=[*STUDIES, "report"], default="improve")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), help="some of the study's alone")
    parser.add_argument("--problems", type=int, default=1024, help="held-out, to measure on")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all arms' runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, of one thread each")
    parser.add_argument("--out", type=Path, default=Path("runs/edit-study"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(given.out, given.problems, tuple(given.set))
    arms = given.arms or STUDIES.get(given.study, ())
    carry_out(study, () if given.study == "report" else arms, given.seeds, given.jobs)
    report(given.out)


def carry_out(study: Study, arms: tuple[str, ...], seeds: int, jobs: int = 1) -> None:
    """All runs of ``arms``, ``jobs`` at a time: first every arm from seed 0, so that a stop leaves them comparable."""
    work: list[Callable[[], None]] = [partial(study.begin, arm) for arm in arms]
    work += [partial(study.run, arm, seed) for seed in range(seeds) for arm in arms]
    if jobs == 1:
        for step in work:
            step()
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
        for done in [pool.submit(step) for step in work]:
            done.result()


if __name__ == "__main__":
    main()
