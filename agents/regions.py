"""Credit by region: what lies inside a mask is judged by another term of the reward than what lies outside."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import adaptive_avg_pool2d

from .advantages import Advantage, Grouped, Judged
from .policies.standard import as_unit
from .rollout import Obs, Transition


class Regions(Advantage):
    """The inside of the observation ``mask`` ``[B, 1, H, W]`` and its outside, each with a term of the reward.

    The log-probability, a mean over dimensions, is split into the parts that the regions have in it, so that they sum
    to the whole: where both terms have the same advantage and no ratio is clipped, the gradient is the plain one. Area
    pooling brings the mask to the distribution's size. A dimension on the border belongs to both regions, by its share
    in each: counted as inside altogether, it would credit the edit with all that surrounds it in a coarse latent.
    """

    def __init__(self, mask: str, inside: str, outside: str, judge: Callable[[], Grouped]):
        self.mask, self.terms, self.judges = mask, (inside, outside), (judge(), judge())

    def __call__(self, rollout: Transition, policy: nn.Module) -> Judged:
        """Advantages ``[T, B, 2]``, inside and outside. Raises ValueError for a term that the reward has not."""
        if missing := [term for term in self.terms if term not in rollout.terms]:
            known = ", ".join(rollout.terms) or "none"
            raise ValueError(f"no term {missing[0]!r} of the reward to credit a region by: there is {known}")
        judged = [
            judge(replace(rollout, reward=rollout.terms[term]), policy)[0]
            for judge, term in zip(self.judges, self.terms, strict=True)
        ]
        return torch.stack(judged, -1), None

    def log_prob(self, distribution: Distribution, action: Tensor, obs: Obs) -> Tensor:
        """``[B, 2]``, what lies inside and outside; the sum is ``distribution.log_prob(action)``.

        Raises ValueError where ``obs`` has no mask, or the distribution no ``log_prob_map`` ``[B, c, h, w]``.
        """
        if self.mask not in obs:
            raise ValueError(f"no observation {self.mask!r} to tell regions apart: there is {', '.join(obs)}")
        if not hasattr(distribution, "log_prob_map"):
            raise ValueError(
                f"credit by region needs a distribution with log_prob_map, not {type(distribution).__name__}"
            )
        density = distribution.log_prob_map(action)
        inside = adaptive_avg_pool2d(as_unit(obs[self.mask]), density.shape[-2:])
        return torch.stack([(density * share).mean((1, 2, 3)) for share in (inside, 1 - inside)], -1)

    def state_dict(self) -> dict[str, Any]:
        return {"judges": [judge.state_dict() for judge in self.judges]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        for judge, kept in zip(self.judges, saved["judges"], strict=True):
            judge.load_state_dict(kept)
