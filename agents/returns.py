"""Returns, advantages and targets. Time runs along the first axis of every ``[T, B]``."""

import torch
from torch import Tensor


def gae(
    reward: Tensor, value: Tensor, next_value: Tensor, terminated: Tensor, done: Tensor, gamma: float, lam: float
) -> Tensor:
    """Generalized advantage estimates ``[T, B]`` (Schulman et al., 2016, arXiv:1506.02438).

        delta_t = r_t + gamma (1 - terminated_t) V(next_obs_t) - V(obs_t)
        A_t     = delta_t + gamma lam (1 - done_t) A_{t+1}

    ``next_value`` belongs to ``next_obs``, so a truncated step and the end of the rollout bootstrap by themselves.
    """
    delta = td_target(reward, next_value, terminated, gamma) - value
    advantage, out = torch.zeros_like(value[0]), torch.empty_like(value)
    for t in reversed(range(len(reward))):
        out[t] = advantage = delta[t] + gamma * lam * ~done[t] * advantage
    return out


def monte_carlo(reward: Tensor, done: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Discounted return to the episode's end, and where that end lies inside the rollout (``[T, B]`` bool)."""
    returns, known = torch.empty_like(reward), torch.empty_like(done)
    tail, seen = torch.zeros_like(reward[0]), torch.zeros_like(done[0])
    for t in reversed(range(len(reward))):
        returns[t] = tail = reward[t] + gamma * ~done[t] * tail
        known[t] = seen = done[t] | seen
    return returns, known


def td_target(reward: Tensor, next_value: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """``r + gamma (1 - terminated) V(next_obs)``, any shape; a truncated step keeps its value."""
    return reward + gamma * ~terminated * next_value


def explained_variance(value: Tensor, target: Tensor) -> Tensor:
    """The share of the variance of ``target`` that ``value`` explains: 1 is perfect, 0 no better than a constant."""
    return 1 - (target - value).var() / target.var().clamp_min(1e-8)
