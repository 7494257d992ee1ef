"""The agents that learn: how each is put together, and which tasks it can play. A new one is a line of ``AGENTS``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from gymnasium.spaces import Box, Dict
from torch import Tensor, nn

from ..agents.ddpg import DDPG, DDPGConfig
from ..agents.edit_tracking import EditTrackingConfig
from ..agents.imitation import ImitationConfig
from ..agents.look_ahead import LookAheadConfig
from ..agents.policies.dialog_tracker import TrackerPolicy
from ..agents.policies.resnet import ResNetActor, ResNetCritic
from ..agents.policies.standard import StandardActor, StandardCritic, StandardPolicy
from ..agents.ppo import PPO, PPOConfig
from ..agents.ranking import RankingConfig
from ..agents.reinforce import Reinforce, ReinforceConfig
from ..agents.rollout import Agent, Obs
from ..envs.core import Task
from . import denoisers, face_agents, retrieval_agents
from .config import hint


@dataclass(frozen=True)
class PolicyConfig:
    """The networks of an agent that learns."""

    network: Literal["standard", "resnet", "denoiser", "tracker"] = "standard"
    widths: tuple[int, ...] = (64, 64)  # of the hidden layers of a standard network that is stochastic
    log_std: float = 0.0  # of a Gaussian policy, to begin with
    sees: tuple[str, ...] = ()  # the observations that a standard stochastic network looks at; none named: all
    rank: int = 4  # of a denoiser's adapter (LoRA)
    alpha: float = 0.0  # the adapter's weight is alpha / rank; 0: as rank
    full: bool = False  # the whole denoiser learns, not an adapter alone
    cfg: Literal["full", "detach", "none"] = "none"  # guidance within a denoiser's policy, and what of it learns
    text: int = 512  # width of a tracker's words
    hidden: int = 256  # and of its state
    masked: bool = False  # where a tracker's sentence has ended nothing more is read

    def __post_init__(self) -> None:
        if self.text < 1 or self.hidden < 1:
            raise ValueError(f"policy.text and policy.hidden must be at least 1, got {self.text}, {self.hidden}")
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
    if policy.network == "tracker":
        return tracker(task, policy)
    spaces = task.observation_space.spaces
    seen = Dict({key: spaces[key] for key in policy.sees or spaces})
    return StandardPolicy(seen, task.action_space, policy.widths, policy.log_std).to(task.device)


def tracker(task: Task, policy: PolicyConfig) -> TrackerPolicy:
    return retrieval_agents.tracker_policy(task, policy.text, policy.hidden, policy.masked)


def ddpg(task: Task, policy: PolicyConfig, config: DDPGConfig) -> Agent:
    box = task.action_space
    assert isinstance(box, Box)  # ``continuous`` said so
    actor: nn.Module
    critic: nn.Module
    if policy.network == "tracker":
        actor, critic = retrieval_agents.tracker_actor(task, policy.text, policy.hidden, policy.masked)
    else:
        make_actor, make_critic = NETWORKS[policy.network]
        actor, critic = make_actor(task.observation_space, box), make_critic(task.observation_space, box)
    return DDPG(actor.to(task.device), critic.to(task.device), config, action_space=box)


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


AGENTS = {
    "ppo": Learner(PPOConfig, ppo, anything, ("standard", "denoiser", "tracker")),
    "reinforce": Learner(ReinforceConfig, reinforce, anything, ("standard", "denoiser", "tracker")),
    "ddpg": Learner(DDPGConfig, ddpg, continuous, ("standard", "resnet", "tracker")),
    "ddpg-model": Learner(DDPGConfig, model_ddpg, imaginable, ("standard", "resnet")),
    "imitation": Learner(
        ImitationConfig,
        lambda task, policy, config: face_agents.imitation(task, stochastic(task, policy), config),
        face_agents.teachable,
    ),
    "supervised": Learner(
        RankingConfig,
        lambda task, policy, config: retrieval_agents.ranking(tracker(task, policy), config),
        retrieval_agents.untaught,
        ("tracker",),
    ),
    "look-ahead": Learner(
        LookAheadConfig,
        lambda task, policy, config: retrieval_agents.look_ahead(task, tracker(task, policy), config),
        retrieval_agents.untaught,
        ("tracker",),
    ),
    "edit-tracker": Learner(
        EditTrackingConfig, lambda task, policy, config: face_agents.edit_tracker(task, config), face_agents.trackable
    ),
}
NETWORKS: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = {  # actor, critic
    "standard": (StandardActor, StandardCritic),
    "resnet": (ResNetActor, ResNetCritic),
}
