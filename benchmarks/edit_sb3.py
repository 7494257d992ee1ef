"""Stable-Baselines3's PPO on ImageEdit, as anyone would play it: through plain Gymnasium environments.

    python -m retouch.benchmarks.edit_sb3 --control guidance --seeds 3 --out runs/edit-sb3

It learns how strongly each step should listen (``guidance``), or what to add to each step's noise (``noise``), and is
measured on held-out problems beside the editor as it is: the action 0 of ``guidance``, plain noise of ``noise``.
"""

import argparse
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from torch import Tensor

from ..agents.rollout import Agent, Obs
from ..envs.core import Task
from ..envs.sb3 import SB3VecEnv, SmallImages
from .checkpoint import write_text
from .denoisers import Reference
from .evaluate import play
from .players import make_player
from .statistics import Interval, difference

TASK = "ImageEdit-v0"
LANES, EPISODES, FIRST = 32, 512, 10_000  # environments side by side; held-out episodes, from this seed on
SHOWN = ("success", "done", "kept", "l1")


class Theirs(Agent):
    """A policy of Stable-Baselines3's at our evaluation."""

    def __init__(self, model: PPO):
        self.model = model

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        action, _ = self.model.predict({key: value.cpu().numpy() for key, value in obs.items()}, deterministic=True)
        return torch.from_numpy(action).to(obs["latent"].device), {}


def learned(control: str, model: str, seed: int, steps: int, out: Path) -> PPO:
    """PPO after ``steps`` steps of all environments together; from ``out`` if it was trained before."""
    kept = out / f"{control}-seed{seed}.zip"
    if kept.is_file():
        return PPO.load(kept)
    made = gym.make_vec(
        f"retouch:{TASK}", num_envs=LANES, autoreset_mode="SameStep",
        model=model, control=control, reward="exact", edits="embedded:16384",
    )  # fmt: skip
    agent = PPO(
        "MultiInputPolicy", SB3VecEnv(made), n_steps=20, batch_size=160, n_epochs=5, gamma=1.0, gae_lambda=0.95,
        learning_rate=1e-3, seed=seed, device="cpu",
        policy_kwargs={"features_extractor_class": SmallImages, "log_std_init": -1.0},
    )  # fmt: skip
    agent.learn(steps, progress_bar=False)
    out.mkdir(parents=True, exist_ok=True)
    agent.save(kept)
    return agent


def scores(task: Task, agent: Agent) -> dict[str, list[float]]:
    """Of every held-out episode."""
    return {name: values.tolist() for name, values in play(task, agent, EPISODES, seed=FIRST).items() if name in SHOWN}


def compare(control: str, model: str, seeds: int, steps: int, out: Path) -> dict[str, dict[str, Interval]]:
    """What SB3's PPO gains over the editor as it is, and both."""
    player = make_player(TASK, "reference", [f"env.control={control}", f"env.model={model}"])
    before = scores(player.task, Reference(player.task))
    after = []
    for seed in range(seeds):
        after.append(scores(player.task, Theirs(learned(control, model, seed, steps, out))))
        rates = [f"{np.mean(one['success']):.3f}" for one in (before, after[-1])]
        print(f"{control}, seed {seed}: success {' -> '.join(rates)}", flush=True)
    table = {}
    for name in SHOWN:
        sides = np.array([before[name]]), np.array([one[name] for one in after])
        gain = difference(*sides)
        table[name] = {"before": sides[0].mean(), "after": sides[1].mean(), "gain": [gain.mean, gain.low, gain.high]}
    write_text(out / f"{control}.json", json.dumps(table, indent=2) + "\n")
    return table


def shown(control: str, table: dict) -> Table:
    told = Table("metric", "editor as it is", "SB3's PPO", "gain [95 % interval]", title=f"control={control}")
    for name, row in table.items():
        middle, low, high = row["gain"]
        told.add_row(name, f"{row['before']:.4f}", f"{row['after']:.4f}", f"{middle:+.4f} [{low:+.4f}, {high:+.4f}]")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", choices=("guidance", "noise"), default="guidance")
    parser.add_argument("--model", default="half-trained")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20_480)
    parser.add_argument("--out", type=Path, default=Path("runs/edit-sb3"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = compare(given.control, given.model, given.seeds, given.steps, given.out)
    Console(width=100).print(shown(given.control, table))


if __name__ == "__main__":
    main()
