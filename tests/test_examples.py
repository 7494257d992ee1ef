"""The examples: each does what its first lines say, in seconds."""

import subprocess
import sys
from importlib import import_module
from itertools import islice
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env

from retouch.agents.rollout import evaluate, rollouts
from retouch.benchmarks.entrants import check, perform
from retouch.benchmarks.probes import choose_by_sign
from retouch.benchmarks.suites import Job
from retouch.envs.vector import TorchVectorEnv

pytestmark = pytest.mark.usefixtures("guests_leave")

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture
def example(monkeypatch):
    """The names that an example defines, imported as from the folder above."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: vars(import_module(f"examples.{name}"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_begins_with_what_it_shows_and_how_to_run_it(path):
    text = path.read_text()
    first = text.split('"""')[1]
    assert text.startswith('"""') and f"examples/{path.name}" in first or f"examples.{path.stem}:" in first


def test_an_agent_of_ones_own_is_short_and_learns(example):
    assert len((ROOT / "examples/my_agent.py").read_text().splitlines()) < 60
    torch.manual_seed(0)
    task = choose_by_sign(action_space=Box(0.0, 1.0, (1,)))
    env = TorchVectorEnv(task, 64, autoreset_mode="SameStep", tensors="torch")
    agent = example("my_agent")["make_agent"](task, lr=0.02)
    before = evaluate(env, agent, seed=1).mean()
    for rollout in islice(rollouts(env, agent, 4, seed=0), 150):
        agent.update(rollout)
    assert before < 0.5 and evaluate(env, agent, seed=1).mean() > 0.7
    other = example("my_agent")["make_agent"](task)
    other.load_state_dict(agent.state_dict())
    assert torch.equal(evaluate(env, other, seed=1), evaluate(env, agent, seed=1))


@pytest.mark.parametrize(
    "task, agent, settings",
    [
        ("StrokePaint-v0", "examples.my_agent:make_agent", {"env.targets": "embedded:16", "agent.lr": 1e-3}),
        ("examples.own_reward:EdgePaint-v0", "ppo", {}),
        ("examples.own_task:WhiteBalance-v0", "ppo", {}),
    ],
)
def test_the_benchmark_takes_it(example, task, agent, settings, tmp_path):
    small = {"num_envs": 4, "rollout": 3, "env.size": 32, "env.steps": 3}
    job = Job(task, "mine", agent, 0, settings=small | settings, steps=24, evaluations=1, episodes=2, films=0)
    check(job)
    line = perform(job, tmp_path, lambda share: None)
    assert line["status"] == "done" and line["steps"] == 24 and np.isfinite(line["metrics"]["return"])


def test_ppo_in_a_single_file_learns(example):
    ppo = example("single_file_ppo")
    words = ["--lanes", "16", "--rollout", "40", "--steps", str(16 * 40 * 10), "--lr", "3e-3"]
    history = ppo["train"](ppo["parse"](words))
    assert len(history) == 10 and history[-1] > history[0] + 0.003, history


def test_ppo_in_a_single_file_plays_another_task(example):
    ppo = example("single_file_ppo")
    words = ["--task", "FaceDialog-v0", "--size", "32", "--lanes", "4", "--rollout", "4", "--steps", "32"]
    assert np.isfinite(ppo["train"](ppo["parse"](words))).all()


def test_ppo_in_a_single_file_knows_nothing_of_ours():
    assert "retouch" not in "".join(
        line for line in (ROOT / "examples/single_file_ppo.py").read_text().splitlines() if "import" in line
    )


@pytest.mark.slow
def test_stable_baselines_plays_it(example):
    assert -20 < example("sb3_ppo")["train"](640) < 1


def test_a_reward_of_ones_own(example):
    own = example("own_reward")
    target = torch.zeros(2, 3, 8, 8)
    target[:, :, :, 4:] = 1.0
    blank, half = torch.zeros_like(target), target / 2
    torch.testing.assert_close(own["edge_gain"](blank, target, target), torch.ones(2))  # all edges found
    torch.testing.assert_close(own["edge_gain"](blank, half, target), torch.full((2,), 0.75))
    torch.testing.assert_close(own["edge_gain"](target, blank, target), -torch.ones(2))
    torch.testing.assert_close(own["edge_gain"](half, half + 0.1, target), torch.zeros(2))  # brightness is no edge


def test_a_reward_of_ones_own_has_an_id_of_its_own(example):
    example("own_reward")
    env = gym.make("EdgePaint-v0", size=32, steps=2, targets="embedded:4")
    env.reset(seed=0)
    _, reward, _, _, info = env.step(env.action_space.sample())
    assert reward == pytest.approx(info["reward/l2"] + info["reward/edges"], abs=1e-6) and info["reward/edges"] != 0
    with pytest.raises(ValueError, match="EdgePaint has no argument 'colour'"):
        gym.make("EdgePaint-v0", colour=3)


def test_a_task_of_ones_own_is_an_environment(example):
    example("own_task")
    env = gym.make("WhiteBalance-v0", size=16, steps=3)
    check_env(env.unwrapped, skip_render_check=True)
    batch = gym.make_vec("WhiteBalance-v0", num_envs=3, size=16, steps=3)
    seen, _ = batch.reset(seed=4)
    assert np.array_equal(seen["image"][2], env.reset(seed=6)[0]["image"])


def test_the_right_gains_take_the_cast_off(example):
    own = example("own_task")
    task = own["WhiteBalance"](size=16, steps=3, cast=1.0)
    env = TorchVectorEnv(task, 4, autoreset_mode="SameStep", tensors="torch")
    env.reset(seed=0)
    before = task.metrics(env.state)["error"]
    _, reward, *_ = env.step(-env.state.gain.log2())
    torch.testing.assert_close(reward, before)
    assert before.min() > 0 and task.metrics(env.state)["error"].max() < 1e-10
    with pytest.raises(ValueError, match="steps=0"):
        own["WhiteBalance"](steps=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my_agent", "own_reward", "own_task"])
def test_an_example_runs_as_a_script(name):
    done = subprocess.run([sys.executable, str(ROOT / f"examples/{name}.py")], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("\n") >= 1, done.stderr
