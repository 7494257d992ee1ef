"""What the checks of ``retouch doctor`` look at, and what they answer."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..agents.policy_gradient import PolicyGradient
from ..agents.ppo import PPO
from ..agents.reinforce import Reinforce
from ..agents.rollout import Agent, Transition
from ..envs.core import Task
from .plan import Plan

Verdict = Literal["ok", "warning", "fail", "not applicable"]
Measured = Mapping[str, float | list[float]]  # by name, with the unit
ROWS = 256  # of an agent that has no minibatches
ONE_STEP = {  # of the optimiser, from a whole rollout whose lanes are all compared, with its gradient as it is
    "epochs": 1, "accumulate": 2**31, "max_grad_norm": 0.0, "target_kl": 0.0, "group": "", "history": 0, "least": 1,
    "regions": ("", "", ""),
}  # fmt: skip


class Outcome(NamedTuple):
    """How something stands, what was measured, what it means and what to do."""

    verdict: Verdict
    measured: Measured
    advice: str


@dataclass(frozen=True)
class Finding:
    """The outcome of a check by name."""

    name: str
    verdict: Verdict
    measured: Measured
    advice: str


@dataclass(frozen=True)
class Case:
    """A run that is about to begin, and its first rollout ``[T, B]``."""

    plan: Plan
    task: Task
    agent: Agent
    rollout: Transition

    @property
    def config(self) -> Any:
        return self.plan.learner

    @property
    def policy(self) -> nn.Module:
        """Of an agent that has log-probabilities; ``lacks_log_probs`` says which have not."""
        assert isinstance(self.agent, PolicyGradient)
        return self.agent.policy

    @property
    def grouped(self) -> bool:
        """Whether returns are judged within groups."""
        return getattr(self.config, "advantage", "") == "grouped" or getattr(self.config, "baseline", "") == "group"

    @property
    def judges_episodes(self) -> bool:
        """Whether an update needs episodes that end within the rollout."""
        return self.grouped or isinstance(self.agent, Reinforce)

    @property
    def learned(self) -> range:
        """The steps of a rollout that are learned from."""
        first, last = getattr(self.config, "window", (0, 0))
        return range(self.plan.run.rollout)[first : last or None]

    @cached_property
    def stepped(self) -> "Stepped":
        """A copy of the agent's policy after one optimiser step, for which every second environment was rewarded."""
        single = {name: value for name, value in ONE_STEP.items() if hasattr(self.config, name)}
        builder: Any = type(self.agent)
        agent = builder(deepcopy(self.policy), replace(self.config, **single))
        before, reward = log_probs(self.policy, self.rollout), torch.ones_like(self.rollout.reward)
        reward[:, 1::2] = -1
        agent.update(replace(self.rollout, reward=reward))
        return Stepped(agent.policy, log_probs(agent.policy, self.rollout) - before)


@dataclass(frozen=True)
class Stepped:
    """What a policy became, and the log-ratio ``[T, B]`` of doing again what was done."""

    policy: nn.Module
    log_ratio: Tensor


@dataclass(frozen=True)
class Check:
    """``lacks`` names what a case lacks for it, if anything."""

    name: str
    lacks: Callable[[Case], str | None]
    run: Callable[[Case], Outcome]

    def __call__(self, case: Case) -> Finding:
        if lacking := self.lacks(case):
            return Finding(self.name, "not applicable", {}, lacking)
        return Finding(self.name, *self.run(case))


def lacks_nothing(case: Case) -> str | None:
    return None


def lacks_log_probs(case: Case) -> str | None:
    return None if isinstance(case.agent, PolicyGradient) else f"{case.plan.agent} has no log-probabilities"


def lacks_ratio(case: Case) -> str | None:
    if isinstance(case.agent, PPO):
        return None
    return f"{case.plan.agent} takes no ratio of a new to an old probability: PPO does"


@torch.no_grad()
def log_probs(policy: nn.Module, rollout: Transition, rows: int = ROWS) -> Tensor:
    """``[T, B]`` of what was done, by ``rows`` at a time in random order, as an update does."""
    kept = replace(rollout, next_obs={})
    order = torch.randperm(rollout.reward.numel(), device=rollout.reward.device)
    found = torch.cat([policy(part.obs)[0].log_prob(part.action) for part in map(kept.take, order.split(rows))])
    return found[order.argsort()].view_as(rollout.reward)


def off_one(log_ratio: Tensor) -> Tensor:
    """``|ratio - 1|``."""
    return log_ratio.double().expm1().abs()


def largest(values: Tensor) -> float:
    """NaN if any is."""
    return values.max().item()
