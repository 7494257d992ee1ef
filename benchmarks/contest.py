"""Our PPO beside Stable-Baselines3's: the same task, networks, batch, epochs and minibatches, in turn."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Protocol

import torch
from gymnasium.spaces import Dict
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor

from ..agents.policies.standard import Convolutions, is_image
from ..agents.rollout import Agent, evaluate, rollouts
from ..envs.sb3 import SB3VecEnv
from ..envs.single import SingleEnv
from ..envs.vector import TorchVectorEnv
from .meter import Meter, metered
from .plan import Plan, plan_run
from .recipes import make_task, unseen
from .sb3_agents import Theirs
from .speed import SECONDS
from .statistics import Interval, bootstrap, difference
from .train import Training

SETTINGS = {  # of tasks whose usual actions Stable-Baselines3 cannot choose
    "ImageEdit-v0": ("env.control=guidance",),
    "ImageRetrieval-v0": ("env.control=point", 'env.show=["features", "bag", "turn"]'),
}
MINIBATCH = 256
LEAST, MOST = 2, 20  # turns of a side, the first of which warms up
EPISODES, EVALUATION_SEED = 16, 10_000


@dataclass(frozen=True)
class SideSpeed:
    """One side's; medians over turns."""

    steps_per_second: float  # of environments, collecting and learning
    collect_seconds: float  # of a rollout
    update_seconds: float
    score: Interval | None  # the return of held-out episodes after it; None: not measured


@dataclass(frozen=True)
class Contest:
    """What came of it, at equal steps; ``gain`` and ``score_gain`` over the fastest of theirs."""

    num_envs: int
    rollout: int
    minibatch: int
    epochs: int
    steps: int  # that each side has learned from
    ours: SideSpeed
    theirs: SideSpeed  # on our batch
    singles: SideSpeed  # theirs, on a DummyVecEnv of single environments, as is usual
    gain: float
    score_gain: Interval


class Side(Protocol):
    agent: Agent

    def turn(self) -> tuple[float, float]:
        """Collects one rollout and learns from it; the seconds of each."""
        ...


class Ours:
    def __init__(self, plan: Plan):
        training = Training.begin(plan)
        self.agent, self.device = training.agent, training.env.task.device
        self.rollouts = rollouts(training.env, self.agent, plan.run.rollout, start=training.env.observe())

    def turn(self) -> tuple[float, float]:
        collecting, learning = Meter(self.device), Meter(self.device)
        with collecting():
            rollout = next(self.rollouts)
        with learning():
            self.agent.update(rollout)
        return collecting.seconds, learning.seconds


class Sb3:
    def __init__(self, plan: Plan, env: VecEnv):
        config, widths = plan.learner, list(plan.policy.widths)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You have specified a mini-batch size", UserWarning)
            self.model = PPO(
                "MultiInputPolicy", env, learning_rate=config.lr, n_steps=plan.run.rollout,
                batch_size=config.minibatch, n_epochs=config.epochs, gamma=config.gamma, gae_lambda=config.lam,
                clip_range=config.clip, ent_coef=config.entropy_coef, vf_coef=config.value_coef,
                max_grad_norm=config.max_grad_norm, seed=plan.run.seed, device=plan.run.device,
                policy_kwargs={"features_extractor_class": Features, "net_arch": {"pi": widths, "vf": widths}},
            )  # fmt: skip
        self.model.set_logger(Logger(None, []))  # else it leaves an empty folder among the temporary files
        self.agent: Agent = Theirs(self.model)
        self.steps = plan.run.rollout * plan.run.num_envs

    def turn(self) -> tuple[float, float]:
        learning, all_of_it = Meter(self.model.device), Meter(self.model.device)
        with all_of_it(), metered(((self.model, "train"),), learning):
            self.model.learn(self.steps, reset_num_timesteps=False)
        return all_of_it.seconds - learning.seconds, learning.seconds


class Features(BaseFeaturesExtractor):
    """Pictures by the convolutions of our standard networks; what Stable-Baselines3 has made of the rest as it is."""

    def __init__(self, observation_space: Dict):
        self.images = [key for key, space in observation_space.items() if is_image(space)]
        self.rest = [key for key in observation_space if key not in self.images]
        width = sum(get_flattened_obs_dim(observation_space[key]) for key in self.rest)
        shapes = [tuple(observation_space[key].shape or ()) for key in self.images]
        convolutions = Convolutions(shapes) if shapes else None
        super().__init__(observation_space, width + (convolutions.features if convolutions else 0))
        self.convolutions = convolutions

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        parts = [obs[key].float().flatten(1) for key in self.rest]
        if self.convolutions is not None:
            parts.append(self.convolutions(torch.cat([obs[key] for key in self.images], 1)))
        return torch.cat(parts, 1)


def contest(
    task: str, num_envs: int, seconds: float = SECONDS, device: str = "auto", settings: Sequence[str] = ()
) -> Contest:
    """Every side takes its turn until ``seconds`` are over, those on our batch twice at least; then these are measured
    on the same episodes. ``settings`` are of our run; the environments, which are the same for all, follow them too.

    Raises ValueError where PPO cannot play ``task``, or has no such settings.
    """
    plan = contest_plan(task, num_envs, device, settings)
    native = make_task(task, plan.env, plan.run.device)
    makers: list[Callable[[], Any]] = [partial(SingleEnv, native)] * num_envs
    sides: dict[str, Side] = {
        "ours": Ours(plan),
        "theirs": Sb3(plan, SB3VecEnv(TorchVectorEnv(native, num_envs, autoreset_mode="SameStep"))),
        "singles": Sb3(plan, DummyVecEnv(makers)),
    }
    turns = take_turns(sides, seconds)
    returns = {name: held_out_returns(plan, sides[name].agent) for name in ("ours", "theirs")}
    speeds = {name: side_speed(taken, plan, returns.get(name)) for name, taken in turns.items()}
    steps = plan.run.rollout * num_envs
    return Contest(
        num_envs=num_envs,
        rollout=plan.run.rollout,
        minibatch=plan.learner.minibatch,
        epochs=plan.learner.epochs,
        steps=steps * len(turns["ours"]),
        **speeds,
        gain=speeds["ours"].steps_per_second / max(speeds[name].steps_per_second for name in ("theirs", "singles")),
        score_gain=difference([returns["theirs"]], [returns["ours"]]),
    )


def contest_plan(task: str, num_envs: int, device: str, settings: Sequence[str] = ()) -> Plan:
    """Our PPO as it usually trains on ``task``, but by standard networks and with minibatches that others have too."""
    usual = [*SETTINGS.get(task, ()), "policy.network=standard", "agent.advantage=generalized"]
    equal = [f"agent.minibatch={MINIBATCH}", f"num_envs={num_envs}", f"device={device}"]
    return plan_run(task, "ppo", [*usual, *equal, *settings])


def take_turns(sides: dict[str, Side], seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Of every side the seconds of collecting and of learning, turn by turn; one that is slow takes a single one."""
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    begun = time.perf_counter()
    for number in range(MOST):
        late = time.perf_counter() - begun > seconds
        if late and number >= LEAST:
            break
        for name, side in sides.items():
            if name != "singles" or not late or number == 0:
                turns[name].append(side.turn())
    return turns


def held_out_returns(plan: Plan, agent: Agent) -> list[float]:
    task = make_task(plan.task, unseen(plan.env), plan.run.device)
    env = TorchVectorEnv(task, EPISODES, autoreset_mode="SameStep", tensors="torch")
    return evaluate(env, agent, EVALUATION_SEED).tolist()


def side_speed(turns: list[tuple[float, float]], plan: Plan, returns: list[float] | None) -> SideSpeed:
    warm = turns[1:] or turns
    collecting, learning = (median(part) for part in zip(*warm, strict=True))
    steps = plan.run.rollout * plan.run.num_envs
    rate = median(steps / sum(turn) for turn in warm)
    return SideSpeed(rate, collecting, learning, None if returns is None else bootstrap(returns))
