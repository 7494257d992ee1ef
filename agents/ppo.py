"""Proximal policy optimization (Schulman et al., 2017, arXiv:1707.06347), clipped version.

Left out, for no measured gain on our tasks: clipping of the value loss, and an adaptive KL penalty.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from .checks import require_fraction, require_not_negative, require_positive
from .metrics import averages
from .returns import explained_variance, gae
from .rollout import Agent, Metrics, Obs, Transition

Advantage = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float, float], Tensor]  # as ``returns.gae``


@dataclass(frozen=True)
class PPOConfig:
    lr: float = 3e-4
    anneal: int = 0  # updates in which the learning rate falls linearly to zero; 0: it stays
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    epochs: int = 4
    minibatch: int = 256
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    max_grad_norm: float = 0.5
    target_kl: float = 0.0  # an update ends at the first minibatch whose KL exceeds it; 0: none does

    def __post_init__(self) -> None:
        require_positive(self, "lr", "clip", "epochs", "minibatch", "max_grad_norm")
        require_not_negative(self, "anneal", "value_coef", "entropy_coef", "target_kl")
        require_fraction(self, "gamma", "lam")


class PPO(Agent):
    """``policy(obs)`` returns a distribution over actions and a value ``[B]``."""

    checkpointed = ("policy", "optimizer", "schedule")

    def __init__(self, policy: nn.Module, config: PPOConfig | None = None, advantage: Advantage = gae):
        self.policy, self.config, self.advantage = policy, config or PPOConfig(), advantage
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=self.config.lr, eps=1e-5, fused=True)
        end, updates = (0.0, self.config.anneal) if self.config.anneal else (1.0, 1)
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, end, updates)

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        distribution, value = self.policy(obs)
        action = distribution.sample() if explore else distribution.mode
        return action, {"log_prob": distribution.log_prob(action), "value": value}

    def update(self, rollout: Transition) -> Metrics:
        value, advantage = rollout.extras["value"], self._advantage(rollout)
        target = advantage + value
        batch = replace(rollout, next_obs={}).flatten()  # which would be copied into every minibatch for nothing
        steps = self._descend(batch, advantage.flatten(), target.flatten())
        self.schedule.step()
        return averages(steps) | {"explained_variance": explained_variance(value, target).item()}

    def _descend(self, batch: Transition, advantage: Tensor, target: Tensor) -> list[dict[str, Tensor]]:
        """Epochs of gradient steps over shuffled minibatches; the metrics of each."""
        config, steps = self.config, []
        for _ in range(config.epochs):
            for index in torch.randperm(len(batch), device=advantage.device).split(config.minibatch):
                loss, metrics = self._loss(batch[index], advantage[index], target[index])
                steps.append(metrics)
                if config.target_kl and metrics["kl"] > config.target_kl:
                    return steps
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.policy.parameters(), config.max_grad_norm)
                self.optimizer.step()
        return steps

    def _loss(self, batch: Transition, advantage: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        distribution, value = self.policy(batch.obs)
        log_ratio = distribution.log_prob(batch.action) - batch.extras["log_prob"]
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
        value_loss, entropy = mse_loss(value, target), distribution.entropy().mean()
        loss = policy_loss + config.value_coef * value_loss - config.entropy_coef * entropy
        return loss, {
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "entropy": entropy.detach(),
            "kl": (ratio - 1 - log_ratio).mean().detach(),  # Schulman's k3 estimator
            "clip_fraction": (ratio != clipped).float().mean(),
        }

    @torch.no_grad()
    def _advantage(self, rollout: Transition) -> Tensor:
        """The value of what followed is already known, except where an episode or the rollout ends."""
        value, done = rollout.extras["value"], rollout.done
        next_value, unknown = value.roll(-1, dims=0), done.clone()
        unknown[-1] = True
        following = {key: obs[unknown] for key, obs in rollout.next_obs.items()}
        next_value[unknown] = self.policy(following)[1]
        gamma, lam = self.config.gamma, self.config.lam
        return self.advantage(rollout.reward, value, next_value, rollout.terminated, done, gamma, lam)
