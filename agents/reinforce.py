"""REINFORCE (Williams, 1992): Monte-Carlo returns of the episodes that end inside the rollout, and a baseline."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from .checks import require_fraction, require_not_negative, require_one_of, require_positive
from .metrics import averages
from .returns import monte_carlo
from .rollout import Agent, Metrics, Obs, Transition

BASELINES = ("mean", "value", "none")


@dataclass(frozen=True)
class ReinforceConfig:
    lr: float = 1e-3
    gamma: float = 1.0
    baseline: str = "mean"  # of the rollout's returns; or the policy's "value", fitted to them; or "none"
    value_coef: float = 0.5
    entropy_coef: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "lr")
        require_not_negative(self, "value_coef", "entropy_coef")
        require_fraction(self, "gamma")
        require_one_of(self, "baseline", BASELINES)


class Reinforce(Agent):
    """``policy(obs)`` returns a distribution over actions and a value ``[B]``, which only its baseline uses.

    ``update`` takes one gradient step. It raises ValueError where no episode ends inside the rollout.
    """

    checkpointed = ("policy", "optimizer")

    def __init__(self, policy: nn.Module, config: ReinforceConfig | None = None):
        self.policy, self.config = policy, config or ReinforceConfig()
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=self.config.lr, fused=True)

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        distribution, _ = self.policy(obs)
        return (distribution.sample() if explore else distribution.mode), {}

    def update(self, rollout: Transition) -> Metrics:
        returns, known = monte_carlo(rollout.reward, rollout.done, self.config.gamma)
        if not known.any():
            raise ValueError(
                f"no episode ends within the rollout of {len(rollout)} steps: REINFORCE needs whole episodes, "
                "make rollouts at least one episode long"
            )
        loss, metrics = self._loss(rollout[known], returns[known])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return averages([metrics])

    def _loss(self, batch: Transition, returns: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        distribution, value = self.policy(batch.obs)
        baseline = {"mean": returns.mean(), "value": value.detach(), "none": torch.zeros_like(returns)}
        policy_loss = -(distribution.log_prob(batch.action) * (returns - baseline[config.baseline])).mean()
        entropy, value_loss = distribution.entropy().mean(), mse_loss(value, returns)
        loss = policy_loss - config.entropy_coef * entropy
        if config.baseline == "value":
            loss = loss + config.value_coef * value_loss
        return loss, {"policy_loss": policy_loss, "entropy": entropy, "return": returns.mean()}
