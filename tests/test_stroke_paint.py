"""What StrokePaint alone promises."""

import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch

from retouch import backends
from retouch.envs.core import as_unit
from retouch.envs.random import LaneRandom
from retouch.envs.stroke_paint import StrokePaint

GUIDED = {"bilevel": True, "guidance": ["mask", "focus", "window"]}


def small(**kwargs):
    return StrokePaint(**({"size": 32, "steps": 4, "strokes": 3, "targets": "embedded:8"} | kwargs))


def begin(task, lanes=3, **options):
    return task.initial(LaneRandom.seeded(range(lanes)), options)


def actions(task, lanes=3, seed=0):
    return torch.rand(lanes, *task.action_space.shape, generator=torch.Generator().manual_seed(seed))


def play(task, state, steps):
    terms = []
    for step in range(steps):
        state, told = task.step(state, actions(task, len(state.step), step), None)
        terms.append(told)
    return state, terms


def test_the_published_shapes_are_the_defaults():
    task = StrokePaint(targets="embedded:1")
    assert task.action_space.shape == (65,) and task.horizon == 40
    assert task.observation_space["canvas"].shape == (3, 128, 128)


def test_the_canvas_starts_in_the_asked_colour():
    assert as_unit(begin(small()).canvas).max() == 0
    red = begin(small(canvas=[1.0, 0.0, 0.0])).canvas
    assert red[:, 0].min() == 1 and red[:, 1:].max() == 0
    with pytest.raises(ValueError, match="RGB"):
        small(canvas=2.0)


def test_the_rewards_of_an_episode_sum_to_the_gain_of_the_whole():
    task = small()
    state, terms = play(task, begin(task), 4)
    summed = sum(told["reward/l2"] for told in terms)
    target = as_unit(state.target)
    start, end = target.square().mean((1, 2, 3)), (state.canvas - target).square().mean((1, 2, 3))
    assert torch.allclose(summed, (start - end) / start, atol=1e-5)


def test_the_end_is_a_termination_after_the_last_bundle():
    task = small()
    state = begin(task)
    for step in range(4):
        assert not task.terminated(state).any()
        state, _ = task.step(state, actions(task, seed=step), None)
    assert task.terminated(state).all() and task.observe(state)["step"].tolist() == [4, 4, 4]


def test_painting_the_target_colour_helps_and_the_opposite_harms():
    task = small(strokes=1)
    white = np.full((32, 32, 3), 255, np.uint8)
    state = begin(task, image=white)
    stroke = torch.tensor([[0.2, 0.2, 0.5, 0.5, 0.8, 0.8, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]]).repeat(3, 1)
    after, terms = task.step(state, stroke, None)
    assert (terms["reward/l2"] > 0.1).all()
    stroke[:, 10:] = 0
    assert (task.step(after, stroke, None)[1]["reward/l2"] < -0.1).all()


@pytest.mark.parametrize("kwargs", [{}, GUIDED | {"reward": {"l2": 1.0, "foreground": 2.0, "focus": 10.0}}])
def test_imagination_agrees_with_the_environment(kwargs):
    task = small(**kwargs)
    state, _ = play(task, begin(task), 2)
    action = actions(task, seed=9)
    after, terms = task.step(state, action, None)
    imagined, reward = task.imagine(task.observe(state), action)
    assert torch.allclose(reward, sum(terms.values()), atol=0.02)  # the observation is rounded to 8 bits
    assert (imagined["canvas"] - after.canvas).abs().max() < 0.5 / 255 + 1e-6
    exact, exact_reward = task.imagine(task.observe(state) | {"canvas": state.canvas}, action)
    assert torch.allclose(exact["canvas"], after.canvas, atol=1e-6)
    assert torch.allclose(exact_reward, sum(terms.values()), atol=1e-6)


def test_imagination_is_differentiable_in_action_and_canvas():
    task = small()
    obs = task.observe(begin(task))
    action = actions(task).requires_grad_(True)
    first, _ = task.imagine(obs, action)
    _, reward = task.imagine(first, actions(task, seed=1))
    reward.sum().backward()
    assert action.grad.isfinite().all() and (action.grad.abs().sum(1) > 0).all()


def test_imagination_needs_what_the_reward_looks_at():
    task = small(reward="focus")
    obs = task.observe(begin(task))
    with pytest.raises(ValueError, match="focus"):
        task.imagine(obs, actions(task))


def test_two_levels_keep_to_their_sides():
    task = small(**GUIDED, strokes=4)
    state = begin(task)
    mask = as_unit(state.mask)
    blue = torch.tensor([0.1, 0.1, 0.5, 0.5, 0.9, 0.9, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    red = torch.cat([blue[:10], torch.tensor([1.0, 0.0, 0.0])])
    painted, _ = task.step(state, torch.cat([blue, blue, red, red]).repeat(3, 1), None)
    outside, inside = (mask == 0).expand_as(painted.canvas), (mask == 1).expand_as(painted.canvas)
    assert (painted.canvas[:, :1][outside[:, :1]] == 0).all()  # no red, and no black hole, beyond the object
    assert (painted.canvas[:, 2:][inside[:, :1]] == 0).all()  # no blue within it
    assert (painted.canvas[:, 2:][outside[:, :1]] > 0.9).any() and (painted.canvas[:, :1][inside[:, :1]] > 0.9).any()


def test_stroke_counts_are_equal_with_and_without_guidance():
    plain, guided = small(strokes=5), small(strokes=5, **GUIDED)
    assert plain.action_space == guided.action_space and plain.units_per_step == guided.units_per_step == 5


def test_info_carries_each_term_and_the_reward_is_their_sum():
    weights = {"l2": 1.0, "wgan": 0.5, "foreground": 2.0, "foreground_wgan": 0.1, "focus": 3.0}
    env = gym.make("retouch:StrokePaint-v0", size=32, steps=2, strokes=2, targets="embedded:4", reward=weights)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(env.action_space.sample())
    assert list(info) == [f"reward/{name}" for name in weights]
    assert reward == pytest.approx(sum(info.values()), abs=1e-6)
    *_, info = env.step(env.action_space.sample())
    assert {"l2", "psnr", "ssim", "foreground_l2", "background_l2"} <= set(info)


def test_learned_rewards_learn_from_what_was_painted():
    task = small(reward={"wgan": 1.0, "foreground_wgan": 1.0}, guidance=["mask", "window"])
    state, _ = play(task, begin(task, 8), 2)
    before = [p.clone() for critic in task.learned.values() for p in critic.critic.parameters()]
    metrics = task.learn(task.observe(state))
    after = [p for critic in task.learned.values() for p in critic.critic.parameters()]
    assert set(metrics) == {f"{name}/{key}" for name in task.learned for key in ("gap", "penalty")}
    assert sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) > len(before) / 2


def test_reset_paints_the_asked_target():
    env = gym.make("retouch:StrokePaint-v0", size=32, steps=2, targets="embedded:8")
    first = env.reset(seed=0, options={"index": 5})[0]["target"]
    assert np.array_equal(first, env.reset(seed=1, options={"index": 5})[0]["target"])
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    shown = env.reset(options={"image": picture})[0]["target"]
    assert np.array_equal(shown, picture.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "options, words",
    [({"index": 99}, "0..7"), ({"index": [1, 2]}, "one number"), ({"image": np.zeros((3, 3))}, "uint8")],
)
def test_reset_refuses_what_it_cannot_paint(options, words):
    env = gym.make("retouch:StrokePaint-v0", size=32, targets="embedded:8")
    with pytest.raises(ValueError, match=words):
        env.reset(seed=0, options=options)


@pytest.mark.parametrize(
    "kwargs, words",
    [
        ({"reward": "l3"}, "wgan"),
        ({"guidance": ["depth"]}, "window"),
        ({"strokes": 0}, "strokes"),
        ({"bilevel": True, "strokes": 1}, "strokes"),
        ({"renderer": "watercolour"}, "analytic"),
        ({"targets": "nowhere/at/all"}, "nowhere"),
    ],
)
def test_bad_arguments_are_refused_by_name(kwargs, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        small(**kwargs)


def test_compiled_it_steps_as_plain_and_survives_a_pickle(monkeypatch):
    """Traced as for the compiler, which is left out."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    backends.compiled.cache_clear()
    strokes, after = torch.rand(2, 3 * 13), []
    for task in (small(), pickle.loads(pickle.dumps(small(compile=True)))):
        state = begin(task, lanes=2)
        state, terms = task.step(state, strokes, None)
        after.append((task.observe(state)["canvas"].float(), *terms.values()))
    backends.compiled.cache_clear()
    torch.testing.assert_close(after[1], after[0])
