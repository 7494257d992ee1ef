"""Rollouts: the terms of the reward, what is not copied, what is refused."""

import gymnasium as gym
import pytest
import torch

from retouch.agents.rollout import Agent, Transition, rollouts
from retouch.benchmarks.probes import Probe
from retouch.envs.tensors import as_tensors
from retouch.envs.vector import TorchVectorEnv


class Mixed(Probe):
    """Odd lanes are a step behind; a step earns 1, the last one also what was done."""

    def reward(self, state, action, next_state):
        paid = super().reward(state, action, next_state)["pay"]
        return {"pay": paid, "step": torch.ones_like(paid)}


class Half(Agent):
    def act(self, obs, explore=True):
        return torch.full((len(obs["step"]), 1), 0.5), {}


def environment(pay=lambda sign, action: 2 * action, lanes=3):
    return TorchVectorEnv(Mixed(pay, length=2), lanes, autoreset_mode="SameStep", tensors="torch")


def test_the_terms_add_up_to_the_reward():
    """Also where some lanes end and others go on."""
    env = environment()
    env.task.horizon = None
    env.task.terminated = lambda state: state.step >= 2 + (state.sign > 0)
    path = next(rollouts(env, Half(), 7, seed=0))
    ended = path.done.sum(1)
    assert ((0 < ended) & (ended < 3)).any() and (ended == 0).any()
    assert set(path.terms) == {"pay", "step"} and (path.terms["step"] == 1).all()
    torch.testing.assert_close(path.terms["pay"], path.done.float())
    torch.testing.assert_close(sum(path.terms.values()), path.reward)


def test_other_peoples_environments_tell_no_terms():
    settings = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": "SameStep"}}
    env = as_tensors(gym.make_vec("CartPole-v1", num_envs=2, **settings))

    class Left(Agent):
        def act(self, obs, explore=True):
            return torch.zeros(2, dtype=torch.int64), {}

    assert next(rollouts(env, Left(), 12, seed=0)).terms == {}


def test_a_tensor_that_stays_is_not_copied():
    picture, ones = torch.rand(3, 8), torch.ones(3)
    step = Transition({"source": picture}, ones, ones, {}, ones > 0, ones < 0, {"t": ones})
    other = Transition({"source": picture}, ones + 1, ones, {}, ones > 0, ones < 0, {"t": ones - 1})
    path = Transition.stack([step, other])
    assert path.obs["source"].data_ptr() == picture.data_ptr() and path.obs["source"].shape == (2, 3, 8)
    assert path.action.tolist() == [[1.0] * 3, [2.0] * 3] and path.extras["t"].tolist() == [[1.0] * 3, [0.0] * 3]
    rows = torch.tensor([5, 0, 4])
    torch.testing.assert_close(vars(path.take(rows)), vars(path.flatten()[rows]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_is_named(value):
    env = environment(pay=lambda sign, action: torch.tensor([1.0, value, 1.0]))
    paths = rollouts(env, Half(), 4, seed=0)
    message = rf"environment 1 in step 1 of the rollout is {value}, by its term pay \(2 of 12 rewards"
    with pytest.raises(ValueError, match=message):
        next(paths)
