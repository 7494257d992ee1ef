"""Gradient descent on strokes."""

import pytest
import torch

from retouch.benchmarks.optimise import descend, optimise
from retouch.simulators.renderers import make_renderer
from retouch.simulators.targets import make_targets


@pytest.fixture(scope="module")
def target() -> torch.Tensor:
    return make_targets("embedded:2", size=64, split="test")[torch.arange(2)].image.float() / 255


def test_strokes_come_as_many_as_asked_and_paint_what_is_reported(target):
    reports, renderer = [], make_renderer("analytic", 64)
    strokes = optimise(target, 25, renderer, steps=4, polish=2, progress=lambda *report: reports.append(report))
    assert strokes.shape == (2, 25, 13)
    assert 0 <= strokes.min() and strokes.max() <= 1
    assert [count for count, _ in reports] == [20, 25, 25]
    torch.testing.assert_close(renderer.paint(torch.zeros_like(target), strokes), reports[-1][1])
    errors = [(canvas - target).square().mean().item() for _, canvas in reports]
    assert errors[2] <= errors[1] < errors[0] < 0.5 * target.var((2, 3)).mean().item()


def test_the_same_seed_finds_the_same_strokes(target):
    renderer = make_renderer("analytic", 64)
    first, again, other = (optimise(target, 4, renderer, steps=2, polish=1, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_goes_on_from_a_canvas(target):
    strokes = optimise(target, 3, make_renderer("analytic", 64), canvas=target, steps=2, polish=1)
    painted = make_renderer("analytic", 64).paint(target, strokes)
    assert (painted - target).square().mean() < 1e-3


def test_descent_finds_the_colour_of_a_stroke_and_never_returns_a_worse_one():
    renderer, canvas = make_renderer("analytic", 32), torch.zeros(1, 3, 32, 32)
    wanted = torch.tensor([[[0.3, 0.3, 0.5, 0.5, 0.7, 0.7, 0.4, 0.4, 0.9, 0.9, 0.8, 0.2, 0.5]]])
    start = wanted.clone()
    start[..., 10:] = 0.5
    target = renderer.paint(canvas, wanted)
    found, painted = descend(canvas, target, start, renderer, steps=60, rate=0.03)
    assert (painted - target).square().mean() < 0.02 * (renderer.paint(canvas, start) - target).square().mean()
    same, _ = descend(canvas, target, wanted, renderer, steps=5, rate=0.5)
    assert torch.equal(same, wanted)


def test_no_strokes_are_refused(target):
    with pytest.raises(ValueError, match="strokes must be at least 1, got 0"):
        optimise(target, 0, make_renderer("analytic", 64))
