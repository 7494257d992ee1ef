"""Proximal policy optimization (Schulman et al., 2017, arXiv:1707.06347), clipped version.

Without a critic, by groups of episodes, it is that of DDPO (Black et al., 2023, arXiv:2305.13301) and GRPO.

Left out, for no measured gain on our tasks: clipping of the value loss, and an adaptive KL penalty.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence
from torch.nn.functional import mse_loss

from .advantages import Advantage, Generalized, Grouped
from .average import Average
from .checks import require_fraction, require_not_negative, require_one_of, require_positive
from .metrics import averages
from .returns import explained_variance
from .rollout import Agent, Metrics, Obs, Transition


@dataclass(frozen=True)
class PPOConfig:
    lr: float = 3e-4
    anneal: int = 0  # updates in which the learning rate falls linearly to zero; 0: it stays
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    epochs: int = 4
    minibatch: int = 256
    accumulate: int = 1  # minibatches whose gradients make a step
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    reference_coef: float = 0.0  # of the KL divergence from ``policy.reference(obs)``
    max_grad_norm: float = 0.5
    weight_decay: float = 0.0  # decoupled, as in AdamW
    target_kl: float = 0.0  # an update ends at the first minibatch whose KL exceeds it; 0: none does
    advantage: str = "generalized"  # or "grouped": an episode's return against its group's, no value learned
    group: str = ""  # the observation that the episodes of a group share; "": all are one group
    history: int = 0  # returns that a group remembers across updates
    least: int = 1  # returns without which a group is measured by the whole rollout's
    normalize: bool = True  # advantages once more in every minibatch
    advantage_clip: float = 0.0  # the largest advantage, either way; 0: any
    window: tuple[int, int] = (0, 0)  # steps of a rollout that are learned from, from and until; (0, 0): all
    share: float = 1.0  # of each lane's steps that is learned from, drawn anew each epoch
    by_episode: bool = False  # minibatches hold whole lanes, in random order, not rows from everywhere
    average: float = 0.0  # decay of the running average of the weights, which acts when not exploring; 0: none

    def __post_init__(self) -> None:
        require_positive(self, "lr", "clip", "epochs", "minibatch", "accumulate", "max_grad_norm", "share", "least")
        require_not_negative(self, "anneal", "value_coef", "entropy_coef", "reference_coef", "weight_decay")
        require_not_negative(self, "target_kl", "history", "advantage_clip")
        require_fraction(self, "gamma", "lam", "share", "average")
        require_one_of(self, "advantage", ("generalized", "grouped"))
        if self.window != (0, 0) and not 0 <= self.window[0] < self.window[1]:
            raise ValueError(f"PPOConfig.window must be (from, until) with 0 <= from < until, got {self.window}")


class PPO(Agent):
    """``policy(obs)`` returns a distribution over actions and a value ``[B]``; grouped advantages ask for no value.

    With ``reference_coef`` it also has ``policy.reference(obs)``, a distribution, and their ``kl_divergence`` exists.
    """

    checkpointed: tuple[str, ...] = ("policy", "optimizer", "schedule")

    def __init__(self, policy: nn.Module, config: PPOConfig | None = None, advantage: Advantage | None = None):
        self.policy, self.config = policy, config or PPOConfig()
        self.reference: Callable[[Obs], Distribution] | None = getattr(policy, "reference", None)
        learned = [parameter for parameter in policy.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            learned, lr=self.config.lr, eps=1e-5, weight_decay=self.config.weight_decay, fused=True
        )
        end, updates = (0.0, self.config.anneal) if self.config.anneal else (1.0, 1)
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, end, updates)
        self.advantage = advantage or self._strategy()
        self.average = Average(learned, self.config.average)
        if isinstance(self.advantage, Grouped) and self.config.history:
            self.checkpointed += ("advantage",)
        if self.config.average:
            self.checkpointed += ("average",)

    def _strategy(self) -> Advantage:
        config = self.config
        if config.advantage == "grouped":
            return Grouped(config.group, config.history, config.least)
        return Generalized(config.gamma, config.lam)

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        if not explore:
            with self.average.applied():
                return self.policy(obs)[0].mode, {}
        distribution, value = self.policy(obs)
        action = distribution.sample()
        return action, {"log_prob": distribution.log_prob(action), "value": value}

    def update(self, rollout: Transition) -> Metrics:
        advantage, target = self.advantage(rollout, self.policy)
        if self.config.advantage_clip:
            advantage = advantage.clamp(-self.config.advantage_clip, self.config.advantage_clip)
        batch = replace(rollout, next_obs={}).flatten()  # which would be copied into every minibatch for nothing
        steps = self._descend(batch, advantage, None if target is None else target.flatten())
        self.schedule.step()
        if target is None:
            return averages(steps)
        return averages(steps) | {"explained_variance": explained_variance(rollout.extras["value"], target).item()}

    def _descend(self, batch: Transition, advantage: Tensor, target: Tensor | None) -> list[dict[str, Tensor]]:
        """Epochs of gradient steps over shuffled minibatches; the metrics of each."""
        config, steps = self.config, []
        for _ in range(config.epochs):
            parts = self._rows(advantage).split(config.minibatch)
            for first in range(0, len(parts), config.accumulate):
                together = parts[first : first + config.accumulate]
                self.optimizer.zero_grad()
                for index in together:
                    wanted = None if target is None else target[index]
                    loss, metrics = self._loss(batch[index], advantage.flatten()[index], wanted)
                    steps.append(metrics)
                    if config.target_kl and metrics["kl"] > config.target_kl:
                        return steps
                    (loss / len(together)).backward()
                nn.utils.clip_grad_norm_(self.policy.parameters(), config.max_grad_norm)
                self.optimizer.step()
                self.average.follow()
        return steps

    def _rows(self, advantage: Tensor) -> Tensor:
        """Which rows of the flat rollout an epoch learns from, in its order."""
        steps, lanes = advantage.shape
        device = advantage.device
        first, last = self.config.window if self.config.window != (0, 0) else (0, steps)
        order = torch.arange(first, min(last, steps), device=device)[:, None].expand(-1, lanes)
        if self.config.share < 1 or self.config.by_episode:
            drawn = torch.rand(order.shape, device=device).argsort(0)[: max(1, int(len(order) * self.config.share))]
            order = order.gather(0, drawn)
        rows = order * lanes + torch.arange(lanes, device=device)
        if self.config.by_episode:
            return rows[:, torch.randperm(lanes, device=device)].T.flatten()
        return rows.flatten()[torch.randperm(rows.numel(), device=device)]

    def _loss(self, batch: Transition, advantage: Tensor, target: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        distribution, value = self.policy(batch.obs)
        log_ratio = distribution.log_prob(batch.action) - batch.extras["log_prob"]
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        if config.normalize:
            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
        entropy = distribution.entropy().mean()
        loss, metrics = policy_loss - config.entropy_coef * entropy, {}
        if target is not None:
            value_loss = mse_loss(value, target)
            loss, metrics["value_loss"] = loss + config.value_coef * value_loss, value_loss.detach()
        if config.reference_coef:
            if self.reference is None:
                raise ValueError("PPOConfig.reference_coef needs a policy that has a reference")
            drift = kl_divergence(distribution, self.reference(batch.obs)).mean()
            loss, metrics["reference_kl"] = loss + config.reference_coef * drift, drift.detach()
        return loss, metrics | {
            "policy_loss": policy_loss.detach(),
            "entropy": entropy.detach(),
            "kl": (ratio - 1 - log_ratio).mean().detach(),  # Schulman's k3 estimator
            "clip_fraction": (ratio != clipped).float().mean(),
        }
