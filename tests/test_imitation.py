"""Imitation of a teacher."""

import copy

import gymnasium as gym
import pytest
import torch
from gymnasium.spaces import Box, Dict

from retouch.agents.imitation import Imitation, ImitationConfig
from retouch.agents.policies.standard import StandardPolicy
from retouch.agents.rollout import Transition, rollouts
from retouch.benchmarks.plan import plan_run
from retouch.benchmarks.recipes import build_agent, environment, make_task
from retouch.benchmarks.train import Training, train

FACES = ("env.base=line", "env.pictures=false", "env.show=latent,degrees,request,micro_step", "env.rounds=1")
RUN = ("num_envs=4", "rollout=4", "updates=1", "eval_episodes=2", "policy.widths=8", "agent.steps=2", "agent.batch=8")


def twice(obs):
    return 2 * obs["x"]


def learner(**settings):
    torch.manual_seed(0)
    policy = StandardPolicy(Dict({"x": Box(-1.0, 1.0, (2,))}), Box(-2.0, 2.0, (2,)))
    return Imitation(policy, twice, ImitationConfig(**settings))


def rollout(agent):
    obs = {"x": 2 * torch.rand(5, 8, 2) - 1}
    nothing = torch.zeros(5, 8)
    action = agent.act({"x": obs["x"].flatten(0, 1)})[0].view(5, 8, 2)
    return Transition(obs, action, nothing, obs, nothing.bool(), nothing.bool(), {})


def test_it_learns_what_the_teacher_does():
    agent = learner(lr=1e-2, anneal=30, steps=20, batch=32)
    before = agent.update(rollout(agent))["loss"]
    for _ in range(29):
        after = agent.update(rollout(agent))["loss"]
    assert after < before / 20
    x = torch.tensor([[0.5, -0.25]])
    torch.testing.assert_close(agent.act({"x": x}, explore=False)[0], 2 * x, atol=0.1, rtol=0)


def test_it_acts_by_itself_with_noise():
    agent, x = learner(noise=0.5), {"x": torch.zeros(1000, 2)}
    sure, noisy = agent.act(x, explore=False)[0], agent.act(x)[0]
    assert torch.equal(sure, sure[:1].expand_as(sure))
    assert (noisy - sure).std().item() == pytest.approx(0.5, rel=0.1)


def test_what_it_did_itself_is_not_what_it_remembers():
    agent = learner(steps=1)
    seen = rollout(agent)
    agent.update(seen)
    assert torch.equal(agent.replay.rows["action"][:40], twice({"x": seen.obs["x"].flatten(0, 1)}))


def test_it_is_saved_and_goes_on_bit_for_bit():
    agent, other = learner(), learner()
    agent.update(rollout(agent))
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    seen = rollout(agent)
    for each in (agent, other):
        torch.manual_seed(1)
        each.update(seen)
    assert all(map(torch.equal, agent.policy.state_dict().values(), other.policy.state_dict().values()))


@pytest.mark.parametrize("setting", [{"lr": 0}, {"noise": -1}, {"steps": 0}])
def test_bad_settings_are_refused_by_name(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        ImitationConfig(**setting)


def test_a_run_starts_from_the_networks_of_another(tmp_path):
    taught = plan_run("FaceDialog-v0", "imitation", [*FACES, *RUN])
    assert train(taught, tmp_path / "taught")
    further = [*FACES, *RUN[:-2], f"start={tmp_path / 'taught'}"]
    training = Training.begin(plan_run("FaceDialog-v0", "ppo", further))
    training.start_from(tmp_path / "taught")
    kept = torch.load(tmp_path / "taught" / "agent.pt", weights_only=True)["agent"]["policy"]
    assert all(torch.equal(value, kept[name]) for name, value in training.agent.policy.state_dict().items())
    assert train(plan_run("FaceDialog-v0", "ppo", further), tmp_path / "further")
    with pytest.raises(ValueError, match="does not fit this task"):
        Training.begin(plan_run("FaceDialog-v0", "ppo", [*FACES, "num_envs=2"])).start_from(tmp_path / "taught")
    with pytest.raises(ValueError, match="kept no agent"):
        training.start_from(tmp_path)


def test_it_needs_a_teacher():
    shown = make_task("FaceDialog-v0", environment("FaceDialog-v0", {"base": "line", "show": "image,request"}))
    with pytest.raises(ValueError, match="env.show must name latent, degrees, micro_step too"):
        build_agent("imitation", shown, *defaults())
    painting = make_task("StrokePaint-v0", environment("StrokePaint-v0", {"size": 32, "targets": "embedded:4"}))
    with pytest.raises(ValueError, match="needs a teacher"):
        build_agent("imitation", painting, *defaults())


def defaults():
    plan = plan_run("FaceDialog-v0", "imitation", [])
    return plan.policy, plan.learner


def test_it_plays_the_common_interface():
    env = gym.make_vec("retouch:FaceDialog-v0", num_envs=2, autoreset_mode="SameStep", tensors="torch", base="line",
                       show=("latent", "degrees", "request", "micro_step"), pictures=False)  # fmt: skip
    agent = build_agent("imitation", env.unwrapped.task, *defaults())
    assert agent.update(next(rollouts(env, agent, 4, seed=0)))["loss"] > 0
