"""The losses of the published dialog editor's extension, which know the latent that is wanted, number by number."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Independent, Normal
from torch.optim import Adam

from .checks import require_one_of, require_positive
from .metrics import averages
from .policies.edit_tracker import EditTracker
from .rollout import Agent, Metrics, Obs, Transition

LOSSES = ("supervised", "reinforce", "published")


@dataclass(frozen=True)
class EditTrackingConfig:
    loss: str = "supervised"
    lr: float = 1e-3
    scale: float = 20.0  # an action is the edit times this
    epochs: int = 4  # of a rollout
    minibatch: int = 512

    def __post_init__(self) -> None:
        require_one_of(self, "loss", LOSSES)
        require_positive(self, "lr", "scale", "epochs", "minibatch")


class EditTracking(Agent):
    """An ``EditTracker`` that learns from ``latent`` ``[B, D]`` and ``goal`` ``[B, D]``, which it does not act on.

    ``supervised``: the mean squared distance to the goal of where an action leads, through the sampled action.
    ``reinforce``: the log-probability of each number of an action, times how much nearer it brought its number of the
    latent. ``published`` is that as it was written: the gradient goes through the sampled action too, where it cancels
    that of the mean exactly, so that only the deviation learns.
    """

    checkpointed = ("policy", "optimizer")

    def __init__(self, policy: EditTracker, config: EditTrackingConfig | None = None):
        self.policy, self.config = policy, config or EditTrackingConfig()
        self.optimizer = Adam(policy.parameters(), self.config.lr)

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        distribution, _ = self.policy(obs)
        return (distribution.sample() if explore else distribution.mode), {}

    def update(self, rollout: Transition) -> Metrics:
        flat, metrics = rollout.flatten(), []
        for _ in range(self.config.epochs):
            for rows in torch.randperm(len(flat), device=flat.reward.device).split(self.config.minibatch):
                loss = self.loss(flat[rows])
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                metrics.append({"loss": loss})
        return averages(metrics)

    def loss(self, batch: Transition) -> Tensor:
        """A number, by the loss that was chosen, for transitions ``[N]``."""
        distribution, _ = self.policy(batch.obs)
        latent, goal = batch.obs["latent"], batch.obs["goal"]
        if self.config.loss == "supervised":
            return (latent + distribution.rsample() / self.config.scale - goal).square().mean()
        nearer = (latent - goal).square() - (batch.next_obs["latent"] - goal).square()
        normal = self._each(distribution)
        action = batch.action
        if self.config.loss == "published":
            action = normal.loc + normal.scale * ((action - normal.loc) / normal.scale).detach()
        return -(normal.log_prob(action) * nearer).mean()

    @staticmethod
    def _each(distribution: Independent) -> Normal:
        """The distribution of every number by itself."""
        assert isinstance(distribution.base_dist, Normal)
        return distribution.base_dist
