"""Fixed episodes and what is measured in them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

from retouch.agents.rollout import Agent
from retouch.benchmarks import evaluate
from retouch.benchmarks.evaluate import film, is_round, play, summary
from retouch.benchmarks.players import env_settings, make_player, named_first
from retouch.benchmarks.recipes import agents, environment, make_task, policies, unseen
from retouch.benchmarks.statistics import bootstrap
from retouch.envs.core import Task

SMALL = {"size": 32, "steps": 4, "targets": "embedded:16"}


@dataclass(frozen=True)
class Count:
    value: torch.Tensor  # [B] int64
    until: torch.Tensor  # [B] int64


class Counting(Task[Count]):
    """Counts to between 1 and 12, and earns 1 a step. A turn is two coins."""

    device = torch.device("cpu")
    observation_space = Dict(value=Discrete(20))
    action_space = Box(0.0, 1.0, (1,))
    unit, units_per_step = "coins", 2

    def initial(self, rng, options):
        until = 1 + rng.integers(12)
        return Count(torch.zeros_like(until), until)

    def observe(self, state):
        return {"value": state.value}

    def transition(self, state, action, rng):
        return replace(state, value=state.value + 1)

    def reward(self, state, action, next_state):
        return {"one": torch.ones(len(action))}

    def terminated(self, state):
        return state.value >= state.until

    def metrics(self, state):
        return {"value": state.value.float(), "left": (state.until - state.value).float()}


class Still(Agent):
    def act(self, obs, explore=True):
        return torch.zeros(len(obs["value"]), 1), {}


def test_episodes_of_any_length_are_measured_at_their_end_and_stay_as_they_ended():
    measured = play(Counting(), Still(), 40, seed=3)
    length = measured["return"]
    assert length.min() < 5 < length.max() <= 12
    assert torch.equal(measured["value"], length) and not measured["left"].any()
    for coins in (2, 10, 20):
        assert torch.equal(measured[f"value/coins_{coins}"], length.clamp(max=coins / 2))
    assert "value/coins_5" not in measured and "value/coins_6" not in measured


def test_an_episode_is_measured_once_at_its_end():
    """A dialog's pictures are drawn and looked at by networks for that: a step that did so too would double it."""

    class Curveless(Counting):
        curves, measured = False, 0

        def metrics(self, state):
            self.measured += len(state.value)
            return super().metrics(state)

    task = Curveless()
    play(task, Still(), 40, seed=3)
    assert task.measured == 40


def test_the_batch_that_an_episode_is_played_in_does_not_matter(monkeypatch):
    whole = play(Counting(), Still(), 10, seed=3)
    monkeypatch.setattr(evaluate, "CHUNK", 3)
    parts = play(Counting(), Still(), 10, seed=3)
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    assert torch.equal(play(Counting(), Still(), 4, seed=9)["return"], whole["return"][6:])


def test_painting_is_measured_at_round_numbers_of_strokes_and_at_the_end():
    task = make_task("StrokePaint-v0", environment("StrokePaint-v0", {**SMALL, "steps": 6}))
    measured = play(task, policies(task)["random"](task), 3)
    counts = [int(name.rpartition("_")[2]) for name in measured if name.startswith("l2/strokes_")]
    assert counts == [5, 10, 20, 30]
    assert torch.equal(measured["l2"], measured["l2/strokes_30"])
    assert (measured["psnr"] + 10 * measured["l2"].log10()).abs().max() < 1e-4


def test_a_random_policy_plays_the_same_twice_and_leaves_the_generator_alone():
    task = make_task("StrokePaint-v0", environment("StrokePaint-v0", SMALL))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (play(task, policies(task)["random"](task), 2)["l2"] for _ in range(2))
    assert torch.equal(first, second) and first[0] != first[1]
    assert torch.equal(torch.rand(1), expected)


def test_the_best_colour_is_the_target_mean_everywhere():
    task = make_task("StrokePaint-v0", environment("StrokePaint-v0", {**SMALL, "steps": 1}))
    pictures = film(task, policies(task)["best-colour"](task), 3)
    canvas, target = pictures[:, -1].float().split(32, 2)  # [3, H, W, 3] each
    assert (canvas - target.mean((1, 2), keepdim=True)).abs().max() <= 1


def test_a_film_holds_the_start_and_the_moments_of_play():
    pictures = film(Painted(), Still(), 2)
    assert pictures[:, :, 0, 0, 0].tolist() == [[0, 1, 5], [0, 1, 5]]  # of 0, 2 and 10 coins


class Painted(Counting):
    horizon = 5

    def initial(self, rng, options):
        return Count(torch.zeros_like(rng.seed), torch.full_like(rng.seed, 5))

    def render(self, state):
        return state.value.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 4, 4, 3)


def test_round_numbers():
    assert [n for n in range(1101) if is_round(n)] == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]


def test_the_bootstrap_holds_the_mean_and_narrows_with_the_root_of_the_sample():
    rng = np.random.default_rng(0)
    sample = rng.normal(3.0, 2.0, 400)
    interval = bootstrap(sample)
    assert interval.mean == pytest.approx(sample.mean())
    error = sample.std() / 20  # the normal approximation's
    assert interval.low == pytest.approx(sample.mean() - 1.96 * error, abs=0.03)
    assert interval.high == pytest.approx(sample.mean() + 1.96 * error, abs=0.03)
    assert bootstrap(sample) == interval


def test_the_bootstrap_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [bootstrap(rng.exponential(1.0, 50), resamples=500) for _ in range(200)]
    assert 0.87 < np.mean([i.low <= 1.0 <= i.high for i in intervals]) < 0.98


def test_the_bootstrap_of_one_value_has_no_width_and_of_none_no_meaning():
    assert bootstrap([2.5]).low == bootstrap([2.5]).high == 2.5
    with pytest.raises(ValueError, match="some values"):
        bootstrap([])


def test_a_summary_has_an_interval_for_every_metric():
    measured = summary({"l2": torch.tensor([1.0, 3.0]), "return": torch.tensor([1.0, 1.0])})
    assert measured["l2"].mean == 2.0 and (measured["l2"].low, measured["l2"].high) == (1.0, 3.0)
    assert measured["return"].low == 1.0


def test_evaluation_is_on_targets_that_training_does_not_see():
    assert unseen({"split": "train", "size": 32}) == {"split": "test", "size": 32}
    assert unseen({"split": "all"}) == {"split": "all"} and unseen({"size": 1}) == {"size": 1}
    assert make_player("StrokePaint-v0", "random").env["split"] == "test"
    assert make_player("StrokePaint-v0", "random", ["env.split=train"]).env["split"] == "train"


@pytest.mark.parametrize(
    ("task", "agent", "settings", "complaint"),
    [
        ("StrokePaint-v0", "randon", [], "did you mean random\\?"),
        ("StrokePaint", "random", [], "no task 'StrokePaint'; did you mean StrokePaint-v0\\?"),
        ("StrokePaint-v0", "random", ["size=3"], "no setting size here: the task's own are written env.KEY=VALUE"),
        ("StrokePaint-v0", "random", ["env.sise=3"], "no setting env.sise; did you mean size\\?"),
    ],
)
def test_players_that_are_not_there_are_refused(task, agent, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_player(task, agent, settings)


def test_the_agent_is_told_from_the_settings():
    assert named_first(["random", "env.size=3"], "shipped") == ("random", ["env.size=3"])
    assert named_first(["env.size=3"], "shipped") == ("shipped", ["env.size=3"])
    assert env_settings(["env.size=3"]) == {"size": "3"}


def test_every_task_names_agents_that_can_play_it(task_id, small):
    task = make_task(task_id, environment(task_id, small))
    assert {"ppo", "reinforce"} <= set(agents(task)) and "random" in policies(task)
    assert agents(Counting()) == ["ppo", "reinforce", "ddpg"]  # it cannot imagine a step


def test_a_metric_is_averaged_over_the_episodes_that_it_speaks_of():
    nan = float("nan")
    told = summary({"some": torch.tensor([1.0, nan, 3.0]), "none": torch.tensor([nan, nan])})
    assert set(told) == {"some"} and told["some"].mean == 2.0
