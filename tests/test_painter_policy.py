"""The shipped painter: what it sees, what it proposes, what it lays."""

import pytest
import torch
from safetensors.torch import load_file

from retouch.agents.policies.painter import (
    CHANNELS,
    SHAPE,
    Painter,
    StrokeNet,
    octaves,
    stroke_gain,
    stroke_shape,
    variations,
)
from retouch.benchmarks.painter_policies import PAINTER_WEIGHTS
from retouch.simulators.renderers import make_renderer
from retouch.simulators.targets import make_targets


@pytest.fixture(scope="module")
def net() -> StrokeNet:
    shipped = StrokeNet()
    shipped.load_state_dict(load_file(PAINTER_WEIGHTS))
    return shipped


@pytest.fixture(scope="module")
def scenes() -> torch.Tensor:
    return make_targets("embedded:4", size=64, split="test")[torch.arange(3)].image


def begin(target: torch.Tensor, step: int = 0) -> dict[str, torch.Tensor]:
    return {"canvas": torch.zeros_like(target), "target": target, "step": torch.full((len(target),), step)}


def paint(painter: Painter, target: torch.Tensor, steps: int) -> list[torch.Tensor]:
    """The squared error `[B]` after each step, the first for the black canvas."""
    goal = target.float() / 255
    canvas, errors = torch.zeros_like(goal), [goal.square().mean((1, 2, 3))]
    for step in range(steps):
        action = painter(begin(target, step) | {"canvas": (canvas * 255).round().to(torch.uint8)})
        canvas = painter.renderer.paint(canvas, action.view(len(target), -1, SHAPE + 3))
        errors.append((canvas - goal).square().mean((1, 2, 3)))
    return errors


def test_gain_is_what_painting_in_the_best_colour_takes_off_the_error():
    torch.manual_seed(0)
    renderer = make_renderer("analytic", 32)
    canvas, target, shape = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), torch.rand(2, 4, SHAPE)
    alpha = renderer(shape.flatten(0, 1)).view(2, 4, -1)
    gain, colour = stroke_gain(alpha, canvas, target)

    def decrease(number, colour):
        after = renderer.paint(canvas, torch.cat([shape[:, number], colour], 1)[:, None])
        return ((canvas - target).square() - (after - target).square()).sum((1, 2, 3))

    for number in range(4):
        torch.testing.assert_close(gain[:, number], decrease(number, colour[:, number]), rtol=1e-4, atol=1e-3)
        for _ in range(5):
            other = (colour[:, number] + 0.1 * torch.randn(2, 3)).clamp(0, 1)
            assert (decrease(number, other) <= gain[:, number] + 1e-3).all()


def test_a_stroke_of_nothing_gains_nothing():
    gain, colour = stroke_gain(torch.zeros(1, 1, 64), torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))
    assert gain.item() == 0
    assert torch.isfinite(colour).all()


def test_a_proposal_lies_where_its_frame_says():
    shape = stroke_shape(torch.zeros(SHAPE), torch.tensor([15.5, 7.5, 1.0]), 32)
    radius = (0.4 * 8) ** 0.5
    expected = [32 / 63, 16 / 63, 0.5, 0.5, 32 / 63, 16 / 63, *[(4 * radius - 1) / 32] * 2, *[0.880797] * 2]
    torch.testing.assert_close(shape, torch.tensor(expected))


def test_the_same_proposal_an_octave_down_is_twice_as_large():
    output = torch.tensor([0.1, -0.2, 0.9, 0.5, 0.3, -0.4, 0.2, -0.3, 1.0, 0.0])
    fine = stroke_shape(output, torch.tensor([15.5, 15.5, 1.0]), 64)
    coarse = stroke_shape(output, torch.tensor([15.5, 15.5, 2.0]), 64)
    small, large = make_renderer("analytic", 64)(torch.stack([fine, coarse]))
    shrunk = torch.nn.functional.avg_pool2d(large[None], 2)[0]
    assert small[:32, :32].sum() > 20
    assert (small[:32, :32] - shrunk).abs().mean() < 0.005


def test_a_stroke_that_leaves_the_canvas_can_come_back():
    output = torch.zeros(SHAPE, requires_grad=True)
    shape = stroke_shape(output, torch.tensor([-3.0, 7.5, 1.0]), 32)
    assert shape[0] == 0
    shape[0].backward()
    assert output.grad[0] > 0


@pytest.mark.parametrize(("size", "expected"), [(32, [32]), (64, [64, 32]), (96, [96, 48]), (128, [128, 64, 32])])
def test_octaves_go_down_to_about_32_pixels(size, expected):
    canvas, target = torch.zeros(2, 3, size, size), torch.full((2, 3, size, size), 0.1)
    found = octaves(canvas, target)
    assert [tuple(octave.features.shape) for octave in found] == [(2, CHANNELS, side, side) for side in expected]
    for scale, octave in zip((1, 2, 4), found, strict=False):
        torch.testing.assert_close(octave.error, torch.full_like(octave.error, 3 * 17**2 * scale**2 * 0.01))


def test_variations_follow_the_step_alone_and_begin_with_none():
    found = variations(torch.tensor([0, 5, 0]), 3)
    assert found.shape == (3, 3, SHAPE)
    assert (found[:, 0] == 0).all()
    assert torch.equal(found[0], found[2])
    assert (found[0, 1:] - found[1, 1:]).abs().min() > 1e-3
    many = variations(torch.arange(500), 4)[:, 1:].flatten(0, 1)
    torch.testing.assert_close(many.mean(0), torch.zeros(SHAPE), atol=0.03, rtol=0)
    torch.testing.assert_close(many.std(0), torch.ones(SHAPE), atol=0.05, rtol=0)


@pytest.mark.parametrize("size", [64, 96, 128])
def test_actions_are_bundles_in_the_unit_box_at_any_size(net, size):
    target = make_targets("embedded:2", size=size, split="test")[torch.arange(2)].image
    painter = Painter(make_renderer("analytic", size), net, bundle=3)
    action = painter(begin(target))
    assert action.shape == (2, 3 * 13)
    assert 0 <= action.min() and action.max() <= 1
    assert torch.equal(action, painter(begin(target)))


def test_an_image_is_painted_the_same_whatever_the_batch(net, scenes):
    painter = Painter(make_renderer("analytic", 64), net)
    together = torch.stack(paint(painter, scenes, 3))
    alone = torch.stack(paint(painter, scenes[1:2], 3))
    torch.testing.assert_close(together[:, 1:2], alone, rtol=1e-3, atol=1e-6)


def test_another_size_than_the_renderers_is_refused(net, scenes):
    with pytest.raises(ValueError, match=r"draws 128 x 128 pixels, got a canvas of \(64, 64\)"):
        Painter(make_renderer("analytic", 128), net)(begin(scenes))


def test_every_bundle_brings_the_shipped_painter_nearer(net, scenes):
    errors = torch.stack(paint(Painter(make_renderer("analytic", 64), net), scenes, 12))
    assert (errors[1:] <= errors[:-1]).all()
    one_colour = (scenes.float() / 255).var((2, 3), correction=0).mean(1)
    assert (errors[-1] < 0.4 * one_colour).all()


def test_the_shipped_painter_paints_a_photograph(net):
    pytest.importorskip("skimage")
    photos = make_targets("photos", size=128, split="test")
    coffee = photos[torch.tensor([photos.names.index("coffee")])].image
    errors = paint(Painter(make_renderer("analytic", 128), net), coffee, 20)
    assert errors[-1].item() < 0.012  # one colour: 0.060, the optimiser: 0.004
