"""Our agents beside their Stable-Baselines3 counterparts, at equal settings, network sizes and steps.

    python -m retouch.benchmarks.compare_sb3 --seeds 5 --out runs/compare_sb3.json

Each side trains in its own usual way: ours on a batch of tensors, theirs on a DummyVecEnv. Both are then judged by
the same deterministic evaluation on the same 20 episodes. Runs that the file already holds are not run again.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import stable_baselines3 as sb3
import torch
import typer
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from rich.console import Console
from rich.progress import track
from rich.table import Table
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor

from ..agents.ddpg import DDPG, DDPGConfig
from ..agents.policies.standard import StandardActor, StandardCritic, StandardPolicy
from ..agents.ppo import PPO, PPOConfig
from ..agents.rollout import Agent, Obs, evaluate, rollouts
from ..envs.single import SingleEnv
from ..envs.tensors import as_tensors
from ..envs.vector import TorchVectorEnv
from .checkpoint import write_text
from .probes import choose_by_sign, choose_high
from .statistics import bootstrap, difference

PENDULUM = "Pendulum-v1"
UNIT = Box(0.0, 1.0, (1,))
PROBES = {
    "choose high": partial(choose_high, action_space=UNIT),
    "choose by sign": partial(choose_by_sign, action_space=UNIT),
    "choose by sign, discrete": partial(choose_by_sign, action_space=Discrete(2)),
}
EPISODES, EVALUATION_SEED = 20, 10_000
PPO_WIDTHS, DDPG_WIDTHS = (64, 64), (400, 300)


@dataclass(frozen=True)
class Contest:
    task: str
    algorithm: str  # "PPO" or "DDPG"
    steps: int  # of one environment, all lanes together
    lanes: int
    rollout: int  # steps of each lane before an update
    gamma: float
    minibatch: int
    lr: float = 1e-3
    warmup: int = 0  # DDPG: steps of random actions
    tolerance: float = 0.01  # a difference in return that is none: of squashed actions that all but reach the border

    @property
    def updates(self) -> int:
        return max(1, self.steps // (self.lanes * self.rollout))


CONTESTS = [
    *(Contest(probe, "PPO", 8_192, 32, 8, gamma=0.9, minibatch=64) for probe in PROBES),
    *(Contest(probe, "DDPG", 4_096, 8, 1, gamma=0.9, minibatch=64, warmup=256) for probe in list(PROBES)[:2]),
    Contest(PENDULUM, "PPO", 102_400, 16, 64, gamma=0.9, minibatch=64, tolerance=0.0),
    Contest(PENDULUM, "DDPG", 8_000, 1, 1, gamma=0.98, minibatch=64, warmup=1_000, tolerance=0.0),
]


def ours(contest: Contest, seed: int) -> tuple[Agent, Callable[[], Any]]:
    """A new agent, and what trains it."""
    torch.manual_seed(seed)
    env = tensor_env(contest.task, contest.lanes)
    agent = {"PPO": our_ppo, "DDPG": our_ddpg}[contest.algorithm](contest, env)

    def learn() -> None:
        for rollout in islice(rollouts(env, agent, contest.rollout, seed=seed), contest.updates):
            agent.update(rollout)

    return agent, learn


def our_ppo(contest: Contest, env: Any) -> Agent:
    config = PPOConfig(lr=contest.lr, gamma=contest.gamma, minibatch=contest.minibatch, epochs=10)
    return PPO(StandardPolicy(env.single_observation_space, env.single_action_space, PPO_WIDTHS), config)


def our_ddpg(contest: Contest, env: Any) -> Agent:
    observed, action = env.single_observation_space, env.single_action_space
    config = DDPGConfig(
        actor_lr=contest.lr, critic_lr=contest.lr, gamma=contest.gamma, tau=0.005, noise=0.05, warmup=contest.warmup,
        batch=contest.minibatch, updates=1, microbatch=0, capacity=contest.steps, static=(),
    )  # fmt: skip
    actor, critic = StandardActor(observed, action, DDPG_WIDTHS), StandardCritic(observed, action, DDPG_WIDTHS)
    return DDPG(actor, critic, config, action_space=action)


def theirs(contest: Contest, seed: int) -> tuple[Agent, Callable[[], Any]]:
    """The same of Stable-Baselines3."""
    env = DummyVecEnv([partial(single_env, contest.task)] * contest.lanes)
    model = {"PPO": their_ppo, "DDPG": their_ddpg}[contest.algorithm](contest, env, seed)
    model.set_logger(Logger(None, []))  # else it leaves an empty folder among the temporary files
    return Theirs(model), partial(model.learn, contest.updates * contest.rollout * contest.lanes)


def their_ppo(contest: Contest, env: DummyVecEnv, seed: int) -> sb3.PPO:
    return sb3.PPO(
        policy_name(env), env, learning_rate=contest.lr, n_steps=contest.rollout, batch_size=contest.minibatch,
        n_epochs=10, gamma=contest.gamma, policy_kwargs={"net_arch": list(PPO_WIDTHS)}, seed=seed, device="cpu",
    )  # fmt: skip


def their_ddpg(contest: Contest, env: Any, seed: int) -> sb3.DDPG:
    size = env.action_space.shape[0]
    noise = NormalActionNoise(np.zeros(size), np.full(size, 0.1))  # of half the box's width
    return sb3.DDPG(
        policy_name(env), env, learning_rate=contest.lr, buffer_size=contest.steps, learning_starts=contest.warmup,
        batch_size=contest.minibatch, tau=0.005, gamma=contest.gamma, train_freq=1, gradient_steps=1,
        action_noise=noise, policy_kwargs={"net_arch": list(DDPG_WIDTHS)}, seed=seed, device="cpu",
    )  # fmt: skip


def policy_name(env: DummyVecEnv) -> str:
    return "MultiInputPolicy" if isinstance(env.observation_space, gym.spaces.Dict) else "MlpPolicy"


class Theirs(Agent):
    """A Stable-Baselines3 model that plays as one of our agents."""

    def __init__(self, model: Any):
        self.model = model
        self.named = isinstance(model.observation_space, gym.spaces.Dict)

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        arrays = {key: value.numpy() for key, value in obs.items()}
        action, _ = self.model.predict(arrays if self.named else arrays["obs"], deterministic=not explore)
        return torch.as_tensor(action), {}


SIDES = {"ours": ours, "SB3": theirs}


def single_env(task: str) -> gym.Env:
    return SingleEnv(PROBES[task]()) if task in PROBES else gym.make(task)


def tensor_env(task: str, lanes: int) -> VectorEnv:
    if task in PROBES:
        return TorchVectorEnv(PROBES[task](), lanes, autoreset_mode=AutoresetMode.SAME_STEP, tensors="torch")
    kwargs = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return as_tensors(gym.make_vec(task, lanes, vectorization_mode="sync", vector_kwargs=kwargs))


def run(contest: Contest, side: str, seed: int) -> dict[str, Any]:
    agent, learn = SIDES[side](contest, seed)
    wall, processor = time.perf_counter(), time.process_time()
    learn()
    times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - processor}
    returns = evaluate(tensor_env(contest.task, EPISODES), agent, EVALUATION_SEED)
    return run_key(contest, side, seed) | times | {"returns": returns.tolist()}


def run_key(contest: Contest, side: str, seed: int) -> dict[str, Any]:
    """What tells one run from another."""
    steps = contest.updates * contest.rollout * contest.lanes
    return {"task": contest.task, "algorithm": contest.algorithm, "steps": steps, "side": side, "seed": seed}


def missing(contests: list[Contest], seeds: int, done: list[dict[str, Any]]) -> list[Callable[[], dict[str, Any]]]:
    """The runs still to do: seed by seed and side by side, so that a busy machine slows both alike."""
    return [
        partial(run, contest, side, seed)
        for seed in range(seeds) for contest in contests for side in SIDES
        if not any(run_key(contest, side, seed).items() <= one.items() for one in done)
    ]  # fmt: skip


def summary(contests: list[Contest], seeds: int, done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per contest: the mean return of each side, how far apart they are, and how fast, with 95 % intervals."""
    rows = []
    for contest in contests:
        row: dict[str, Any] = {"task": contest.task, "algorithm": contest.algorithm}
        returns = {}
        for side in SIDES:
            runs = [one for seed in range(seeds) for one in done if run_key(contest, side, seed).items() <= one.items()]
            returns[side] = [one["returns"] for one in runs]
            times = {name: float(np.mean([one[name] for one in runs])) for name in ("seconds", "cpu_seconds")}
            row["steps"] = runs[0]["steps"]
            row[side] = vars(bootstrap(np.mean(returns[side], 1))) | times
            row[side]["steps_per_second"] = row["steps"] / times["seconds"]
        row["gain"] = vars(difference(returns["SB3"], returns["ours"]))
        row["no_worse"] = row["gain"]["high"] >= -contest.tolerance
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> Table:
    out = Table("task", "agent", "steps", "side", "return [95 %]", "wall s", "CPU s", "steps/s", "no worse")
    for row in rows:
        for side in SIDES:
            one, first = row[side], side == "ours"
            out.add_row(
                *((row["task"], row["algorithm"], f"{row['steps']:,}") if first else ("", "", "")),
                side,
                f"{one['mean']:.4g} [{one['low']:.4g}, {one['high']:.4g}]",
                f"{one['seconds']:.1f}",
                f"{one['cpu_seconds']:.1f}",
                f"{one['steps_per_second']:,.0f}",
                ("yes" if row["no_worse"] else "NO") if first else "",
                end_section=not first,
            )
    return out


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each side and contest.")] = 5,
    out: Annotated[Path, typer.Option(help="Where the runs are kept; they are not run twice.")] = Path(
        "runs/compare_sb3.json"
    ),
    share: Annotated[float, typer.Option(min=1e-3, max=1.0, help="Of the steps, for a quick look.")] = 1.0,
) -> None:
    """Compare PPO and DDPG with Stable-Baselines3's, on the probes and on Pendulum-v1."""
    contests = [
        Contest(**vars(one) | {"steps": int(one.steps * share), "warmup": int(one.warmup * share)}) for one in CONTESTS
    ]
    done = json.loads(out.read_text())["runs"] if out.exists() else []
    out.parent.mkdir(parents=True, exist_ok=True)
    for todo in track(missing(contests, seeds, done), "training"):
        done.append(todo())
        write_text(out, json.dumps({"runs": done}, indent=1))
    rows = summary(contests, seeds, done)
    write_text(out, json.dumps({"summary": rows, "runs": done}, indent=1))
    Console().print(table(rows))
    Console().print(f"written to {out}")


if __name__ == "__main__":
    typer.run(main)
