"""Fixed episodes, the same for every agent, and what was measured in them."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..agents.rollout import Agent, evaluate
from ..envs.core import Task, take
from ..envs.vector import TorchVectorEnv
from .statistics import Interval, bootstrap

CHUNK = 128  # episodes played at once


class Witness:
    """Sees every step of ``evaluate`` and keeps each lane's first episode, as it stood at round numbers of units.

    ``at`` is {step: {name: [B, ...]}}, and ``last`` the same at the episode's end; a lane that has ended stays as it
    ended. ``picture`` ``[B, H, W, 3]`` is among the names where ``filmed``.
    """

    def __init__(self, env: TorchVectorEnv, filmed: bool = False):
        self.env, self.filmed = env, filmed
        self.pending = torch.ones(env.num_envs, dtype=torch.bool)
        self.last: dict[str, Tensor] = {}
        self.at: dict[int, dict[str, Tensor]] = {}

    def __call__(self, step: int) -> None:
        task, ended = self.env.task, torch.from_numpy(self.env.ended) & self.pending
        moment = is_round(step * task.units_per_step) or step == task.horizon or (step == 0 and self.filmed)
        due = moment and (task.curves or self.filmed)
        lanes = (self.pending if due else ended).nonzero()[:, 0]
        if len(lanes):
            state = take(self.env.state, lanes.to(task.device))
            seen = task.metrics(state)
            if self.filmed:
                seen |= {"picture": task.render(state)}
            self.last = {name: self._kept(name, lanes, value.cpu()) for name, value in seen.items()}
        if due:
            self.at[step] = self.last
        self.pending = self.pending & ~ended

    def _kept(self, name: str, lanes: Tensor, value: Tensor) -> Tensor:
        """What is known of all lanes ``[B, ...]``, with the ``value`` ``[M, ...]`` of ``lanes`` ``[M]``."""
        known = self.last.get(name)
        if known is None:
            known = value.new_zeros(len(self.pending), *value.shape[1:])
        return known.index_copy(0, lanes, value)


def play(task: Task, agent: Agent, episodes: int, seed: int = 0) -> dict[str, Tensor]:
    """Every metric of ``episodes`` ``[episodes]``, played without exploring; episode i starts from ``seed + i``.

    ``return``; the task's metrics at the end, by their names; and, of a task with ``curves``, on the way as
    ``NAME/UNIT_K``, for every K of 1, 2, 5, 10, 20 ... units that a whole number of steps spends, and for the end where
    the task's horizon sets it.
    Leaves torch's global generators as they were.
    """
    parts = []
    for start in range(0, episodes, CHUNK):
        env = episodes_of(task, min(CHUNK, episodes - start))
        witness = Witness(env)
        score = watch(env, agent, seed + start, witness)
        parts.append((score, witness))
    moments = sorted({step for _, witness in parts for step in witness.at})
    measured = {"return": [score for score, _ in parts]}
    for name in parts[0][1].last:
        measured[name] = [witness.last[name] for _, witness in parts]
        for step in moments:
            label = f"{name}/{task.unit}_{step * task.units_per_step}"
            measured[label] = [witness.at.get(step, witness.last)[name] for _, witness in parts]
    return {name: torch.cat(values) for name, values in measured.items()}


def film(task: Task, agent: Agent, episodes: int, seed: int = 0) -> Tensor:
    """Pictures ``[episodes, moments, H, W, 3]`` uint8 of the episodes that ``play`` plays."""
    env = episodes_of(task, episodes)
    witness = Witness(env, filmed=True)
    watch(env, agent, seed, witness)
    return torch.stack([seen["picture"] for _, seen in sorted(witness.at.items())], 1)


class Watched(TorchVectorEnv):
    """Whose ended episodes a ``Witness`` measures, and the step does not once more."""

    def metrics(self, terminated: np.ndarray) -> dict[str, Tensor]:
        return {}


def episodes_of(task: Task, count: int) -> Watched:
    """Resets on the step after an episode's end, so that its last state is there to see."""
    return Watched(task, count, autoreset_mode="NextStep", tensors="torch")


def watch(env: TorchVectorEnv, agent: Agent, seed: int, witness: Witness) -> Tensor:
    devices = [env.task.device] if env.task.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        return evaluate(env, agent, seed, witness)


def summary(measured: Mapping[str, Tensor]) -> dict[str, Interval]:
    """The mean of every metric and its bootstrap interval over the episodes of which it says something (not NaN)."""
    told = {name: values[~values.isnan()].double().numpy() for name, values in measured.items()}
    return {name: bootstrap(values) for name, values in told.items() if len(values)}


def is_round(units: int) -> bool:
    """Whether ``units`` is one of 1, 2, 5, 10, 20, 50, 100 ..."""
    return str(units).rstrip("0") in ("1", "2", "5")
