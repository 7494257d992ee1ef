"""The composition root: which parts make a run. A new agent is a line of ``AGENTS``, a new task one of ``DEFAULTS``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from .. import TASKS
from ..agents.ddpg import DDPG, DDPGConfig
from ..agents.edit_tracking import EditTrackingConfig
from ..agents.imitation import ImitationConfig
from ..agents.policies.resnet import ResNetActor, ResNetCritic
from ..agents.policies.standard import StandardActor, StandardCritic, StandardPolicy
from ..agents.ppo import PPO, PPOConfig
from ..agents.reinforce import Reinforce, ReinforceConfig
from ..agents.rollout import Agent, Obs
from ..envs.core import Task
from ..envs.face_dialog import FaceDialog
from ..envs.image_edit import ImageEdit
from ..envs.stroke_paint import StrokePaint
from . import denoisers, face_agents
from .config import arguments, hint, settable
from .face_policies import Editor, Field, Nothing, Oracle
from .painter_policies import painter, published_painter
from .policies import BestColour, Random

Settings = Mapping[str, Any]
Defaults = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class PolicyConfig:
    """The networks of an agent that learns."""

    network: Literal["standard", "resnet", "denoiser"] = "standard"
    widths: tuple[int, ...] = (64, 64)  # of the hidden layers of a standard network that is stochastic
    log_std: float = 0.0  # of a Gaussian policy, to begin with
    rank: int = 4  # of a denoiser's adapter (LoRA)
    alpha: float = 0.0  # the adapter's weight is alpha / rank; 0: as rank
    full: bool = False  # the whole denoiser learns, not an adapter alone
    cfg: Literal["full", "detach", "none"] = "none"  # guidance within a denoiser's policy, and what of it learns

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 0:
            raise ValueError(f"policy.rank must be at least 1 and alpha not negative, got {self.rank}, {self.alpha}")


@runtime_checkable
class Imagines(Protocol):
    """A task that can foretell a step, differentiably."""

    def imagine(self, obs: Obs, action: Tensor) -> tuple[Obs, Tensor]: ...


@dataclass(frozen=True)
class Learner:
    """How an agent is put together, and which tasks it can play."""

    config: Callable[[], Any]
    build: Callable[[Task, PolicyConfig, Any], Agent]
    lacks: Callable[[Task], str | None]  # what a task lacks for this agent, if anything
    networks: tuple[str, ...] = ("standard",)


def learner(name: str) -> Learner:
    """Raises ValueError for a name that is none of ``AGENTS``."""
    if name not in AGENTS:
        raise ValueError(f"no agent {name!r}; {hint(name, list(AGENTS))}")
    return AGENTS[name]


def check(name: str, task: Task, policy: PolicyConfig) -> None:
    """Raises ValueError where the agent ``name`` cannot play ``task``, or not with these networks."""
    known = learner(name)
    if lacking := known.lacks(task):
        raise ValueError(f"{name} cannot play this task: {lacking}. It is played by {', '.join(agents(task))}")
    if policy.network not in known.networks:
        raise ValueError(f"{name} has no network {policy.network}: there is {', '.join(known.networks)}")
    if policy.network == "resnet" and not isinstance(task, StrokePaint):
        raise ValueError("policy.network=resnet is for painting: take standard")
    if policy.network == "denoiser" and (lacking := denoisers.lacks(task)):
        raise ValueError(f"policy.network=denoiser cannot play this task: {lacking}")


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


def defaults(name: str, agent: str, env: Settings) -> Defaults:
    """What suits the task better than the general defaults, of the ``run``, the ``agent`` and the ``policy``."""
    return {"run": {}, "agent": {}, "policy": {}} | DEFAULTS[name](agent, env)


def painting(agent: str, env: Settings) -> Defaults:
    """Whole episodes, and Learning to Paint's discount of 0.95 a stroke (Huang et al., ICCV 2019)."""
    return {"run": {"rollout": env["steps"]}, "agent": {"gamma": 0.95 ** env["strokes"]}}


def editing(agent: str, env: Settings) -> Defaults:
    """Whole episodes; the editor itself is the policy where it can be, judged by groups that share a problem.

    Where none do, all episodes of a rollout are one group, as in DDPO without statistics of its prompts. The noisier
    half of the steps is learned from: there it is decided what is done, while the last one's gradients drown all else.
    """
    run = {"rollout": env["steps"], "num_envs": 64}
    if env["control"] == "guidance" or agent not in DENOISING:
        return {"run": run, "agent": {"gamma": 1.0}}
    shared = {
        "group": "source,instruction" if env["group"] > 1 else "",
        "lr": denoisers.rate(env["model"]),
        "window": (0, -(-env["steps"] // 2)),
    }
    return {"run": run, "agent": DENOISING[agent] | shared, "policy": {"network": "denoiser"}}


def dialogs(agent: str, env: Settings) -> Defaults:
    """Whole dialogs, many at a time: they cost little where no picture is shown."""
    run = {"rollout": env["rounds"] * env["micro_steps"], "num_envs": 256}
    return {"run": run, "agent": DIALOG.get(agent, {}), "policy": {}}


def anything(task: Task) -> str | None:
    return None


def continuous(task: Task) -> str | None:
    return None if isinstance(task.action_space, Box) else f"it needs a Box of actions, and this is {task.action_space}"


def imaginable(task: Task) -> str | None:
    return continuous(task) or (None if isinstance(task, Imagines) else "it needs a task that can imagine a step")


def ppo(task: Task, policy: PolicyConfig, config: PPOConfig) -> Agent:
    return PPO(stochastic(task, policy), config)


def reinforce(task: Task, policy: PolicyConfig, config: ReinforceConfig) -> Agent:
    return Reinforce(stochastic(task, policy), config)


def stochastic(task: Task, policy: PolicyConfig) -> nn.Module:
    if policy.network == "denoiser":
        return denoisers.policy(task, policy.rank, policy.alpha, policy.full, policy.cfg)
    return StandardPolicy(task.observation_space, task.action_space, policy.widths, policy.log_std).to(task.device)


def ddpg(task: Task, policy: PolicyConfig, config: DDPGConfig) -> Agent:
    make_actor, make_critic = NETWORKS[policy.network]
    box = task.action_space
    assert isinstance(box, Box)  # ``continuous`` said so
    actor = make_actor(task.observation_space, box).to(task.device)
    critic = make_critic(task.observation_space, box).to(task.device)
    return DDPG(actor, critic, config, action_space=box)


def model_ddpg(task: Task, policy: PolicyConfig, config: DDPGConfig) -> Agent:
    make_actor, make_critic = NETWORKS[policy.network]
    box = task.action_space
    assert isinstance(box, Box) and isinstance(task, Imagines)  # ``imaginable`` said so
    actor = make_actor(task.observation_space, box).to(task.device)
    critic = make_critic(task.observation_space).to(task.device)
    return DDPG(actor, critic, config, model=task.imagine, action_space=box)


def export(agent: Agent, folder: Path) -> None:
    """Write what other programs can read of ``agent`` into ``folder``: the adapter of a denoiser as ``lora``."""
    if isinstance(agent, PPO):
        with agent.average.applied():
            denoisers.export(agent.policy, folder / "lora")
    elif isinstance(agent, Reinforce):
        denoisers.export(agent.policy, folder / "lora")


def named_policy(name: str, task: Task) -> Agent:
    """A policy of ``task`` that needs no run: one of ``policies``, or ``published:PATH``. Raises ValueError."""
    kind, _, path = name.partition(":")
    if kind == "published" and path:
        return published_painter(task, Path(path))
    known = policies(task)
    if name not in known:
        raise ValueError(f"no run in {name!r} and no such policy; {hint(name, list(known))}, or a run's folder")
    return known[name](task)


AGENTS = {
    "ppo": Learner(PPOConfig, ppo, anything, ("standard", "denoiser")),
    "reinforce": Learner(ReinforceConfig, reinforce, anything, ("standard", "denoiser")),
    "ddpg": Learner(DDPGConfig, ddpg, continuous, ("standard", "resnet")),
    "ddpg-model": Learner(DDPGConfig, model_ddpg, imaginable, ("standard", "resnet")),
    "imitation": Learner(
        ImitationConfig,
        lambda task, policy, config: face_agents.imitation(task, stochastic(task, policy), config),
        face_agents.teachable,
    ),
    "edit-tracker": Learner(
        EditTrackingConfig, lambda task, policy, config: face_agents.edit_tracker(task, config), face_agents.trackable
    ),
}
NETWORKS: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {  # actor, critic
    "standard": (StandardActor, StandardCritic),
    "resnet": (ResNetActor, ResNetCritic),
}
EVERYWHERE: dict[str, Callable[[Task], Agent]] = {"random": Random}
PAINTERS: dict[str, Callable[[Task], Agent]] = {"shipped": painter, "best-colour": BestColour}
EDITORS: dict[str, Callable[[Task], Agent]] = {
    "shipped": denoisers.Reference, "reference": denoisers.Reference, "copy": denoisers.Copy
}  # fmt: skip
FACES: dict[str, Callable[[Task], Agent]] = {
    "shipped": Editor, "none": Nothing, "field": Field, "oracle": Oracle
}  # fmt: skip
NAMED: dict[type, dict[str, Callable[[Task], Agent]]] = {StrokePaint: PAINTERS, ImageEdit: EDITORS, FaceDialog: FACES}
DIALOG: dict[str, dict[str, Any]] = {"ppo": {"gamma": 0.95}, "reinforce": {}, "ddpg": {"gamma": 0.95}}
DENOISING: dict[str, dict[str, Any]] = {  # the clip range of DDPO is 1.6 nats over the numbers of a latent
    "ppo": {
        "advantage": "grouped", "normalize": False, "advantage_clip": 5.0, "epochs": 1, "minibatch": 160, "clip": 5e-4
    },  # fmt: skip
    "reinforce": {"baseline": "group"},
}
DEFAULTS = {
    "StrokePaint-v0": painting,
    "StrokePaintGuided-v0": painting,
    "ImageEdit-v0": editing,
    "FaceDialog-v0": dialogs,
}
