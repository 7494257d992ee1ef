"""From features to a distribution over actions.

Two rules keep agents free of action spaces. An agent sends what it sampled and remembers what it sent: projecting
an action onto the space is the environment's business, so nobody clips or squashes on the way. And ``log_prob``
and ``entropy`` are one number per action, ``[B]``: summing over the action's dimensions is the distribution's.
Distributions do not validate their arguments, which would wait for the device at every step.
"""

import math

import torch
from gymnasium.spaces import Box, Discrete, Space
from torch import Tensor, nn
from torch.distributions import Beta, Categorical, Distribution, Independent, Normal


class GaussianHead(nn.Module):
    """For any ``Box``: a mean per state, a deviation per dimension. Reaches beyond the box."""

    def __init__(self, features: int, shape: tuple[int, ...], log_std: float = 0.0):
        super().__init__()
        self.linear = nn.Linear(features, math.prod(shape))
        self.log_std = nn.Parameter(torch.full(shape, log_std))
        self.shape = shape

    def forward(self, features: Tensor) -> Distribution:
        mean = self.linear(features).unflatten(-1, self.shape)
        normal = Normal(mean, self.log_std.exp().expand_as(mean), validate_args=False)
        return Independent(normal, len(self.shape), validate_args=False)


class BetaHead(nn.Module):
    """For ``Box(0, 1)`` (Chou et al., ICML 2017). Both concentrations exceed one: one peak, inside the box."""

    def __init__(self, features: int, shape: tuple[int, ...]):
        super().__init__()
        self.linear = nn.Linear(features, 2 * math.prod(shape))
        self.shape = shape

    def forward(self, features: Tensor) -> Distribution:
        a, b = (1 + nn.functional.softplus(self.linear(features))).chunk(2, dim=-1)
        beta = Beta(a.unflatten(-1, self.shape), b.unflatten(-1, self.shape), validate_args=False)
        return Independent(beta, len(self.shape), validate_args=False)


class CategoricalHead(nn.Module):
    """For ``Discrete`` spaces that start at 0."""

    def __init__(self, features: int, n: int):
        super().__init__()
        self.linear = nn.Linear(features, n)

    def forward(self, features: Tensor) -> Distribution:
        return Categorical(logits=self.linear(features), validate_args=False)


def head_for(space: Space, features: int, log_std: float = 0.0) -> nn.Module:
    """The default head for ``space``; a Gaussian one begins with ``log_std``.

    Raises ValueError for a space that is neither Box nor Discrete from 0.
    """
    match space:
        case Discrete(start=0):
            return CategoricalHead(features, int(space.n))
        case Box() if (space.low == 0).all() and (space.high == 1).all():
            return BetaHead(features, space.shape)
        case Box():
            return GaussianHead(features, space.shape, log_std)
    raise ValueError(f"no head for the action space {space}: expected Box, or Discrete that starts at 0")
