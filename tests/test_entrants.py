"""Who can play in a benchmark: ours, Stable-Baselines3's, anyone's; on our tasks and on anyone's."""

import json
import sys

import pytest
import torch

from retouch.benchmarks.entrants import perform
from retouch.benchmarks.guests import Guest, config_of, enrol, learns
from retouch.benchmarks.suites import Job

pytestmark = pytest.mark.usefixtures("guests_leave")

PAINT = {"env.size": 32, "env.steps": 3, "env.strokes": 2, "env.targets": "embedded:16"}
SHORT = {"num_envs": 2, "eval_episodes": 2}


MINE = '''
import gymnasium as gym
import numpy as np
import torch
from torch import nn


class Still:
    """Acts, and learns nothing."""

    def __init__(self, task):
        self.shape = task.action_space.shape

    def act(self, obs, explore):
        return torch.full((len(obs["canvas"]), *self.shape), 0.5)


class Counter(nn.Module):
    """Learns how often it was updated, and acts on that."""

    def __init__(self, task, rate: float = 0.125):
        super().__init__()
        self.count, self.shape, self.rate = nn.Parameter(torch.zeros(())), task.action_space.shape, rate

    def act(self, obs, explore):
        lanes = len(next(iter(obs.values())))
        return (self.count * self.rate).expand(lanes, *self.shape), {}

    def update(self, rollout):
        with torch.no_grad():
            self.count += 1


class Forgetful:
    def __init__(self, task): ...
    def act(self, obs, explore): ...
    def update(self, rollout): ...


class Reach(gym.Env):
    """Say 0.5 for four steps."""

    def __init__(self, goal: float = 0.5):
        self.observation_space, self.action_space = gym.spaces.Box(0, 1, (2,)), gym.spaces.Box(0.0, 1.0, (1,))
        self.goal = goal

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_, self.seen = 0, self.np_random.random(2).astype(np.float32)
        return self.seen.copy(), {}

    def step(self, action):
        self.step_ += 1
        return self.seen.copy(), -abs(float(action[0]) - self.goal), self.step_ == 4, False, {}


class Choose(Reach):
    def __init__(self):
        super().__init__()
        self.action_space = gym.spaces.Discrete(2)

    def step(self, action):
        return super().step([action])


for kind in (Reach, Choose):
    if f"{kind.__name__}-v0" not in gym.registry:
        gym.register(f"{kind.__name__}-v0", entry_point=f"{__name__}:{kind.__name__}")
'''


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mine", None)


def play(tmp_path, player, task="StrokePaint-v0", settings=PAINT, **told):
    job = Job(task, player.rpartition(":")[2], player, 0, SHORT | settings, episodes=2, films=1, **told)
    return perform(job, tmp_path / "out", lambda share: None)


@pytest.mark.parametrize("player", ["ppo", "reinforce", "ddpg", "sb3-ppo", "sb3-sac"])
def test_all_who_learn_leave_the_same_traces(tmp_path, player):
    settings = PAINT | ({"agent.batch": 4} if player == "ddpg" else {})
    told = play(tmp_path, player, settings=settings, steps=12, evaluations=2)
    assert (told["status"], told["steps"], told["error"], told["reason"]) == ("done", 12, "", "")
    assert {"return", "l2", "l2/strokes_6"} <= set(told["metrics"])
    assert len(told["episodes"]["l2"]) == 2 and told["curve"]["steps"] == [6, 12]
    assert told["curve"]["score"] != told["curve"]["return"] and None not in told["curve"]["score"]
    assert told["config"]["run"]["updates"] == 2 and told["config"]["env"]["size"] == 32
    assert (tmp_path / "out" / told["films"][0]).is_file()
    assert json.dumps(told, allow_nan=False)


def test_a_policy_without_a_run(tmp_path):
    told = play(tmp_path, "best-colour")
    assert (told["status"], told["steps"], told["curve"]) == ("done", 0, {})
    assert told["metrics"]["l2"] == pytest.approx(sum(told["episodes"]["l2"]) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("player", "task", "settings", "why"),
    [
        ("ddpg-model", "mine:Reach-v0", {}, "imagine a step"),
        ("sb3-sac", "mine:Choose-v0", {}, "needs a Box of actions, and this is Discrete"),
        ("ddpg", "mine:Choose-v0", {}, "needs a Box of actions, and this is Discrete"),
        ("shipped", "mine:Reach-v0", {}, "policy of our own tasks"),
        ("sb3-ppo", "ImageEdit-v0", {"env.edits": "embedded:4"}, "env.control=guidance"),
    ],
)
def test_what_makes_no_sense_is_named_with_the_reason(tmp_path, player, task, settings, why):
    told = play(tmp_path, player, task, settings)
    assert told["status"] == "skipped" and why in told["reason"]


@pytest.mark.parametrize("player", ["ppo", "ddpg", "sb3-ppo", "sb3-td3", "random", "mine:Counter"])
def test_anyones_task(tmp_path, player):
    config = {"ddpg": {"agent.batch": 4}, "ppo": {"policy.widths": [8]}}.get(player, {})
    settings = {"rollout": 4} | config
    told = play(tmp_path, player, "mine:Reach-v0", settings, steps=16 * (player != "random"), evaluations=2)
    assert told["status"] == "done" and told["task"] == "mine:Reach-v0"
    assert len(told["episodes"]["return"]) == 2 and told["films"] == []
    assert (told["curve"].get("steps") or [8, 16]) == [8, 16]


def test_anyones_agent_is_trained_and_measured_as_it_became(tmp_path):
    """Two updates: actions of 2 * 0.125, so each of four steps is 0.25 away from what is asked for."""
    told = play(tmp_path, "mine:Counter", "mine:Reach-v0", {"rollout": 4}, steps=16)
    assert told["episodes"]["return"] == [-1.0, -1.0]
    told = play(tmp_path, "mine:Counter", "mine:Reach-v0", {"rollout": 4, "agent.rate": 0.25}, steps=16)
    assert told["episodes"]["return"] == [0.0, 0.0]


def test_anyones_agent_on_our_task(tmp_path):
    trained = play(tmp_path, "mine:Counter", steps=24)
    still = play(tmp_path, "mine:Still")
    assert (trained["steps"], still["steps"]) == (24, 0)
    assert trained["episodes"]["l2"] == still["episodes"]["l2"], "four updates make it say 0.5, as the other does"


def test_on_anyones_task_a_training_goes_on_where_it_was_stopped(tmp_path):
    def stop(share):
        if share == 0.5:
            raise KeyboardInterrupt

    job = Job("mine:Reach-v0", "mine", "mine:Counter", 0, SHORT | {"rollout": 4}, steps=32, evaluations=4, episodes=2)
    with pytest.raises(KeyboardInterrupt):
        perform(job, tmp_path, stop)
    shares = []
    told = perform(job, tmp_path, shares.append)
    assert shares == [0.75, 1.0] and told["episodes"]["return"] == [0.0, 0.0]
    assert told["curve"]["steps"] == [8, 16, 24, 32]


def test_settings_of_the_task_reach_anyones(tmp_path):
    told = play(tmp_path, "mine:Counter", "mine:Reach-v0", {"rollout": 4, "env.goal": 0.25}, steps=16)
    assert told["episodes"]["return"] == [0.0, 0.0] and told["config"]["env"] == {"goal": 0.25}


def test_an_agent_that_could_not_be_kept_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Forgetful, which learns but has nothing with state_dict"):
        play(tmp_path, "mine:Forgetful")


def test_settings_of_anyones_agent_are_its_arguments():
    enrol("mine:Counter")
    import mine

    config = config_of(mine.Counter, "mine:Counter")
    assert vars(config()) == {"rate": 0.125, "gamma": 1.0}
    with pytest.raises(ValueError, match="goal must have a default"):
        config_of(lambda task, goal: None, "mine:f")


def test_a_guest_keeps_what_it_has():
    class Learner:
        def __init__(self):
            self.network = torch.nn.Linear(1, 1)

        def act(self, obs, explore):
            return self.network(obs["x"])

        def update(self, rollout):
            return {"loss": 1.0}

    one, other = Guest(Learner(), "f"), Guest(Learner(), "f")
    other.load_state_dict(one.state_dict())
    x = {"x": torch.ones(3, 1)}
    assert torch.equal(one.act(x)[0], other.act(x)[0]) and not one.act(x)[0].requires_grad
    assert learns(one) and one.update(None) == {"loss": 1.0}


def test_there_is_no_such_module_or_environment(tmp_path):
    with pytest.raises(ImportError):
        play(tmp_path, "random", "nowhere:Reach-v0", {})
    with pytest.raises(ValueError, match="mine registers no 'Raech-v0'"):
        play(tmp_path, "random", "mine:Raech-v0", {})
