"""Distributions over any action space, and the standard networks under them."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Text

from retouch.agents.heads import BetaHead, head_for
from retouch.agents.policies.standard import Encoder, StandardActor, StandardCritic, StandardPolicy

SPACES = [Box(0.0, 1.0, (3,)), Box(-2.0, 5.0, (2, 2)), Box(-np.inf, np.inf, (1,)), Discrete(4)]
IMAGE = Box(0, 255, (3, 20, 12), np.uint8)


@pytest.mark.parametrize("space", SPACES)
def test_one_number_per_action(space):
    torch.manual_seed(0)
    distribution = head_for(space, 8)(torch.randn(5, 8))
    action = distribution.sample()
    assert action.shape == (5, *space.shape)
    assert distribution.log_prob(action).shape == distribution.entropy().shape == (5,)
    assert distribution.mode.shape == action.shape


@pytest.mark.parametrize("space", SPACES)
def test_entropy_is_the_mean_surprise(space):
    torch.manual_seed(0)
    distribution = head_for(space, 8)(torch.randn(2, 8))
    surprise = -distribution.log_prob(distribution.sample((20_000,))).mean(0)
    torch.testing.assert_close(surprise, distribution.entropy(), atol=0.05, rtol=0.02)


def test_a_unit_box_is_never_left_nor_its_border_met():
    """However sharp the density: at 1 itself its logarithm would be minus infinity."""
    torch.manual_seed(0)
    head = BetaHead(1, (1,))
    torch.nn.init.constant_(head.linear.bias, 0.0)
    with torch.no_grad():
        head.linear.weight[:] = torch.tensor([[1e4], [-1e4]])
    distribution = head(torch.ones(20_000, 1))
    sample = distribution.sample()
    assert sample.max() < 1 and distribution.log_prob(sample).isfinite().all()


@pytest.mark.parametrize("space", [MultiBinary(3), Text(3), Discrete(3, start=1)])
def test_other_spaces_are_refused(space):
    with pytest.raises(ValueError, match="no head for the action space"):
        head_for(space, 8)


OBSERVATIONS = Dict(picture=IMAGE, mask=Box(0, 255, (1, 20, 12), np.uint8), place=Box(-1, 1, (2, 2)), step=Discrete(11))


def observation():
    torch.manual_seed(0)
    return {
        "picture": torch.randint(256, (4, 3, 20, 12), dtype=torch.uint8),
        "mask": torch.randint(256, (4, 1, 20, 12), dtype=torch.uint8),
        "place": torch.rand(4, 2, 2),
        "step": torch.tensor([0, 1, 5, 10]),
    }


def test_the_encoder_sees_everything():
    encoder, obs = Encoder(OBSERVATIONS), observation()
    features = encoder(obs)
    assert features.shape == (4, encoder.features)
    for key in obs:
        changed = encoder(obs | {key: obs[key].flip(0)})
        assert not torch.allclose(changed, features), key


def test_discrete_numbers_are_scaled_to_one():
    encoder = Encoder(Dict(step=Discrete(11)))
    assert encoder({"step": torch.tensor([0, 5, 10])}).flatten().tolist() == pytest.approx([0.0, 0.5, 1.0])


def test_an_image_of_bytes_is_one_of_floats():
    encoder, obs = Encoder(OBSERVATIONS), observation()
    imagined = obs | {"picture": obs["picture"].float() / 255}
    torch.testing.assert_close(encoder(imagined), encoder(obs))


@pytest.mark.parametrize("size", [1, 3, 7, 32, 65])
def test_images_of_any_size(size):
    encoder = Encoder(Dict(image=Box(0, 255, (3, size, size), np.uint8)))
    assert encoder({"image": torch.zeros(2, 3, size, size, dtype=torch.uint8)}).shape == (2, 256)


def test_observations_without_a_network_are_refused():
    with pytest.raises(ValueError, match="no network for the observation 'switch'"):
        Encoder(Dict(switch=MultiBinary(3)))
    with pytest.raises(ValueError, match="images must be of one size"):
        Encoder(Dict(one=IMAGE, other=Box(0, 255, (3, 8, 8), np.uint8)))


@pytest.mark.parametrize("space", SPACES)
def test_the_policy_begins_nearly_the_same_everywhere(space):
    distribution, value = StandardPolicy(OBSERVATIONS, space)(observation())
    assert value.shape == (4,)
    torch.testing.assert_close(distribution.entropy(), distribution.entropy()[:1].expand(4), atol=0.1, rtol=0.1)


def test_the_actor_stays_inside_its_box_and_reaches_its_corners():
    space = Box(np.array([-1, 10], np.float32), np.array([3, 20], np.float32))
    actor = StandardActor(OBSERVATIONS, space)
    assert (actor.box.stretch(torch.tensor([[-1.0, 1.0]])) == torch.tensor([[-1.0, 20.0]])).all()
    assert all(space.contains(action) for action in actor(observation()).detach().numpy())
    torch.testing.assert_close(actor.box.shrink(torch.tensor([[1.0, 20.0]])), torch.tensor([[0.0, 1.0]]))


def test_the_actor_refuses_what_has_no_end():
    for space in (Discrete(3), Box(-np.inf, np.inf, (2,))):
        with pytest.raises(ValueError, match="a deterministic actor needs a finite Box"):
            StandardActor(OBSERVATIONS, space)


def test_the_critic_judges_states_or_actions():
    space, obs = Box(0.0, 1.0, (3,)), observation()
    assert StandardCritic(OBSERVATIONS)(obs).shape == (4,)
    quality = StandardCritic(OBSERVATIONS, space)
    one, other = quality(obs, torch.zeros(4, 3)), quality(obs, torch.ones(4, 3))
    assert one.shape == (4,) and not torch.allclose(one, other)
