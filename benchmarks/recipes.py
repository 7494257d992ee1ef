"""The composition root: which parts make a run, by the names that a user gives."""

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from .. import TASKS
from ..agents.rollout import Agent
from ..envs.core import Task
from ..envs.face_dialog import FaceDialog
from ..envs.image_edit import ImageEdit
from ..envs.image_retrieval import ImageRetrieval
from ..envs.stroke_paint import StrokePaint
from . import denoisers, retrieval_agents, retrieval_policies
from .config import arguments, hint, settable
from .face_policies import Editor, Field, Nothing, Oracle
from .learners import AGENTS, PolicyConfig, anything, learner
from .painter_policies import painter, published_painter
from .policies import BestColour, Random
from .usual import Settings


def check(name: str, task: Task, policy: PolicyConfig) -> None:
    """Raises ValueError where the agent ``name`` cannot play ``task``, or not with these networks."""
    known = learner(name)
    if lacking := known.lacks(task):
        raise ValueError(f"{name} cannot play this task: {lacking}. It is played by {', '.join(agents(task))}")
    if policy.network not in known.networks:
        raise ValueError(f"{name} has no network {policy.network}: there is {', '.join(known.networks)}")
    if policy.network == "resnet" and not isinstance(task, StrokePaint):
        raise ValueError("policy.network=resnet is for painting: take standard")
    lacks = {"denoiser": denoisers.lacks, "tracker": retrieval_agents.untracked}.get(policy.network, anything)
    if lacking := lacks(task):
        raise ValueError(f"policy.network={policy.network} cannot play this task: {lacking}")
    for seen in policy.sees:
        if seen not in task.observation_space.spaces:
            raise ValueError(f"policy.sees {seen!r}, no observation; {hint(seen, list(task.observation_space))}")


def agents(task: Task) -> list[str]:
    """The agents that can play ``task``."""
    return [name for name, known in AGENTS.items() if known.lacks(task) is None]


def policies(task: Task) -> dict[str, Callable[[Task], Agent]]:
    """The policies of ``task`` that need no run, by name."""
    return EVERYWHERE | next((named for kind, named in NAMED.items() if isinstance(task, kind)), {})


def task_class(name: str) -> Callable[..., Task]:
    """The class behind an id. Raises ValueError for an id that is none of ours."""
    if name not in TASKS:
        raise ValueError(f"no task {name!r}; {hint(name, list(TASKS))}")
    module, _, builder = TASKS[name]["task"].partition(":")
    return getattr(import_module(f"...envs.{module}", __name__), builder)


def environment(name: str, settings: Settings) -> dict[str, Any]:
    """Every argument of the task ``name``: its class's defaults, its id's, then ``settings``, each read as its type.

    Raises ValueError for an unknown id or argument and for a wrong type.
    """
    builder = task_class(name)
    usual = {key: p.default for key, p in signature(builder).parameters.items() if key in settable(builder)}
    registered = {key: value for key, value in TASKS[name].items() if key != "task"}
    return arguments(builder, usual | registered | dict(settings), "env.")


def make_task(name: str, env: Settings, device: str = "cpu") -> Task:
    return task_class(name)(**env, device=device)


def unseen(env: Settings) -> dict[str, Any]:
    """The arguments of the task to evaluate on: targets that training does not see, where it leaves any, each once."""
    split = {"split": "test"} if env.get("split") == "train" else {}
    return {**env, **split} | ({"group": 1} if "group" in env else {})


def pick_device(device: str) -> str:
    """``auto`` is the accelerator where there is one. Raises ValueError for a device that is not here."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f"no device {device!r} here; expected auto, cpu" + ", cuda" * torch.cuda.is_available())
    return device


def build_agent(name: str, task: Task, policy: PolicyConfig, config: Any) -> Agent:
    """A fresh agent for ``task``, on its device. Raises ValueError where it cannot play it."""
    check(name, task, policy)
    return learner(name).build(task, policy, config)


def named_policy(name: str, task: Task) -> Agent:
    """A policy of ``task`` that needs no run: one of ``policies``, or ``published:PATH``. Raises ValueError."""
    kind, _, path = name.partition(":")
    if kind == "published" and path:
        return published_painter(task, Path(path))
    known = policies(task)
    if name not in known:
        raise ValueError(f"no run in {name!r} and no such policy; {hint(name, list(known))}, or a run's folder")
    return known[name](task)


EVERYWHERE: dict[str, Callable[[Task], Agent]] = {"random": Random}
PAINTERS: dict[str, Callable[[Task], Agent]] = {"shipped": painter, "best-colour": BestColour}
EDITORS: dict[str, Callable[[Task], Agent]] = {
    "shipped": denoisers.Reference, "reference": denoisers.Reference, "copy": denoisers.Copy
}  # fmt: skip
FACES: dict[str, Callable[[Task], Agent]] = {
    "shipped": Editor, "none": Nothing, "field": Field, "oracle": Oracle
}  # fmt: skip
FINDERS: dict[str, Callable[[Task], Agent]] = {
    "shipped": retrieval_policies.Finder, "supervised": retrieval_policies.Supervised,
    "nothing": retrieval_policies.Nothing, "bayes": retrieval_policies.Bayes,
}  # fmt: skip
NAMED: dict[type, dict[str, Callable[[Task], Agent]]] = {
    StrokePaint: PAINTERS, ImageEdit: EDITORS, FaceDialog: FACES, ImageRetrieval: FINDERS
}  # fmt: skip
