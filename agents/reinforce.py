"""REINFORCE (Williams, 1992): Monte-Carlo returns of the episodes that end inside the rollout, and a baseline."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from .advantages import Grouped
from .checks import require_fraction, require_not_negative, require_one_of, require_positive
from .metrics import averages
from .returns import monte_carlo
from .rollout import Agent, Metrics, Obs, Transition

BASELINES = ("mean", "value", "group", "none")


@dataclass(frozen=True)
class ReinforceConfig:
    lr: float = 1e-3
    gamma: float = 1.0
    baseline: str = "mean"  # of the rollout's returns; the policy's "value", fitted to them; a "group"'s; or "none"
    group: str = ""  # the observation that the episodes of a group share; "": all are one group
    history: int = 0  # returns that a group remembers across updates
    least: int = 1  # returns without which a group is measured by the whole rollout's
    value_coef: float = 0.5
    entropy_coef: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "lr", "least")
        require_not_negative(self, "value_coef", "entropy_coef", "history")
        require_fraction(self, "gamma")
        require_one_of(self, "baseline", BASELINES)


class Reinforce(Agent):
    """``policy(obs)`` returns a distribution over actions and a value ``[B]``, which only its baseline uses.

    With the baseline of a group, returns count in its deviations: DDPO's score-function estimator (Black et al.,
    2023, arXiv:2305.13301). ``update`` takes one gradient step. It raises ValueError where no episode ends inside the
    rollout.
    """

    checkpointed: tuple[str, ...] = ("policy", "optimizer")

    def __init__(self, policy: nn.Module, config: ReinforceConfig | None = None):
        self.policy, self.config = policy, config or ReinforceConfig()
        learned = [parameter for parameter in policy.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(learned, lr=self.config.lr, fused=True)
        self.grouped = Grouped(self.config.group, self.config.history, self.config.least)
        if self.config.history:
            self.checkpointed += ("grouped",)

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
        score = self.grouped(rollout, self.policy)[0] if self.config.baseline == "group" else torch.zeros_like(returns)
        loss, metrics = self._loss(rollout[known], returns[known], score[known])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return averages([metrics])

    def _loss(self, batch: Transition, returns: Tensor, score: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        distribution, value = self.policy(batch.obs)
        advantage = {
            "mean": returns - returns.mean(),
            "value": returns - value.detach(),
            "group": score,
            "none": returns,
        }
        policy_loss = -(distribution.log_prob(batch.action) * advantage[config.baseline]).mean()
        entropy, value_loss = distribution.entropy().mean(), mse_loss(value, returns)
        loss = policy_loss - config.entropy_coef * entropy
        if config.baseline == "value":
            loss = loss + config.value_coef * value_loss
        return loss, {"policy_loss": policy_loss, "entropy": entropy, "return": returns.mean()}
