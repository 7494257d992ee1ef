"""Credit by region: how a log-probability is split, whose advantage a region earns, what is refused."""

import pytest
import torch

from retouch.agents.advantages import Grouped
from retouch.agents.policies.diffusion import Step
from retouch.agents.policies.standard import StandardPolicy
from retouch.agents.ppo import PPO, PPOConfig
from retouch.agents.regions import Regions
from retouch.agents.rollout import rollouts
from retouch.benchmarks.probes import choose_by_sign
from retouch.envs.vector import TorchVectorEnv

LANES = 6
GROUPED = {"advantage": "grouped", "normalize": False, "epochs": 1, "minibatch": 100}
BY_REGION = GROUPED | {"regions": ("mask", "done", "kept")}


class Pictures:
    """Episodes of one step: latents ``[1, 4, 4]`` of a picture of 8 x 8, of which a mask shows the left half."""

    num_envs = LANES

    def __init__(self, done, kept):
        self.terms = {"reward/done": torch.tensor(done), "reward/kept": torch.tensor(kept)}

    def reset(self, seed=None):
        mask = torch.zeros(LANES, 1, 8, 8, dtype=torch.uint8)
        mask[..., :4] = 255
        return {"mask": mask}, {}

    def step(self, action):
        ended = torch.ones(LANES, dtype=torch.bool)
        obs, _ = self.reset()
        return obs, sum(self.terms.values()), ended, ~ended, {"final_info": self.terms}


class Painter(torch.nn.Module):
    """A mean for every cell, the same whatever it sees."""

    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(1, 4, 4))

    def forward(self, obs):
        lanes = len(obs["mask"])
        return Step(self.mean.expand(lanes, -1, -1, -1), torch.full((lanes, 1, 1, 1), 0.5)), torch.zeros(lanes)


ONE, OTHER = [1.0, 0.0, 3.0, -1.0, 0.5, 2.0], [0.0, 0.0, 1.0, 4.0, -2.0, 1.0]


def gradient(done, kept, **config):
    torch.manual_seed(0)
    agent = PPO(Painter(), PPOConfig(**GROUPED | {"max_grad_norm": 0.0} | config))
    agent.update(next(rollouts(Pictures(done, kept), agent, 1)))
    return agent.policy.mean.grad[0]


def test_the_regions_share_the_log_probability_by_area():
    torch.manual_seed(0)
    step = Step(torch.randn(2, 3, 2, 2), torch.tensor([0.5, 2.0]).view(2, 1, 1, 1))
    value, mask = torch.randn(2, 3, 2, 2), torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    mask[0, 0, :2, :2], mask[0, 0, 2:, 0] = 255, 255  # one cell, and half of the one below it
    regions = Regions("mask", "done", "kept", Grouped)
    inside, outside = regions.log_prob(step, value, {"mask": mask}).T
    density = step.log_prob_map(value)
    expected = (density[0, :, 0, 0] + density[0, :, 1, 0] / 2).sum() / 12
    torch.testing.assert_close(inside, torch.stack([expected, torch.zeros(())]))
    torch.testing.assert_close(inside + outside, step.log_prob(value))


def test_terms_that_agree_earn_the_plain_gradient():
    torch.testing.assert_close(gradient(ONE, ONE, regions=BY_REGION["regions"]), gradient(ONE, ONE))


def test_every_region_earns_its_own_term():
    """Where the edit's term is the same for all, nothing is learned inside; outside, what keeping alone teaches."""
    same = [1.0] * LANES
    credited, kept = gradient(same, OTHER, regions=BY_REGION["regions"]), gradient(OTHER, OTHER)
    assert not credited[:, :2].any() and credited[:, 2:].all()
    torch.testing.assert_close(credited[:, 2:], kept[:, 2:])
    swapped = gradient(OTHER, same, regions=BY_REGION["regions"])
    torch.testing.assert_close(swapped[:, :2], kept[:, :2])
    assert not swapped[:, 2:].any()


def test_each_region_is_clipped_by_itself():
    torch.manual_seed(0)
    agent = PPO(Painter(), PPOConfig(**BY_REGION | {"clip": 0.01}))
    path = next(rollouts(Pictures(ONE, OTHER), agent, 1))
    assert path.extras["region_log_prob"].shape == (1, LANES, 2)
    assert agent.update(path)["clip_fraction"] == 0
    with torch.no_grad():
        agent.policy.mean[0, :, :2] += 1.0  # far away inside, as it was outside
        agent.policy.mean[0, :, 2:] = 0.0
    assert agent.update(path)["clip_fraction"] == pytest.approx(0.5)


def test_statistics_of_both_terms_are_saved():
    def make():
        return PPO(Painter(), PPOConfig(**BY_REGION | {"history": 8}))

    agent, other = make(), make()
    agent.update(next(rollouts(Pictures(ONE, OTHER), agent, 1)))
    other.load_state_dict(agent.state_dict())
    remembered = [list(returns) for judge in other.advantage.judges for returns in judge.past.values()]
    assert remembered == [ONE, OTHER]


def test_what_is_missing_is_named():
    agent = PPO(Painter(), PPOConfig(**GROUPED | {"regions": ("mask", "done", "tidy")}))
    with pytest.raises(ValueError, match="no term 'tidy' of the reward .* there is done, kept"):
        agent.update(next(rollouts(Pictures(ONE, OTHER), agent, 1)))
    agent = PPO(Painter(), PPOConfig(**GROUPED | {"regions": ("focus", "done", "kept")}))
    with pytest.raises(ValueError, match="no observation 'focus' to tell regions apart: there is mask"):
        agent.act({"mask": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)})
    task = choose_by_sign()
    env = TorchVectorEnv(task, 2, autoreset_mode="SameStep", tensors="torch")
    config = PPOConfig(**GROUPED | {"regions": ("sign", "pay", "pay")})
    agent = PPO(StandardPolicy(task.observation_space, task.action_space), config)
    with pytest.raises(ValueError, match="needs a distribution with log_prob_map, not Independent"):
        next(rollouts(env, agent, 1, seed=0))


@pytest.mark.parametrize("setting", [{"advantage": "generalized"}, {"regions": ("mask", "", "kept")}])
def test_impossible_regions_are_refused(setting):
    with pytest.raises(ValueError, match="PPOConfig.regions must name an observation and two terms"):
        PPOConfig(**BY_REGION | setting)
