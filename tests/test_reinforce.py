"""REINFORCE: its gradient, its baselines, what it refuses."""

import pytest
import torch
from torch.distributions import Categorical

from retouch.agents.reinforce import Reinforce, ReinforceConfig
from retouch.agents.rollout import Transition


class Coin(torch.nn.Module):
    """Two actions, one logit of difference, a value of 2 everywhere."""

    def __init__(self):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.zeros(1))
        self.value = torch.nn.Parameter(torch.full((1,), 2.0))

    def forward(self, obs):
        logits = torch.cat([torch.zeros_like(self.logit), self.logit]).expand(len(obs["x"]), 2)
        return Categorical(logits=logits), self.value.expand(len(obs["x"]))


def rollout(action, reward, done):
    """``[T, 1]`` of lists of length T."""
    done = torch.tensor(done)[:, None]
    obs = {"x": torch.zeros(*done.shape, 1)}
    return Transition(
        obs, torch.tensor(action)[:, None], torch.tensor(reward)[:, None], obs, done, torch.zeros_like(done), {}
    )


def gradient(path, **config):
    """Of the logit: the mean of (action - 1/2)(return - baseline), negated, as the loss is."""
    agent = Reinforce(Coin(), ReinforceConfig(**config))
    agent.update(path)
    return agent.policy.logit.grad.item()


TWO_EPISODES = rollout([1, 0], [3.0, 1.0], [True, True])


@pytest.mark.parametrize(
    "baseline, expected",
    [
        ("none", -(0.5 * 3 - 0.5 * 1) / 2),
        ("mean", -(0.5 * (3 - 2) - 0.5 * (1 - 2)) / 2),
        ("value", -(0.5 * (3 - 2) - 0.5 * (1 - 2)) / 2),
        ("group", -(0.5 * (3 - 2) / 1 - 0.5 * (1 - 2) / 1) / 2),
    ],
)
def test_the_gradient_by_hand(baseline, expected):
    assert gradient(TWO_EPISODES, baseline=baseline) == pytest.approx(expected)


def test_returns_are_discounted_to_the_end_of_the_episode():
    path = rollout([1, 1, 1], [0.0, 4.0, 100.0], [False, True, True])
    assert gradient(path, baseline="none", gamma=0.5) == pytest.approx(-0.5 * (2 + 4 + 100) / 3)


def test_an_episode_that_does_not_end_is_left_out():
    whole = rollout([1, 0], [3.0, 1.0], [True, True])
    cut = rollout([1, 0, 1, 1], [3.0, 1.0, 50.0, 50.0], [True, True, False, False])
    assert gradient(cut) == gradient(whole)


def test_says_when_no_episode_ends():
    with pytest.raises(ValueError, match="no episode ends within the rollout of 2 steps"):
        Reinforce(Coin()).update(rollout([1, 0], [1.0, 1.0], [False, False]))


@pytest.mark.parametrize("baseline, learns", [("value", True), ("mean", False)])
def test_only_the_value_baseline_fits_a_value(baseline, learns):
    agent = Reinforce(Coin(), ReinforceConfig(baseline=baseline))
    agent.update(rollout([1, 0], [8.0, 6.0], [True, True]))
    assert (agent.policy.value.item() > 2) == learns


def test_an_unknown_baseline_is_refused():
    with pytest.raises(ValueError, match="baseline must be one of mean, value, group, none, got 'median'"):
        ReinforceConfig(baseline="median")


def test_a_remembered_groups_returns_are_saved():
    agent = Reinforce(Coin(), ReinforceConfig(baseline="group", history=4))
    agent.update(TWO_EPISODES)
    resumed = Reinforce(Coin(), ReinforceConfig(baseline="group", history=4))
    resumed.load_state_dict(agent.state_dict())
    assert resumed.grouped.past == agent.grouped.past != {}


FOUR = rollout([1, 0, 1, 1], [3.0, 1.0, 5.0, -2.0], [True, True, True, True])


@pytest.mark.parametrize("baseline", ["mean", "value", "group"])
def test_gradients_gather_over_minibatches(baseline):
    whole = gradient(FOUR, baseline=baseline)
    assert whole != 0 and gradient(FOUR, baseline=baseline, minibatch=3) == pytest.approx(whole)


def test_learns_from_a_window_of_steps():
    """Of an episode of three steps the last is left out; both others earn its return, against the mean of all."""
    path = rollout([1, 1, 0], [0.0, 0.0, 4.0], [False, False, True])
    assert gradient(path, baseline="none", window=(0, 2)) == pytest.approx(-0.5 * 4)
    assert gradient(path, baseline="none") == pytest.approx(-0.5 * (4 + 4 - 4) / 3)
    assert gradient(path, baseline="none", window=(2, 3), share=0.5) == pytest.approx(0.5 * 4)
    cut = rollout([1, 0], [1.0, 1.0], [True, False])
    with pytest.raises(ValueError, match="no step to learn from: window or share"):
        Reinforce(Coin(), ReinforceConfig(window=(1, 2))).update(cut)


def test_advantages_and_gradients_are_bounded():
    assert gradient(TWO_EPISODES, baseline="none", advantage_clip=2.0) == pytest.approx(-(0.5 * 2 - 0.5 * 1) / 2)
    assert gradient(TWO_EPISODES, baseline="none", max_grad_norm=0.1) == pytest.approx(-0.1, rel=1e-4)


def test_weights_decay():
    agent = Reinforce(Coin(), ReinforceConfig(baseline="none", lr=0.5, weight_decay=0.1))
    agent.policy.logit.data += 1.0
    agent.update(rollout([1], [0.0], [True]))
    assert agent.policy.logit.item() == pytest.approx(1 - 0.5 * 0.1)
