"""The published networks: their weights load, and act on RGB as they did on BGR."""

from functools import partial

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch.nn.functional import batch_norm, conv2d, relu

from retouch.agents.policies.resnet import Planes, ResNetActor, ResNetCritic, TReLU, load_published, window_planes
from retouch.benchmarks.players import make_player
from retouch.benchmarks.published_speed import compute_as_published
from retouch.envs.random import LaneRandom
from retouch.envs.stroke_paint import StrokePaint

STEPS = 40
ACTION = Box(0.0, 1.0, (65,))


def space(size=32, guidance=()):
    image, layer = Box(0, 255, (3, size, size), np.uint8), Box(0, 255, (1, size, size), np.uint8)
    guides = {"mask": layer, "focus": layer, "window": Box(0.0, 1.0, (4,))}
    seen = {"canvas": image, "target": image, "step": Discrete(STEPS + 1)}
    return Dict(seen | {name: guides[name] for name in guidance})


def observation(size=32, lanes=2):
    torch.manual_seed(0)
    images = torch.randint(256, (2, lanes, 3, size, size), dtype=torch.uint8)
    return {"canvas": images[0], "target": images[1], "step": torch.tensor([0, 10][:lanes])}


def published_weights(planes=9, outputs=65):
    """A state dict as ``baseline/DRL/actor.py`` saves it, at random."""
    torch.manual_seed(1)
    weights = {}

    def convolution(name, wide, wider, kernel):
        weights[f"{name}.weight"] = torch.randn(wider, wide, kernel, kernel) / (wide * kernel**2) ** 0.5

    def normalisation(name, width):
        weights[f"{name}.weight"], weights[f"{name}.bias"] = torch.rand(width) + 0.5, torch.randn(width) * 0.1
        weights[f"{name}.running_mean"] = torch.randn(width) * 0.1
        weights[f"{name}.running_var"] = torch.rand(width) + 0.5
        weights[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", planes, 64, 3)
    normalisation("bn1", 64)
    for stage, (wide, wider) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
        for block, entering in ((0, wide), (1, wider)):
            name = f"layer{stage}.{block}"
            convolution(f"{name}.conv1", entering, wider, 3)
            normalisation(f"{name}.bn1", wider)
            convolution(f"{name}.conv2", wider, wider, 3)
            normalisation(f"{name}.bn2", wider)
        convolution(f"layer{stage}.0.shortcut.0", wide, wider, 1)
        normalisation(f"layer{stage}.0.shortcut.1", wider)
    weights["fc.weight"], weights["fc.bias"] = torch.randn(outputs, 512) * 0.1, torch.randn(outputs) * 0.1
    return weights


def published_forward(weights, x):
    """What the published actor makes of its planes, written from the layers' definition."""

    def normalised(name, x):
        mean, var, scale, shift = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(x, mean, var, scale, shift)

    x = relu(normalised("bn1", conv2d(x, weights["conv1.weight"], stride=2, padding=1)))
    for stage in range(1, 5):
        for block, stride in ((0, 2), (1, 1)):
            name = f"layer{stage}.{block}"
            out = relu(normalised(f"{name}.bn1", conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1)))
            out = normalised(f"{name}.bn2", conv2d(out, weights[f"{name}.conv2.weight"], padding=1))
            if stride == 2:
                x = normalised(f"{name}.shortcut.1", conv2d(x, weights[f"{name}.shortcut.0.weight"], stride=2))
            x = relu(out + x)
    features = torch.nn.functional.avg_pool2d(x, 4).flatten(1)
    return torch.sigmoid(features @ weights["fc.weight"].T + weights["fc.bias"])


def published_planes(obs, size, order):
    canvas, target = (obs[name].float()[:, order] / 255 for name in ("canvas", "target"))
    step = torch.ones(len(canvas), 1, size, size) * obs["step"].view(-1, 1, 1, 1) / STEPS
    place = torch.zeros(1, 2, size, size)
    for i in range(size):
        for j in range(size):
            place[0, 0, i, j], place[0, 1, i, j] = i / (size - 1.0), j / (size - 1.0)
    return torch.cat([canvas, target, step, place.expand(len(canvas), -1, -1, -1)], 1)


@pytest.fixture
def pickled(tmp_path):
    def pickle(weights):
        torch.save(weights, tmp_path / "actor.pkl")
        return tmp_path / "actor.pkl"

    return pickle


@pytest.mark.parametrize("channels, order", [("BGR", [2, 1, 0]), ("RGB", [0, 1, 2])])
def test_a_published_actor_acts_the_same(pickled, channels, order):
    """At 128 px; strokes differ from the published ones in the order of their colour alone."""
    weights, obs = published_weights(), observation(128)
    actor = ResNetActor(space(128), ACTION).eval()
    load_published(actor, pickled(weights), channels)
    with torch.no_grad():
        strokes = actor(obs).view(2, 5, 13)
    expected = published_forward(weights, published_planes(obs, 128, order)).view(2, 5, 13)
    torch.testing.assert_close(strokes[..., :10], expected[..., :10], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(strokes[..., 10:], expected[..., 10:][..., order], atol=1e-5, rtol=1e-4)
    assert (strokes[0] - strokes[1]).abs().max() > 0.01


def test_the_state_dict_keys_are_the_published_ones():
    published, ours = published_weights(), ResNetActor(space(), ACTION).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in published.items()}


@pytest.mark.parametrize(
    "guidance, planes", [((), 9), (("focus",), 10), (("mask", "window"), 12), (("mask", "focus", "window"), 13)]
)
def test_guided_variants_load_too(pickled, guidance, planes):
    actor = ResNetActor(space(guidance=guidance), Box(0.0, 1.0, (78,)))
    load_published(actor, pickled(published_weights(planes, 78)), "RGB")
    guides = {"mask": torch.full((2, 1, 32, 32), 255, dtype=torch.uint8), "window": torch.rand(2, 4)}
    guides["focus"] = guides["mask"] // 2
    assert actor.eval()(observation() | {name: guides[name] for name in guidance}).shape == (2, 78)


def test_guides_come_in_the_published_order():
    obs = observation() | {
        "mask": torch.full((2, 1, 32, 32), 255, dtype=torch.uint8),
        "focus": torch.zeros(2, 1, 32, 32, dtype=torch.uint8),
        "window": torch.tensor([[0.25, 0.5, 0.5, 0.25]] * 2),
    }
    planes = Planes(space(guidance=("mask", "focus", "window")))(obs)
    assert planes[:, 9].max() == 0 and planes[:, 10].min() == 1
    torch.testing.assert_close(planes[:, 11:], window_planes(obs["window"], 32, 32))


def test_window_planes_are_the_published_grid():
    """(affine_grid + 1) / 2, as ``utils/dataloader.py`` has it before it rounds to 8 bits."""
    x, y, w, h = 0.1, 0.2, 0.5, 0.3
    theta = torch.tensor([[[w, 0, 2 * x + w - 1], [0, h, 2 * y + h - 1]]])
    grid = torch.nn.functional.affine_grid(theta, [1, 3, 8, 16], align_corners=False)
    torch.testing.assert_close(window_planes(torch.tensor([[x, y, w, h]]), 8, 16), (grid.permute(0, 3, 1, 2) + 1) / 2)


def test_weights_that_do_not_fit_are_refused_by_name(pickled):
    actor = ResNetActor(space(), ACTION)
    with pytest.raises(ValueError, match="has 13 input planes .* this actor has 9"):
        load_published(actor, pickled(published_weights(13)))
    with pytest.raises(ValueError, match="has 78 numbers of action .* this actor has 65"):
        load_published(actor, pickled(published_weights(9, 78)))
    with pytest.raises(ValueError, match="no published actor: it has no conv1.weight"):
        load_published(actor, pickled({"fc.weight": torch.zeros(65, 512)}))
    with pytest.raises(ValueError, match="channels must be one of BGR, RGB"):
        load_published(actor, pickled(published_weights()), "GBR")


@pytest.mark.parametrize("size", [32, 64])
def test_critics_give_one_number_and_pass_gradients_to_canvas_and_action(size):
    obs = observation(size)
    obs["canvas"] = torch.rand(2, 3, size, size, requires_grad=True)
    action = torch.rand(2, 65, requires_grad=True)
    value = ResNetCritic(space(size))(obs)
    assert value.shape == (2,)
    value.sum().backward()
    assert obs["canvas"].grad.abs().sum() > 0
    quality = ResNetCritic(space(size), ACTION)(obs, action)
    assert quality.shape == (2,)
    quality.sum().backward()
    assert action.grad.abs().sum() > 0


def test_the_critic_needs_no_batch():
    """Weight norm: a state's value does not depend on those beside it."""
    obs, critic = observation(), ResNetCritic(space())
    alone = critic({key: x[:1] for key, x in obs.items()})
    torch.testing.assert_close(critic(obs)[:1], alone, atol=1e-5, rtol=1e-4)


def test_sizes_are_the_published_ones():
    """11.21 M for the actor; 11.18 M for a critic of 12 planes, here of 9."""
    actor, critic = ResNetActor(space(), ACTION), ResNetCritic(space())
    assert sum(p.numel() for p in actor.parameters()) == 11_209_857
    assert sum(p.numel() for p in critic.parameters()) == 11_177_042


def test_a_published_actor_plays_and_paints_by_its_path(tmp_path):
    task = StrokePaint(size=32, steps=2, targets="embedded:2")
    torch.manual_seed(0)
    actor = ResNetActor(task.observation_space, task.action_space).eval()
    torch.save(actor.state_dict(), tmp_path / "actor.pkl")
    settings = ["env.size=32", "env.steps=2", "env.targets=embedded:2"]
    player = make_player("StrokePaint-v0", f"published:{tmp_path / 'actor.pkl'}", settings, "cpu")
    obs = task.observe(task.initial(LaneRandom.seeded([0]), {}))
    action, _ = player.agent.act(obs, explore=False)
    assert action.shape == (1, 65) and not torch.equal(action, actor(obs))  # the published one saw and said BGR
    swapped = {name: obs[name].flip(1) if name != "step" else obs[name] for name in obs}
    said = actor(swapped).view(1, 5, 13)
    expected = torch.cat([said[..., :10], said[..., 10:].flip(-1)], -1).flatten(1)
    torch.testing.assert_close(action, expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(FileNotFoundError, match="actor.pkl"):
        make_player("StrokePaint-v0", "published:nowhere/actor.pkl", settings, "cpu")


@pytest.mark.parametrize("kind", [partial(ResNetActor, action_space=ACTION), ResNetCritic], ids=["actor", "critic"])
def test_what_is_timed_as_published_computes_the_same_numbers_with_planes_one_after_another(kind):
    seen, laid = observation(), []
    network = kind(space()).eval()  # the deviation of two lanes would be mostly rounding
    ours = network(seen)
    assert not network.conv1(network.planes(seen)).is_contiguous()
    compute_as_published(network)
    network.conv1.register_forward_hook(lambda layer, given, out: laid.append(out.is_contiguous()))
    torch.testing.assert_close(network(seen), ours, rtol=1e-4, atol=1e-5)
    assert laid == [True] and not any(isinstance(module, TReLU) for module in network.modules())
