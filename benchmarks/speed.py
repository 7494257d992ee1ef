"""How fast a task steps and an agent learns, how much memory that takes, and where the time goes."""

import gc
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from ..agents.rollout import Agent, rollouts
from ..envs.vector import TorchVectorEnv
from .plan import plan_run
from .players import Player, make_player
from .policies import Random
from .train import Training

Tell = Callable[[str], None]

RANDOM_STEPS = 10  # of an episode: uniform actions cost the same early and late, a painter's do not
REPEATS = 3
STATUS = Path("/proc/self/status")  # Linux's
FORGET = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class StepSpeed:
    """What stepping ``num_envs`` environments takes; medians over repeats."""

    num_envs: int
    steps_per_second: float  # of environments
    units_per_second: float  # strokes, turns ..., as the task counts
    model_share: float  # of a step's time, spent inside the task's model; the rest is our own
    reset_seconds: float  # to begin every episode anew
    peak_bytes: int  # of the process's memory, or on an accelerator of its
    sync_steps_per_second: float  # of Gymnasium's SyncVectorEnv over as many single environments
    gain: float  # over that


@dataclass(frozen=True)
class UpdateSpeed:
    """What one ``Agent.update`` takes; the median over repeats."""

    num_envs: int
    rollout: int  # steps of each environment
    seconds: float
    peak_bytes: int  # rollout and update together


@dataclass(frozen=True)
class StepReport:
    """Stepping, by batch size."""

    task: str
    agent: str
    device: str
    unit: str
    batches: list[StepSpeed]


@dataclass(frozen=True)
class UpdateReport:
    """Learning."""

    task: str
    agent: str
    device: str
    update: UpdateSpeed


class Meter:
    """Adds up the seconds of what runs under it, the device's work included."""

    def __init__(self, device: torch.device):
        self.device, self.seconds = device, 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._wait()
        begun = time.perf_counter()
        yield
        self._wait()
        self.seconds += time.perf_counter() - begun

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measure_steps(
    task: str, agent: str, settings: Sequence[str], batches: Sequence[int], device: str, tell: Tell
) -> StepReport:
    """``task`` stepped in each of the ``batches`` sizes, as ``agent`` (see ``make_player``) acts; ``tell`` hears which.

    Raises ValueError as ``make_player`` does, and for a size below one.
    """
    if min(batches) < 1:
        raise ValueError(f"batch sizes must be at least 1, got {min(batches)}")
    player, speeds = make_player(task, agent, settings, device), []
    for size in batches:
        tell(f"stepping {size} environments")
        speeds.append(step_speed(player, size))
    return StepReport(task, agent, str(player.task.device), player.task.unit, speeds)


def measure_update(task: str, agent: str, settings: Sequence[str], tell: Tell) -> UpdateReport:
    """An update of a fresh agent, as ``retouch train`` with these settings would make it. Raises ValueError."""
    plan = plan_run(task, agent, settings)
    training = Training.begin(plan)
    tell(f"updating {agent}")
    return UpdateReport(task, agent, plan.run.device, update_speed(training, plan.run.rollout))


def step_speed(player: Player, num_envs: int) -> StepSpeed:
    """Step ``num_envs`` environments as one batch and, for comparison, one after the other, as the player acts.

    Only ``env.step`` is timed, within episodes: neither the actions nor the resets are.
    """
    task, agent = player.task, player.agent
    steps = max(1, (task.horizon or RANDOM_STEPS) - 1)  # the last one begins the next episode
    if isinstance(agent, Random):
        steps = min(steps, RANDOM_STEPS)
    batch = TorchVectorEnv(task, num_envs, autoreset_mode="SameStep", tensors="torch")
    actions = script(batch, agent, steps)
    forget_peak(task.device)
    native = repeated(lambda: episode(batch, actions, task.device))
    peak = peak_bytes(task.device)
    sync = gym.make_vec(player.name, num_envs, vectorization_mode="sync", **player.env, device=str(task.device))
    single = repeated(lambda: episode(sync, actions, task.device))
    rate, sync_rate = (num_envs * steps / median(step for step, _ in seconds) for seconds in (native, single))
    return StepSpeed(
        num_envs=num_envs,
        steps_per_second=rate,
        units_per_second=rate * task.units_per_step,
        model_share=model_share(batch, actions),
        reset_seconds=median(reset for _, reset in native),
        peak_bytes=peak,
        sync_steps_per_second=sync_rate,
        gain=rate / sync_rate,
    )


def update_speed(training: Training, rollout: int) -> UpdateSpeed:
    """The updates that ``training`` makes of rollouts of ``rollout`` steps."""
    env, agent = training.env, training.agent
    forget_peak(env.task.device)
    paths = islice(rollouts(env, agent, rollout, start=env.observe()), 1 + REPEATS)
    seconds = [timed(partial(agent.update, path), env.task.device) for path in paths]
    return UpdateSpeed(env.num_envs, rollout, median(seconds[1:]), peak_bytes(env.task.device))


def repeated(measure: Callable[[], tuple[float, float]]) -> list[tuple[float, float]]:
    """Several measurements, after one that warms up."""
    return [measure() for _ in range(1 + REPEATS)][1:]


def script(env: TorchVectorEnv, agent: Agent, steps: int) -> list[Tensor]:
    """What ``agent`` does in the first ``steps`` steps, to be done again: deciding it is no part of a measurement."""
    obs, _ = env.reset(seed=0)
    actions = []
    for _ in range(steps):
        actions.append(agent.act(obs, explore=False)[0])
        obs, *_ = env.step(actions[-1])
    return actions


def episode(env: VectorEnv, actions: list[Tensor], device: torch.device) -> tuple[float, float]:
    """Seconds in ``env.step`` and in ``env.reset``; the same episodes at every call."""
    stepping, resetting = Meter(device), Meter(device)
    with resetting():
        env.reset(seed=0)
    follow(env, actions, stepping)
    return stepping.seconds, resetting.seconds


def follow(env: VectorEnv, actions: list[Tensor], stepping: Meter) -> None:
    """Take ``actions``, metering ``env.step``; Gymnasium's own environments take arrays."""
    for action in actions:
        sent = action if isinstance(env, TorchVectorEnv) else action.cpu().numpy()
        with stepping():
            env.step(sent)


def model_share(env: TorchVectorEnv, actions: list[Tensor]) -> float:
    """The share of the stepping time that passes inside the task's ``model_calls``."""
    inside, stepping = Meter(env.task.device), Meter(env.task.device)
    env.reset(seed=0)
    with metered(env.task.model_calls, inside):
        follow(env, actions, stepping)
    return inside.seconds / stepping.seconds


@contextmanager
def metered(calls: tuple[tuple[object, str], ...], meter: Meter) -> Iterator[None]:
    """Have ``meter`` run whenever one of ``calls`` (owner, method) does."""

    def under(method: Callable) -> Callable:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with meter():
                return method(*args, **kwargs)

        return timed

    for owner, name in calls:
        setattr(owner, name, under(getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name in calls:
            delattr(owner, name)  # the class's own shows again


def timed(work: Callable[[], object], device: torch.device) -> float:
    meter = Meter(device)
    with meter():
        work()
    return meter.seconds


def forget_peak(device: torch.device) -> None:
    """Have ``peak_bytes`` count from now on; off Linux the process's peak is that of its whole life."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif FORGET.exists():
        FORGET.write_text("5")


def peak_bytes(device: torch.device) -> int:
    """The most memory held since ``forget_peak``."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
