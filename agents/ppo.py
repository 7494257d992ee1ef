"""Proximal policy optimization (Schulman et al., 2017, arXiv:1707.06347), clipped version.

Without a critic, by groups of episodes, it is that of DDPO (Black et al., 2023, arXiv:2305.13301) and GRPO.

Left out, for no measured gain on our tasks: clipping of the value loss, and an adaptive KL penalty.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence
from torch.nn.functional import mse_loss

from .. import backends
from . import distributed
from .advantages import Advantage, Generalized, Grouped
from .average import Average
from .checks import require_fraction, require_not_negative, require_one_of, require_positive
from .metrics import averages
from .policy_gradient import PolicyGradient, PolicyGradientConfig, as_extras
from .regions import Regions
from .returns import explained_variance
from .rollout import Metrics, Obs, Transition


@dataclass(frozen=True)
class PPOConfig(PolicyGradientConfig):
    lr: float = 3e-4
    epsilon: float = 1e-5
    max_grad_norm: float = 0.5
    minibatch: int = 256
    accumulate: int = 1  # minibatches whose gradients make a step
    anneal: int = 0  # updates in which the learning rate falls linearly to zero; 0: it stays
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    epochs: int = 4
    reference_coef: float = 0.0  # of the KL divergence from ``policy.reference(obs)``
    target_kl: float = 0.0  # an update ends at the first minibatch whose KL exceeds it; 0: none does
    advantage: str = "generalized"  # or "grouped": an episode's return against its group's, no value learned
    regions: tuple[str, str, str] = ("", "", "")  # a mask seen, and the terms its inside and outside earn; see Regions
    normalize: bool = True  # advantages once more in every minibatch
    by_episode: bool = False  # minibatches hold whole lanes, in random order, not rows from everywhere
    compile: bool = False  # torch.compile fuses the loss and its gradient: see PPO
    average: float = 0.0  # decay of the running average of the weights, which acts when not exploring; 0: none

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "clip", "epochs", "minibatch", "accumulate")
        require_not_negative(self, "anneal", "reference_coef", "target_kl")
        require_fraction(self, "gamma", "lam", "average")
        require_one_of(self, "advantage", ("generalized", "grouped"))
        if any(self.regions) and not (all(self.regions) and self.advantage == "grouped"):
            raise ValueError(
                "PPOConfig.regions must name an observation and two terms of the reward, with advantage='grouped', "
                f"got {self.regions} with advantage={self.advantage!r}"
            )


class PPO(PolicyGradient):
    """``policy(obs)`` returns a distribution over actions and a value ``[B]``; grouped advantages ask for no value.

    With ``reference_coef`` it also has ``policy.reference(obs)``, a distribution, and their ``kl_divergence`` exists.
    With ``regions`` the distribution has ``log_prob_map``.

    With ``compile`` the first update takes about a minute longer, and a gradient step of a small network two thirds as
    long: it is else made of a hundred small operations. Where pictures are seen convolutions are what takes time, and
    they gain nothing. Results agree with those without to rounding. On a CPU it needs a C++ compiler.
    """

    config: PPOConfig

    def __init__(self, policy: nn.Module, config: PPOConfig | None = None, advantage: Advantage | None = None):
        super().__init__(policy, config or PPOConfig())
        self.reference: Callable[[Obs], Distribution] | None = getattr(policy, "reference", None)
        end, updates = (0.0, self.config.anneal) if self.config.anneal else (1.0, 1)
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, end, updates)
        self.regions = Regions(*self.config.regions, self._grouped) if any(self.config.regions) else None
        self.advantage = advantage or self.regions or self._strategy()
        self.average = Average(self.learned, self.config.average)
        if self.config.compile:
            backends.require_compiler(self.learned[0].device)
        self.checkpointed = (*self.checkpointed, "schedule")
        if isinstance(self.advantage, Grouped | Regions) and self.config.history:
            self.checkpointed += ("advantage",)
        if self.config.average:
            self.checkpointed += ("average",)

    def _strategy(self) -> Advantage:
        grouped = self.config.advantage == "grouped"
        return self._grouped() if grouped else Generalized(self.config.gamma, self.config.lam)

    def _grouped(self) -> Grouped:
        return Grouped(self.config.group, self.config.history, self.config.least)

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        derived = self._derived(obs)
        if not explore:
            with self.average.applied():
                return self.policy(obs | derived)[0].mode, {}
        distribution, value = self.policy(obs | derived)
        action = distribution.sample()
        extras = {"log_prob": distribution.log_prob(action), "value": value} | as_extras(derived)
        if self.regions is not None:
            extras["region_log_prob"] = self.regions.log_prob(distribution, action, obs)
        return action, extras

    def update(self, rollout: Transition) -> Metrics:
        advantage, target = self.advantage(rollout, self.policy)
        steps = self._descend(replace(rollout, next_obs={}, terms={}), self._bounded(advantage), target)
        self.schedule.step()
        if target is None:
            return averages(steps)
        return averages(steps) | {"explained_variance": explained_variance(rollout.extras["value"], target).item()}

    def _descend(self, rollout: Transition, advantage: Tensor, target: Tensor | None) -> list[dict[str, Tensor]]:
        """Epochs of gradient steps over shuffled minibatches; the metrics of each."""
        config, steps = self.config, []
        advantage, target = advantage.flatten(0, 1), None if target is None else target.flatten()
        for _ in range(config.epochs):
            parts = self._rows(rollout).split(config.minibatch)
            for first in range(0, len(parts), config.accumulate):
                together = parts[first : first + config.accumulate]
                self.optimizer.zero_grad()
                for rows in together:
                    wanted = None if target is None else target[rows]
                    loss, metrics = self._judge(rollout.take(rows), advantage[rows], wanted)
                    steps.append(metrics)
                    if config.target_kl and distributed.mean(metrics["kl"]) > config.target_kl:
                        return steps
                    (loss / len(together)).backward()
                self._step()
                self.average.follow()
        return steps

    def _rows(self, rollout: Transition) -> Tensor:
        """Which rows of the flat rollout an epoch learns from, in its order."""
        rows = self._drawn(rollout, shuffled=self.config.by_episode)
        if self.config.by_episode:
            return rows[:, torch.randperm(rows.shape[1], device=rows.device)].T.flatten()
        return rows.flatten()[torch.randperm(rows.numel(), device=rows.device)]

    @cached_property
    def _judge(self) -> Callable[[Transition, Tensor, Tensor | None], tuple[Tensor, dict[str, Tensor]]]:
        return backends.compiled_method(self._loss) if self.config.compile else self._loss

    def _loss(self, batch: Transition, advantage: Tensor, target: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Of ``N`` rows, whose ``advantage`` is ``[N]`` or, by region, ``[N, 2]``: the regions' losses are added."""
        config, shown = self.config, self._shown(batch)
        distribution, value = self.policy(shown)
        log_ratio = self._log_ratio(distribution, batch)
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        if config.normalize:
            average, deviation = distributed.moments(advantage)
            advantage = (advantage - average) / (deviation + 1e-8)
        policy_loss = -torch.min(ratio * advantage, clipped * advantage).sum() / len(batch)
        entropy = distribution.entropy().mean()
        loss, metrics = policy_loss, {}
        if config.entropy_coef:
            loss = loss - config.entropy_coef * entropy
        if target is not None:
            value_loss = mse_loss(value, target)
            loss, metrics["value_loss"] = loss + config.value_coef * value_loss, value_loss.detach()
        if config.reference_coef:
            if self.reference is None:
                raise ValueError("PPOConfig.reference_coef needs a policy that has a reference")
            drift = kl_divergence(distribution, self.reference(shown)).mean()
            loss, metrics["reference_kl"] = loss + config.reference_coef * drift, drift.detach()
        with torch.no_grad():
            return loss, metrics | {
                "policy_loss": policy_loss.detach(),
                "entropy": entropy.detach(),
                "kl": (ratio - 1 - log_ratio).sum() / len(batch),  # Schulman's k3 estimator
                "clip_fraction": (ratio != clipped).float().mean(),
            }

    def _log_ratio(self, distribution: Distribution, batch: Transition) -> Tensor:
        """Of doing again what was done: ``[N]``, or ``[N, 2]`` by region."""
        if self.regions is None:
            return distribution.log_prob(batch.action) - batch.extras["log_prob"]
        return self.regions.log_prob(distribution, batch.action, batch.obs) - batch.extras["region_log_prob"]
