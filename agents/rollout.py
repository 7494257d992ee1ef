"""The whole contract between agents and environments: a transition, an agent, and the loops that join them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

Obs = dict[str, Tensor]
Metrics = dict[str, float]
TERM = "reward/"  # begins the names of the reward's terms in an environment's info


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
    terms: dict[str, Tensor] = field(default_factory=dict)  # of which the reward is the sum, where they are told

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

    def take(self, rows: Tensor) -> "Transition":
        """Those ``rows`` ``[N]`` of what ``flatten`` gives, without flattening what ``stack`` has not copied."""
        lane = rows % self.reward.shape[1]

        def pick(x: Tensor) -> Tensor:  # index_select moves rows whole, indexing number by number
            same = x.stride(0) == 0  # in all steps
            return x[0].index_select(0, lane) if same else x.flatten(0, 1).index_select(0, rows)

        return self.map(pick)

    @classmethod
    def stack(cls, steps: list["Transition"]) -> "Transition":
        """T steps ``[B, ...]`` to one rollout ``[T, B, ...]``; what is one tensor in all of them is not copied."""

        def join(xs: list) -> Any:
            if isinstance(xs[0], dict):
                return {k: join([x[k] for x in xs]) for k in xs[0]}
            return xs[0].expand(len(xs), *xs[0].shape) if all(x is xs[0] for x in xs) else torch.stack(xs)

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
    go on from; without it the environment is reset with ``seed``. Raises ValueError for a reward that is not finite.
    """
    obs = env.reset(seed=seed)[0] if start is None else start
    while True:
        path = []
        for _ in range(steps):
            action, extras = agent.act(obs)
            next_obs, reward, terminated, truncated, info = env.step(action)
            last, terms = info.get("final_obs", next_obs), reward_terms(info)
            path.append(Transition(obs, action, reward, last, terminated, truncated, extras, terms))
            obs = next_obs
        rollout = Transition.stack(path)
        require_finite(rollout)
        yield rollout


def reward_terms(info: Mapping[str, Any]) -> dict[str, Tensor]:
    """The reward's terms by name, ``[B]``: of lanes that go on and of lanes that ended, 0 where the other tells."""
    found: dict[str, Tensor] = {}
    for part in (info, info.get("final_info", {})):
        for name, value in part.items():
            if name.startswith(TERM) and isinstance(value, Tensor):
                name = name.removeprefix(TERM)
                found[name] = found[name] + value if name in found else value
    return found


def require_finite(rollout: Transition) -> None:
    """Raise ValueError for a reward that is not finite, which would leave no weight of an agent so."""
    wrong = (~rollout.reward.isfinite()).nonzero().tolist()
    if wrong:
        step, lane = wrong[0]
        terms = [name for name, value in rollout.terms.items() if not value[step, lane].isfinite()]
        raise ValueError(
            f"the reward of environment {lane} in step {step} of the rollout is {rollout.reward[step, lane].item()}"
            + f", by its term {' and '.join(terms)}" * bool(terms)
            + f" ({len(wrong)} of {rollout.reward.numel()} rewards are not finite): nothing can be learned from that"
        )


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
