"""Policies that learn nothing, to compare with."""

from collections.abc import Callable

import torch
from gymnasium.spaces import Box, Discrete, Space
from torch import Tensor, nn

from ..agents.rollout import Agent, Obs
from ..envs.core import Task


class Random(Agent):
    """Uniform over the action space; torch's global generator decides."""

    def __init__(self, task: Task):
        self.draw = sampler(task.action_space, task.device)

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        return self.draw(len(next(iter(obs.values())))), {}


class Fixed(Agent):
    """A network that maps observations to actions, as it is."""

    def __init__(self, network: nn.Module):
        self.network = network

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        return self.network(obs), {}


class BestColour(Agent):
    """Covers the canvas with the target's mean colour: of all one-colour paintings, the one of least L2.

    Every stroke crosses the canvas from side to side, as wide and as opaque as strokes get; together they cover it.
    """

    def __init__(self, task: Task):
        self.strokes = task.units_per_step

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        target = obs["target"].float() / 255
        row = (torch.arange(self.strokes, device=target.device) + 0.5) / self.strokes
        zero, one = torch.zeros_like(row), torch.ones_like(row)
        shape = torch.stack([row, zero, row, one / 2, row, one, one, one, one, one], 1)
        shape = shape.expand(len(target), -1, -1)
        colour = target.mean((2, 3))[:, None].expand(-1, self.strokes, -1)
        return torch.cat([shape, colour], 2).flatten(1), {}


def sampler(space: Space, device: torch.device) -> Callable[[int], Tensor]:
    """``n -> [n, ...]`` uniform actions. Raises ValueError for a space that is neither Box nor Discrete."""
    match space:
        case Discrete():
            return lambda n: torch.randint(int(space.n), (n,), device=device) + int(space.start)
        case Box():
            low, high = (torch.as_tensor(bound, device=device) for bound in (space.low, space.high))
            return lambda n: low + (high - low) * torch.rand(n, *low.shape, device=device)
    raise ValueError(f"no uniform actions for {space}: expected Box or Discrete")
