"""Run folders: where a run begins, goes on, or is refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .checkpoint import latest, update_of
from .plan import FILE, Plan, amended, plan_run, read_plan
from .recipes import pick_device


def open_run(
    task: str, agent: str, settings: Sequence[str], out: Path | None, resume: bool, published: str = ""
) -> tuple[Plan, Path]:
    """The plan to carry out and the folder to do it in, by default ``runs/TASK/AGENT/seedN``.

    Raises ValueError for settings that are not in order, and where a run stands in the way (one that has checkpoints
    is never begun anew), is missing, is another or is finished.
    """
    plan = plan_run(task, agent, settings, published)
    folder = out or plan.default_folder()
    checkpoint = latest(folder / "checkpoints")
    if not resume:
        if checkpoint:
            raise ValueError(f"there is a run in {folder}: go on with it by --resume, begin another elsewhere by "
                             "--out DIR or seed=N, or delete that folder")
        return plan, folder
    if not is_run(folder):
        raise ValueError(f"nothing to resume in {folder}: begin the run without --resume")
    plan = resumed(read_plan(folder), task, agent, settings, folder)
    if checkpoint and update_of(checkpoint) >= plan.run.updates:
        raise ValueError(f"the run in {folder} is finished, after {update_of(checkpoint)} updates: go on with it by "
                         "--resume updates=N")
    return plan, folder


def resumed(plan: Plan, task: str, agent: str, settings: Sequence[str], folder: Path) -> Plan:
    """``plan``, that of ``folder``, with as many updates as ``settings`` say; all else that they say must hold of it.

    Raises ValueError otherwise, and where the device that it ran on is not here.
    """
    if (plan.task, plan.agent) != (task, agent):
        raise ValueError(f"the run in {folder} is of {plan.agent} on {plan.task}, not of {agent} on {task}")
    pick_device(plan.run.device)
    longer = amended(plan, settings)
    if replace(longer, run=replace(longer.run, updates=plan.run.updates)) != plan:
        other = [setting for setting in settings if amended(plan, [setting]) != plan]
        raise ValueError(f"a resumed run changes nothing but updates=, and that in {folder} was begun without "
                         + ", ".join(setting for setting in other if not setting.startswith("updates=")))
    return longer


def is_run(folder: Path) -> bool:
    return (folder / FILE).is_file()
