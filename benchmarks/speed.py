"""How fast a task steps and an agent learns, how much memory that takes, and where the time goes."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from ..agents.rollout import Agent, rollouts
from ..envs.vector import TorchVectorEnv
from .baselines import gymnasiums
from .memory import forget_peak, peak_bytes
from .meter import Meter, metered, timed
from .plan import plan_run
from .players import Player, make_player
from .policies import Random
from .train import Training

Tell = Callable[[str], None]

RANDOM_STEPS = 10  # of an episode: uniform actions cost the same early and late, a painter's do not
REPEATS = 3
LEAST = 3  # steps of an episode: the first after a reset is the dearest
SECONDS = 20.0  # that a row may take; a round of everything that it compares is played to its end


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
    async_steps_per_second: float | None  # of its AsyncVectorEnv, a process an environment; None: not measured
    async_gain: float | None


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


def measure_steps(
    task: str,
    agent: str,
    settings: Sequence[str],
    batches: Sequence[int],
    device: str,
    tell: Tell,
    seconds: float = SECONDS,
) -> StepReport:
    """``task`` stepped in each of the ``batches`` sizes, as ``agent`` (see ``make_player``) acts; ``tell`` hears which.

    A size takes ``seconds``, or one round of its slowest side. Raises ValueError as ``make_player`` does, and for a
    size below one.
    """
    if min(batches) < 1:
        raise ValueError(f"batch sizes must be at least 1, got {min(batches)}")
    player, speeds = make_player(task, agent, settings, device), []
    for size in batches:
        tell(f"stepping {size} environments")
        speeds.append(step_speed(player, size, seconds))
    return StepReport(task, agent, str(player.task.device), player.task.unit, speeds)


def measure_update(
    task: str, agent: str, settings: Sequence[str], tell: Tell, seconds: float = SECONDS
) -> UpdateReport:
    """An update of a fresh agent, as ``retouch train`` with these settings would make it. Raises ValueError."""
    plan = plan_run(task, agent, settings)
    training = Training.begin(plan)
    tell(f"updating {agent}")
    return UpdateReport(task, agent, plan.run.device, update_speed(training, plan.run.rollout, seconds))


def step_speed(player: Player, num_envs: int, seconds: float = SECONDS) -> StepSpeed:
    """Step ``num_envs`` environments as one batch and, in turn with it, as Gymnasium steps single ones.

    Only ``env.step`` is timed, within episodes: neither the actions nor the resets are; and only the steps that all
    sides had the time for, since early ones may cost more than late ones. All sides share the one task, which spares
    Gymnasium's the memory, and its caches the change, of a task each.
    """
    task, agent = player.task, player.agent
    steps = max(1, (task.horizon or RANDOM_STEPS) - 1)  # the last one begins the next episode
    if isinstance(agent, Random):
        steps = min(steps, RANDOM_STEPS)
    batch = TorchVectorEnv(task, num_envs, autoreset_mode="SameStep", tensors="torch")
    share = seconds / (2 + REPEATS) / 3  # of an episode: one before, those repeated, one of them to warm up
    actions = script(batch, agent, steps, seconds)
    forget_peak(task.device)
    model = model_share(batch, actions, share)
    peak = peak_bytes(task.device)
    sides = {"native": batch, **gymnasiums(task, num_envs)}
    rounds: list[dict[str, Pace]] = []
    begun = time.perf_counter()
    while len(rounds) < 1 + REPEATS and (not rounds or time.perf_counter() - begun < seconds):
        rounds.append({name: episode(env, actions, task.device, share) for name, env in sides.items()})
    for name in sides.keys() - {"native"}:
        sides[name].close()
    rounds = rounds[1:] or rounds  # the first one warms up
    common = min(len(pace.steps) for one in rounds for pace in one.values())
    rate = {name: num_envs * common / median(sum(one[name].steps[:common]) for one in rounds) for name in sides}
    return StepSpeed(
        num_envs=num_envs,
        steps_per_second=rate["native"],
        units_per_second=rate["native"] * task.units_per_step,
        model_share=model,
        reset_seconds=median(one["native"].reset_seconds for one in rounds),
        peak_bytes=peak,
        sync_steps_per_second=rate["sync"],
        gain=rate["native"] / rate["sync"],
        async_steps_per_second=rate.get("async"),
        async_gain=rate["native"] / rate["async"] if "async" in rate else None,
    )


def update_speed(training: Training, rollout: int, seconds: float = SECONDS) -> UpdateSpeed:
    """The updates that ``training`` makes of rollouts of ``rollout`` steps, as many as ``seconds`` allow."""
    env, agent = training.env, training.agent
    forget_peak(env.task.device)
    paths, begun = rollouts(env, agent, rollout, start=env.observe()), time.perf_counter()
    times: list[float] = []
    while len(times) < 1 + REPEATS and (not times or time.perf_counter() - begun < seconds):
        times.append(timed(partial(agent.update, next(paths)), env.task.device))
    return UpdateSpeed(env.num_envs, rollout, median(times[1:] or times), peak_bytes(env.task.device))


def script(env: TorchVectorEnv, agent: Agent, steps: int, seconds: float) -> list[Tensor]:
    """What ``agent`` does in the first ``steps`` steps, as far as it gets: deciding it is no part of a measurement.

    The first LEAST take what they need, which may be the time to compile something.
    """
    obs, _ = env.reset(seed=0)
    actions: list[Tensor] = []
    begun = math.inf
    while len(actions) < steps and (len(actions) < LEAST or time.perf_counter() - begun < seconds):
        actions.append(agent.act(obs, explore=False)[0])
        obs, *_ = env.step(actions[-1])
        if len(actions) == LEAST:
            begun = time.perf_counter()
    return actions


@dataclass(frozen=True)
class Pace:
    """The seconds that one episode took."""

    steps: list[float]  # each of the vector environment's
    reset_seconds: float


def episode(env: VectorEnv, actions: list[Tensor], device: torch.device, seconds: float) -> Pace:
    """Of the first steps of the same episodes at every call, as far as ``seconds`` last."""
    stepping, resetting = Meter(device), Meter(device)
    with resetting():
        env.reset(seed=0)
    follow(env, actions, stepping, seconds)
    return Pace(stepping.laps, resetting.seconds)


def follow(env: VectorEnv, actions: list[Tensor], stepping: Meter, seconds: float) -> None:
    """Take ``actions``, LEAST of them at least, until ``seconds`` are over, metering ``env.step``."""
    for taken, action in enumerate(actions):
        if taken >= LEAST and stepping.seconds >= seconds:
            return
        sent = action if isinstance(env, TorchVectorEnv) else action.cpu().numpy()
        with stepping():
            env.step(sent)


def model_share(env: TorchVectorEnv, actions: list[Tensor], seconds: float) -> float:
    """The share of the stepping time that passes inside the task's ``model_calls``."""
    inside, stepping = Meter(env.task.device), Meter(env.task.device)
    env.reset(seed=0)
    with metered(env.task.model_calls, inside):
        follow(env, actions, stepping, seconds)
    return inside.seconds / stepping.seconds
