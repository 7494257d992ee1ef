"""Tasks so small that the right answer is known, each testing one more thing than the one before.

After Andy Jones, Debugging RL without the agonizing pain (andyljones.com/posts/rl-debugging.html).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from gymnasium.spaces import Box, Dict, Discrete, Space
from torch import Tensor

from ..envs.core import Obs, Options, Task
from ..envs.random import LaneRandom

Pay = Callable[[Tensor, Tensor], Tensor]  # sign [B], action [B] in [0, 1] -> reward [B]
UNIT = Box(0.0, 1.0, (1,))


@dataclass(frozen=True)
class ProbeState:
    sign: Tensor  # [B], -1 or 1
    step: Tensor  # [B] int64


class Probe(Task[ProbeState]):
    """``length`` steps, the last of which earns what ``pay`` says.

    Observation: ``sign`` ``[1]``, -1 or 1 by the episode's luck, and ``step`` in {0, ..., length}. Action:
    ``Box(0, 1, (1,))`` or ``Discrete(2)``.
    """

    device = torch.device("cpu")
    horizon: int

    def __init__(self, pay: Pay, action_space: Space = UNIT, length: int = 1):
        self.pay, self.horizon, self.action_space = pay, length, action_space
        self.observation_space = Dict(sign=Box(-1.0, 1.0, (1,)), step=Discrete(length + 1))

    def initial(self, rng: LaneRandom, options: Options) -> ProbeState:
        sign = rng.integers(2) * 2.0 - 1
        return ProbeState(sign, torch.zeros_like(sign, dtype=torch.int64))

    def observe(self, state: ProbeState) -> Obs:
        return {"sign": state.sign[:, None], "step": state.step}

    def transition(self, state: ProbeState, action: Tensor, rng: LaneRandom | None) -> ProbeState:
        return replace(state, step=state.step + 1)

    def reward(self, state: ProbeState, action: Tensor, next_state: ProbeState) -> dict[str, Tensor]:
        paid = self.pay(state.sign, action.float().view(len(action), -1)[:, 0])
        return {"pay": torch.where(self.terminated(next_state), paid, 0.0)}

    def terminated(self, state: ProbeState) -> Tensor:
        return state.step >= self.horizon

    def imagine(self, obs: Obs, action: Tensor) -> tuple[Obs, Tensor]:
        """One step from an observation, differentiable in ``action``: the next one and the reward ``[B]``."""
        state, terms = self.step(ProbeState(obs["sign"][:, 0], obs["step"]), action, None)
        return self.observe(state), terms["reward/pay"]


constant = partial(Probe, lambda sign, action: torch.ones_like(sign))  # a value that is the same everywhere
readable = partial(Probe, lambda sign, action: sign)  # a value that depends on what is seen
choose_high = partial(Probe, lambda sign, action: action)  # one action is better
choose_by_sign = partial(Probe, lambda sign, action: sign * (2 * action - 1))  # which one, depends on what is seen
