"""The whole contract between agents and environments: a transition, an agent, and the loops that join them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

Obs = dict[str, Tensor]
Metrics = dict[str, float]


@dataclass(frozen=True)
class Transition:
    """What happened, with any leading shape: ``[B]`` one step, ``[T, B]`` a rollout, ``[N]`` a minibatch."""

    obs: Obs  # what the agent saw
    action: Tensor  # what it sent, before the environment projected it onto its space
    reward: Tensor  # float32
    next_obs: Obs  # what followed; at an episode's end its last observation, never the next one's first
    terminated: Tensor  # bool: the task ended, nothing follows
    truncated: Tensor  # bool: the clock ended, value remains in next_obs
    extras: dict[str, Tensor]  # what Agent.act returned beside the action, untouched

    @property
    def done(self) -> Tensor:
        return self.terminated | self.truncated

    def map(self, fn: Callable[[Tensor], Tensor]) -> "Transition":
        """``fn`` of every tensor."""

        def each(x: Tensor | dict[str, Tensor]) -> Any:
            return {k: fn(v) for k, v in x.items()} if isinstance(x, dict) else fn(x)

        return Transition(**{f.name: each(getattr(self, f.name)) for f in fields(self)})

    def __getitem__(self, index: Any) -> "Transition":
        return self.map(lambda x: x[index])

    def __len__(self) -> int:
        return len(self.reward)

    def flatten(self) -> "Transition":
        """``[T, B, ...] -> [T * B, ...]``."""
        return self.map(lambda x: x.flatten(0, 1))

    @classmethod
    def stack(cls, steps: list["Transition"]) -> "Transition":
        """T steps ``[B, ...]`` to one rollout ``[T, B, ...]``."""

        def join(xs: list) -> Any:
            return {k: torch.stack([x[k] for x in xs]) for k in xs[0]} if isinstance(xs[0], dict) else torch.stack(xs)

        return cls(**{f.name: join([getattr(s, f.name) for s in steps]) for f in fields(cls)})


class Agent:
    """Anything that acts on a batch of observations and learns from rollouts.

    Agents sample from torch's global generator: ``torch.manual_seed`` decides what they explore.
    """

    checkpointed: tuple[str, ...] = ()  # attributes with state_dict / load_state_dict: all that training changes

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        """Actions ``[B, ...]``, and whatever ``update`` will want to know about them."""
        raise NotImplementedError

    def update(self, rollout: Transition) -> Metrics:
        """Learn from a rollout ``[T, B, ...]``; an off-policy agent remembers it first."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in self.checkpointed}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        for name in self.checkpointed:
            getattr(self, name).load_state_dict(saved[name])


def rollouts(
    env: VectorEnv, agent: Agent, steps: int, seed: int | None = None, start: Obs | None = None
) -> Iterator[Transition]:
    """Step ``env`` with ``agent`` for ever, yielding ``[steps, num_envs]`` at a time: the only loop that trains.

    ``env`` speaks tensors and resets within the step (``envs.tensors.as_tensors``). ``start`` is the observation to
    go on from; without it the environment is reset with ``seed``.
    """
    obs = env.reset(seed=seed)[0] if start is None else start
    while True:
        path = []
        for _ in range(steps):
            action, extras = agent.act(obs)
            next_obs, reward, terminated, truncated, info = env.step(action)
            path.append(Transition(obs, action, reward, info.get("final_obs", next_obs), terminated, truncated, extras))
            obs = next_obs
        yield Transition.stack(path)


def evaluate(env: VectorEnv, agent: Agent, seed: int = 0, probe: Callable[[int], None] | None = None) -> Tensor:
    """The return ``[num_envs]`` of exactly one episode a lane, its first, so short episodes count no more than long.

    ``probe(step)`` is called before the first step (0) and after every one: a place to measure what goes on.
    """
    obs, _ = env.reset(seed=seed)
    pending = torch.ones(env.num_envs, dtype=torch.bool)
    score, step = torch.zeros(env.num_envs), 0
    while pending.any():
        if probe is not None:
            probe(step)
        action, _ = agent.act(obs, explore=False)
        obs, reward, terminated, truncated, _ = env.step(action)
        score += reward.cpu() * pending
        pending &= ~(terminated | truncated).cpu()
        step += 1
    if probe is not None:
        probe(step)
    return score
