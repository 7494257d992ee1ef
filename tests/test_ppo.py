"""PPO: its ratios, its bookkeeping of values, its settings."""

import sys
from copy import deepcopy
from functools import partial
from itertools import islice
from types import ModuleType, SimpleNamespace

import gymnasium as gym
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from retouch.agents.policies.standard import StandardPolicy
from retouch.agents.ppo import PPO, PPOConfig
from retouch.agents.returns import gae
from retouch.agents.rollout import rollouts
from retouch.benchmarks.probes import choose_by_sign
from retouch.envs.vector import TorchVectorEnv


def played(space=None, length=3, lanes=8, steps=5, limit=None, **config):
    torch.manual_seed(0)
    task = choose_by_sign(length=length, action_space=space or Box(0.0, 1.0, (1,)))
    env = TorchVectorEnv(task, lanes, limit, autoreset_mode="SameStep", tensors="torch")
    agent = PPO(StandardPolicy(task.observation_space, task.action_space), PPOConfig(**config))
    return agent, rollouts(env, agent, steps, seed=0)


def assert_ratios_are_one(agent, rollout):
    batch = rollout.flatten()
    log_ratio = agent.policy(batch.obs)[0].log_prob(batch.action) - batch.extras["log_prob"]
    assert batch.extras["log_prob"].isfinite().all()
    torch.testing.assert_close(log_ratio.exp(), torch.ones(len(batch)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("space", [Box(0.0, 1.0, (3,)), Box(-2.0, 2.0, (2, 2)), Discrete(4)])
def test_every_ratio_is_one_on_a_fresh_rollout(space):
    agent, paths = played(space)
    for rollout in islice(paths, 3):
        assert_ratios_are_one(agent, rollout)
        agent.update(rollout)


def test_every_ratio_is_one_on_every_task(task_id, small):
    torch.manual_seed(0)
    env = gym.make_vec(f"retouch:{task_id}", num_envs=2, autoreset_mode="SameStep", tensors="torch", **small)
    agent = PPO(StandardPolicy(env.single_observation_space, env.single_action_space))
    rollout = next(rollouts(env, agent, 4, seed=0))
    assert_ratios_are_one(agent, rollout)
    assert agent.update(rollout)["value_loss"] > 0


@pytest.mark.parametrize("limit", [None, 2])
def test_values_of_what_follows_equal_asking_the_policy(limit):
    """At the end of an episode, of its time, and of the rollout."""
    agent, paths = played(steps=7, limit=limit)
    rollout = next(paths)
    assert rollout.done.any() and rollout.truncated.any() == bool(limit)
    with torch.no_grad():
        next_value = agent.policy(rollout.flatten().next_obs)[1].view(7, 8)
    value, done = rollout.extras["value"], rollout.done
    expected = gae(rollout.reward, value, next_value, rollout.terminated, done, 0.99, 0.95)
    advantage, target = agent.advantage(rollout, agent.policy)
    torch.testing.assert_close(advantage, expected)
    torch.testing.assert_close(target, expected + value)


def test_metrics_are_of_all_minibatches():
    agent, paths = played(lr=1e-2)
    metrics = agent.update(next(paths))
    names = {"policy_loss", "value_loss", "entropy", "kl", "clip_fraction", "explained_variance"}
    assert set(metrics) == names and metrics["kl"] > 0 and 0 < metrics["clip_fraction"] < 1


def test_a_target_kl_ends_the_update():
    agent, paths = played(lr=3e-2, epochs=50)
    free = agent.update(next(paths))
    agent, paths = played(lr=3e-2, epochs=50, target_kl=0.02)
    bound = agent.update(next(paths))
    assert bound["kl"] < 0.02 < free["kl"]


def test_anneals_the_learning_rate_to_zero():
    agent, paths = played(lr=0.1, anneal=4)
    rates = []
    for rollout in islice(paths, 4):
        rates.append(agent.optimizer.param_groups[0]["lr"])
        agent.update(rollout)
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
    before = [p.clone() for p in agent.policy.parameters()]
    agent.update(next(paths))
    assert all(torch.equal(p, q) for p, q in zip(before, agent.policy.parameters(), strict=True))


def test_the_gradient_is_clipped():
    """Of two steps of plain size the clipped is shorter; measured before Adam rescales it."""
    agent, paths = played(max_grad_norm=1e-3, epochs=1, minibatch=1000)
    agent.update(next(paths))
    norm = torch.stack([p.grad.norm() for p in agent.policy.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-2)


def test_the_advantage_is_a_strategy():
    agent, paths = played()
    agent.advantage = lambda rollout, policy: (torch.zeros_like(rollout.reward), None)
    metrics = agent.update(next(paths))
    assert metrics["policy_loss"] == 0.0 and "value_loss" not in metrics


@pytest.mark.parametrize(
    "setting", [{"lr": 0.0}, {"gamma": 1.5}, {"clip": -0.1}, {"epochs": 0}, {"minibatch": 0}, {"lr": float("nan")}]
)
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ValueError, match=f"PPOConfig.{next(iter(setting))} must be"):
        PPOConfig(**setting)


def test_a_grouped_advantage_needs_no_value():
    agent, paths = played(space=Box(0.0, 1.0, (1,)), steps=6, advantage="grouped", normalize=False, lr=3e-2, epochs=8)
    first = next(paths)
    score = first.reward.mean()
    metrics = agent.update(first)
    assert not {"value_loss", "explained_variance"} & set(metrics)
    for rollout in islice(paths, 40):
        agent.update(rollout)
    assert rollout.reward.mean() > score + 0.3


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({}, 15),
        ({"window": (1, 3)}, 6),
        ({"window": (3, 99)}, 6),
        ({"share": 0.5}, 6),
        ({"by_episode": True}, 15),
        ({"window": (0, 4), "share": 0.5, "by_episode": True}, 6),
    ],
)
def test_an_epochs_rows(settings, rows):
    """Of a rollout of 5 steps and 3 lanes: each row at most once, equally many of every lane, in random order."""
    agent, paths = played(lanes=3, **settings)
    path = next(paths)
    drawn = agent._rows(path)
    assert len(drawn) == rows == len(drawn.unique())
    time, lane = drawn // 3, drawn % 3
    assert lane.bincount().tolist() == [rows // 3] * 3
    first, last = settings.get("window", (0, 5))
    assert first <= time.min() and time.max() < last
    if settings.get("by_episode"):
        assert all(len(part.unique()) == 1 for part in lane.split(rows // 3))
    assert any(not torch.equal(drawn, agent._rows(path)) for _ in range(5))


def test_gradients_accumulate_to_those_of_one_large_minibatch():
    def weights(**config):
        agent, paths = played(epochs=1, normalize=False, lr=1e-2, **config)
        agent.update(next(paths))
        return torch.cat([p.flatten() for p in agent.policy.parameters()])

    torch.testing.assert_close(weights(minibatch=10, accumulate=4), weights(minibatch=40), atol=1e-6, rtol=1e-4)
    assert not torch.allclose(weights(minibatch=10), weights(minibatch=40), atol=1e-4)


def test_the_clipped_advantage():
    agent, paths = played(normalize=False, advantage_clip=0.01, epochs=1, minibatch=1000)
    seen, loss = [], agent._loss
    agent._loss = lambda batch, advantage, target: (seen.append(advantage), loss(batch, advantage, target))[1]
    agent.update(next(paths))
    assert seen[0].abs().max().item() == pytest.approx(0.01)


def test_the_averaged_weights_act_and_are_saved():
    agent, paths = played(average=0.5, epochs=1, minibatch=1000, lr=0.1)
    weight = agent.policy.body[0].weight
    start = weight.detach().clone()
    obs = next(paths).obs
    agent.update(next(paths))
    mean = (start + weight.detach()) / 2
    torch.testing.assert_close(agent.average.mean[list(agent.policy.parameters()).index(weight)], mean)
    first = {key: value[0] for key, value in obs.items()}
    acted = agent.act(first, explore=False)[0]
    with torch.no_grad():
        assert not torch.equal(acted, agent.policy(first)[0].mode)
    other, _ = played(average=0.5)
    other.load_state_dict(agent.state_dict())
    torch.testing.assert_close(other.act(first, explore=False)[0], acted)


def test_a_reference_holds_the_policy_back():
    def drift(coef):
        agent, paths = played(space=Discrete(4), reference_coef=coef, epochs=8, lr=1e-2)
        frozen = deepcopy(agent.policy)
        agent.reference = lambda obs: frozen(obs)[0]
        for rollout in islice(paths, 10):
            metrics = agent.update(rollout)
        return metrics["reference_kl"]

    assert drift(10.0) < 0.2 * drift(1e-9)


def test_a_missing_reference_is_named():
    agent, paths = played(reference_coef=1.0)
    with pytest.raises(ValueError, match="needs a policy that has a reference"):
        agent.update(next(paths))


def test_the_moments_in_eight_bits_are_of_bitsandbytes(monkeypatch):
    class AdamW8bit(torch.optim.AdamW):
        """Stands in for theirs, which this machine need not have."""

    library = ModuleType("bitsandbytes")
    library.optim = SimpleNamespace(AdamW8bit=AdamW8bit)
    monkeypatch.setitem(sys.modules, "bitsandbytes", library)
    agent, paths = played(eight_bit=True, lr=1e-2, weight_decay=1e-4)
    settings = agent.optimizer.param_groups[0]
    assert type(agent.optimizer) is AdamW8bit
    assert (settings["lr"], settings["weight_decay"], settings["eps"]) == (1e-2, 1e-4, 1e-5)
    assert agent.update(next(paths))["kl"] > 0
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ImportError, match="pip install bitsandbytes"):
        played(eight_bit=True)


def test_a_window_beyond_the_rollout_is_refused():
    agent, paths = played(window=(9, 12))
    with pytest.raises(ValueError, match=r"window \(9, 12\) begins beyond the rollout of 5 steps"):
        agent.update(next(paths))


def test_a_compiled_loss_is_the_loss(monkeypatch):
    """Traced as for the compiler, which is left out, with minibatches of two sizes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))

    def learned(**config):
        agent, paths = played(Box(-2.0, 2.0, (1,)), minibatch=32, **config)
        for rollout in islice(paths, 2):
            metrics = agent.update(rollout)
        return metrics, torch.cat([p.flatten() for p in agent.policy.parameters()])

    torch.testing.assert_close(learned(compile=True), learned(), rtol=1e-4, atol=1e-5)


def test_a_compiler_that_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="needs a C\\+\\+ compiler, and there is no no-such-compiler"):
        played(compile=True)
