"""Every agent finds what is known to be right, in seconds."""

from itertools import islice

import pytest
import torch
from gymnasium.spaces import Box, Discrete

from retouch.agents.ddpg import DDPG, DDPGConfig
from retouch.agents.policies.standard import StandardActor, StandardCritic, StandardPolicy
from retouch.agents.ppo import PPO, PPOConfig
from retouch.agents.reinforce import Reinforce, ReinforceConfig
from retouch.agents.rollout import evaluate, rollouts
from retouch.benchmarks.probes import choose_by_sign, choose_high, constant, readable
from retouch.envs.vector import TorchVectorEnv

GAMMA = 0.9


def ppo(task):
    policy = StandardPolicy(task.observation_space, task.action_space)
    return PPO(policy, PPOConfig(lr=1e-2, gamma=GAMMA, minibatch=256))


def reinforce(task, baseline="mean"):
    policy = StandardPolicy(task.observation_space, task.action_space)
    return Reinforce(policy, ReinforceConfig(lr=1e-2, gamma=GAMMA, baseline=baseline))


def reinforce_value(task):
    return reinforce(task, "value")


def ddpg(task, model=None):
    actor = StandardActor(task.observation_space, task.action_space, (64, 64))
    critic = StandardCritic(task.observation_space, None if model else task.action_space, (64, 64))
    config = DDPGConfig(gamma=GAMMA, tau=0.05, batch=64, updates=4)
    return DDPG(actor, critic, config, model, task.action_space)


def ddpg_model(task):
    return ddpg(task, task.imagine)


AGENTS = {agent.__name__: agent for agent in (ppo, reinforce, reinforce_value, ddpg, ddpg_model)}
VALUES = {  # value [B] of what the agent would do
    "ppo": lambda agent, obs: agent.policy(obs)[1],
    "reinforce_value": lambda agent, obs: agent.policy(obs)[1],
    "ddpg": lambda agent, obs: agent.critic(obs, agent.actor(obs)),
    "ddpg_model": lambda agent, obs: agent.critic(obs),
}
STOCHASTIC = ("ppo", "reinforce", "reinforce_value")
SPACES = {"box": Box(0.0, 1.0, (1,)), "wide box": Box(-0.5, 1.5, (1,)), "discrete": Discrete(2)}


def train(name, task, updates, steps=8):
    torch.manual_seed(0)
    env = TorchVectorEnv(task, 32, autoreset_mode="SameStep", tensors="torch")
    agent = AGENTS[name](task)
    for rollout in islice(rollouts(env, agent, steps, seed=0), updates):
        agent.update(rollout)
    return env, agent


@torch.no_grad()
def value(name, agent, sign, step=0):
    return VALUES[name](agent, {"sign": torch.tensor([[float(sign)]]), "step": torch.tensor([step])}).item()


@pytest.mark.parametrize("name", VALUES)
def test_values_a_constant_reward(name):
    _, agent = train(name, constant(), 40)
    assert value(name, agent, 1) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("name", VALUES)
def test_values_depend_on_what_is_seen(name):
    _, agent = train(name, readable(), 50)
    assert value(name, agent, 1) == pytest.approx(1.0, abs=0.15)
    assert value(name, agent, -1) == pytest.approx(-1.0, abs=0.15)


@pytest.mark.parametrize("name", VALUES)
def test_values_are_discounted(name):
    _, agent = train(name, constant(length=3), 80, steps=9)
    assert value(name, agent, 1, step=2) == pytest.approx(1.0, abs=0.1)
    assert value(name, agent, 1, step=0) == pytest.approx(0.9**2, abs=0.1)


PLAYABLE = [(name, space) for name in AGENTS for space in SPACES if name in STOCHASTIC or space != "discrete"]


@pytest.mark.parametrize("name, space", PLAYABLE)
@pytest.mark.parametrize("probe", [choose_high, choose_by_sign], ids=["choose_high", "choose_by_sign"])
def test_finds_the_better_action(name, space, probe):
    env, agent = train(name, probe(action_space=SPACES[space]), 40)
    assert evaluate(env, agent).mean() > 0.9


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_policy_at_its_start_is_far_from_that(name):
    env, agent = train(name, choose_by_sign(), 0)
    assert evaluate(env, agent).mean() < 0.5


@pytest.mark.parametrize("name", AGENTS)
def test_save_and_load_act_alike_and_learn_alike(name, tmp_path):
    env, agent = train(name, choose_by_sign(), 3)
    torch.save(agent.state_dict(), tmp_path / "agent.pt")
    other = AGENTS[name](env.task)
    obs, _ = env.reset(seed=1)
    assert not torch.equal(agent.act(obs, explore=False)[0], other.act(obs, explore=False)[0])
    other.load_state_dict(torch.load(tmp_path / "agent.pt", weights_only=True))
    assert torch.equal(agent.act(obs, explore=False)[0], other.act(obs, explore=False)[0])
    rollout = next(rollouts(env, agent, 8, seed=2))
    metrics = []
    for learner in (agent, other):
        torch.manual_seed(3)
        metrics.append(learner.update(rollout))
    assert metrics[0] == metrics[1]
    assert torch.equal(agent.act(obs, explore=False)[0], other.act(obs, explore=False)[0])
