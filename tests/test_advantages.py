"""Advantages by group: DDPO's statistics and GRPO's."""

import pytest
import torch

from retouch.agents.advantages import Grouped
from retouch.agents.rollout import Transition


def rollout(reward, done, group):
    """``[T, B]`` each, rows of time."""
    reward, done = torch.tensor(reward), torch.tensor(done, dtype=torch.bool)
    obs = {"problem": torch.tensor(group)}
    return Transition(obs, reward, reward, {}, done, torch.zeros_like(done), {})


def judged(strategy, path):
    advantage, target = strategy(path, None)
    assert target is None
    return advantage


ONE_EPISODE = rollout([[0.0] * 4, [1.0, 3.0, 10.0, 10.0]], [[0] * 4, [1] * 4], [[7, 7, 8, 8]] * 2)


def test_every_step_shares_its_episodes_score_within_its_group():
    expected = torch.tensor([[-1.0, 1.0, 0.0, 0.0]] * 2)
    torch.testing.assert_close(judged(Grouped("problem"), ONE_EPISODE), expected, atol=1e-5, rtol=0)


def test_without_a_key_all_are_one_group():
    returns = torch.tensor([1.0, 3.0, 10.0, 10.0])
    expected = (returns - 6) / returns.std(correction=0)
    torch.testing.assert_close(judged(Grouped(), ONE_EPISODE), expected.expand(2, 4), atol=1e-5, rtol=0)


def test_a_small_group_is_measured_by_the_whole_rollout():
    path = rollout([[1.0, 3.0, 8.0]], [[1, 1, 1]], [[7, 7, 8]])
    expected = torch.tensor([[-1.0, 1.0, 4.0 / 2.943920]])
    torch.testing.assert_close(judged(Grouped("problem", least=2), path), expected, atol=1e-5, rtol=0)


def test_several_episodes_a_lane_and_an_unfinished_one():
    """Lane 0: two episodes, of returns 3 and 5, then an unfinished one; lane 1: one, of return 1."""
    path = rollout(
        [[1.0, 0.0], [2.0, 0.0], [5.0, 0.0], [9.0, 1.0]],
        [[0, 0], [1, 0], [1, 0], [0, 1]],
        [[0, 0]] * 4,
    )
    high = 2 / 1.632993
    expected = torch.tensor([[0.0, -high], [0.0, -high], [high, -high], [0.0, -high]])
    torch.testing.assert_close(judged(Grouped(), path), expected, atol=1e-5, rtol=0)


def test_a_group_remembers_returns_across_updates_and_is_saved():
    strategy = Grouped("problem", history=3)
    judged(strategy, rollout([[0.0, 2.0]], [[1, 1]], [[7, 7]]))
    saved = strategy.state_dict()
    path = rollout([[4.0]], [[1]], [[7]])  # beside 0 and 2: mean 2, deviation 1.633
    expected = torch.tensor([[2 / 1.632993]])
    torch.testing.assert_close(judged(strategy, path), expected, atol=1e-5, rtol=0)
    resumed = Grouped("problem", history=3)
    resumed.load_state_dict(saved)
    torch.testing.assert_close(judged(resumed, path), expected, atol=1e-5, rtol=0)
    ((name, past),) = strategy.state_dict()["past"].items()
    assert past == [0.0, 2.0, 4.0] and len(name) == 16
    judged(strategy, path)  # the oldest is forgotten
    assert list(*strategy.state_dict()["past"].values()) == [2.0, 4.0, 4.0]


def test_a_rollout_without_an_end_is_refused():
    with pytest.raises(ValueError, match="no episode ends within the rollout of 1 steps"):
        judged(Grouped(), rollout([[1.0]], [[0]], [[0]]))


def test_several_observations_name_a_group():
    """Lanes 0 and 1 share both, 2 shares one with each neighbour: alone, it is at its own mean."""
    path = rollout([[1.0, 3.0, 8.0, 9.0]], [[1] * 4], [[7, 7, 7, 8]])
    path.obs["picture"] = torch.tensor([[[1, 2], [1, 2], [2, 2], [2, 2]]], dtype=torch.uint8)
    expected = torch.tensor([[-1.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(judged(Grouped("problem,picture"), path), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(judged(Grouped("picture,problem"), path), expected, atol=1e-5, rtol=0)
    together = judged(Grouped("picture"), path)
    torch.testing.assert_close(together, torch.tensor([[-1.0, 1.0, -1.0, 1.0]]), atol=1e-5, rtol=0)


def test_an_observation_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no observation 'prompt' to group by: there is problem"):
        judged(Grouped("problem,prompt"), ONE_EPISODE)
