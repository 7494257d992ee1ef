"""What every task promises, checked on all of them."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv

from retouch.envs.core import tensors
from retouch.envs.random import LaneRandom
from retouch.envs.sb3 import SB3VecEnv

MODES = list(AutoresetMode)


def same(a, b, tolerance=0.0):
    """Equal structure, dtypes and numbers, object arrays and masks included; with a ``tolerance``, of floats, a drawn
    picture may round to the next level."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k], tolerance) for k in a)
    if isinstance(a, np.ndarray) and a.dtype == object:
        pairs = list(zip(a, b, strict=True))
        return all((x is None and y is None) or same(x, y, tolerance) for x, y in pairs)
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind == "f":  # NaN is what a metric says of an episode that it does not speak of
        close = a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    elif a.dtype == np.uint8 and a.shape == b.shape:
        close = np.abs(a.astype(int) - b).max(initial=0) <= (tolerance > 0)
    else:
        close = np.array_equal(a, b)
    return a.shape == b.shape and a.dtype == b.dtype and close


def equal(state, other):
    """The same numbers, in the states within them too; NaN is what nobody knows."""
    return same(tensors(state), tensors(other))


def play(env, actions, mode):
    """Everything that ``env`` says over ``actions``, ended episodes reset by hand where nothing else does."""
    said = [env.reset(seed=7)]
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        said.append((obs, reward, terminated, truncated, info))
        if mode is AutoresetMode.DISABLED and (ended := terminated | truncated).any():
            said.append(env.reset(options={"reset_mask": ended}))
    return said


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("mode", MODES)
def test_native_batch_is_sync_vector_env(task_id, small, mode, limit):
    kwargs = dict(small) | ({"max_episode_steps": limit} if limit else {})
    native = gym.make_vec(task_id, num_envs=3, autoreset_mode=mode, **kwargs)
    one_by_one = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": mode}}
    sync = gym.make_vec(task_id, num_envs=3, **one_by_one, **kwargs)
    native.action_space.seed(0)
    actions = [native.action_space.sample() for _ in range(8)]
    ours, theirs = play(native, actions, mode), play(sync, actions, mode)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert all(same(x, y, tolerance=1e-6) for x, y in zip(a, b, strict=True))


def test_the_native_batch_is_the_default_and_async_works(task_id, small):
    assert type(gym.make_vec(task_id, num_envs=2, **small).unwrapped).__name__ == "TorchVectorEnv"
    env = gym.make_vec(task_id, num_envs=2, vectorization_mode="async", vector_kwargs={"context": "spawn"}, **small)
    native = gym.make_vec(task_id, num_envs=2, **small)
    try:
        assert same(env.reset(seed=3)[0], native.reset(seed=3)[0], tolerance=1e-6)
    finally:
        env.close()


def test_a_lane_does_not_depend_on_the_batch(task_id, small):
    wide, narrow = (gym.make_vec(task_id, num_envs=n, **small) for n in (5, 2))
    wide.action_space.seed(0)
    a, _ = wide.reset(seed=11)
    b, _ = narrow.reset(seed=11)
    for _ in range(3):
        assert same({k: v[:2] for k, v in a.items()}, b, tolerance=1e-6)
        actions = wide.action_space.sample()
        a, b = wide.step(actions)[0], narrow.step(actions[:2])[0]


def test_sb3_adapter_is_dummy_vec_env(task_id, small):
    ours = SB3VecEnv(gym.make_vec(task_id, num_envs=3, autoreset_mode="SameStep", **small))
    theirs = DummyVecEnv([lambda: gym.make(task_id, **small)] * 3)
    ours.seed(5), theirs.seed(5)
    assert same(dict(ours.reset()), dict(theirs.reset()), tolerance=1e-6)
    ours.action_space.seed(0)
    for _ in range(8):
        actions = np.stack([ours.action_space.sample() for _ in range(3)])
        (obs_a, reward_a, done_a, info_a), (obs_b, reward_b, done_b, info_b) = ours.step(actions), theirs.step(actions)
        assert same(dict(obs_a), dict(obs_b), 1e-6) and same(reward_a, reward_b, 1e-6) and same(done_a, done_b)
        for a, b in zip(info_a, info_b, strict=True):
            assert a.keys() == b.keys() and all(same(a[k], b[k], 1e-6) for k in a)


def test_sb3_adapter_refuses_other_modes(task_id, small):
    with pytest.raises(ValueError, match="SameStep"):
        SB3VecEnv(gym.make_vec(task_id, num_envs=2, **small))


@pytest.mark.filterwarnings("ignore")
def test_both_checkers_accept_one_episode(task_id, small):
    large = small | ({"size": 64} if "size" in small else {})  # SB3 calls an image below 36 pixels too small
    env = gym.make(task_id, **small)
    check_env(env.unwrapped)
    sb3_check_env(gym.make(task_id, **large))
    assert env.spec.id == task_id


def test_the_spec_survives_json_and_pickle(task_id, small):
    spec = gym.make(task_id, **small).spec
    again = gym.make(gym.envs.registration.EnvSpec.from_json(spec.to_json()))
    assert again.spec.kwargs == spec.kwargs


def test_shapes_types_and_spaces(task_id, small):
    env = gym.make_vec(task_id, num_envs=4, tensors="torch", autoreset_mode="SameStep", **small)
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(5):
        obs, reward, terminated, truncated, _ = env.step(torch.from_numpy(env.action_space.sample()))
        assert reward.shape == (4,) and reward.dtype == torch.float32 and reward.isfinite().all()
        assert terminated.dtype == truncated.dtype == torch.bool
        for lane in range(4):
            assert env.single_observation_space.contains({k: v[lane].numpy() for k, v in obs.items()})


def test_same_seed_same_trajectory_and_lanes_differ(task_id, small):
    env = gym.make_vec(task_id, num_envs=8, **small)
    first, again, other = (env.reset(seed=seed)[0] for seed in (3, 3, 4))
    assert same(first, again) and not same(first, other)
    assert any(len(np.unique(v.reshape(8, -1), axis=0)) > 1 for v in first.values())


def test_unseeded_episodes_go_on_differing(task_id, small):
    env = gym.make(task_id, **small)
    start, follow = env.reset(seed=0)[0], env.reset()[0]
    assert not same(start, follow)
    assert same(env.reset(seed=0)[0], start) and same(env.reset()[0], follow)


def test_methods_do_not_modify_their_arguments(task_id, small):
    task = gym.make(task_id, **small).unwrapped.task
    rng = LaneRandom.seeded(range(4))
    state = task.initial(rng, {})
    before = copy.deepcopy(state)
    action = torch.stack([torch.as_tensor(task.action_space.sample()) for _ in range(4)])
    task.step(state, action, rng)
    task.observe(state), task.terminated(state), task.metrics(state), task.render(state)
    assert equal(state, before)


def test_numpy_observations_are_the_users_own(task_id, small):
    env = gym.make_vec(task_id, num_envs=2, **small)
    obs, _ = env.reset(seed=0)
    kept = copy.deepcopy(obs)
    for value in obs.values():
        value[:] = 0
    assert same(env.unwrapped.observe(), kept)


def test_actions_are_projected_onto_the_space(task_id, small):
    task = gym.make(task_id, **small).unwrapped.task
    if not isinstance(task.action_space, Box):
        pytest.skip("only boxes have an outside")
    state = task.initial(LaneRandom.seeded(range(4)), {})
    low, high = torch.as_tensor(task.action_space.low), torch.as_tensor(task.action_space.high)
    wild = 3 * high * torch.randn(4, *task.action_space.shape)
    both = wild, wild.clamp(low, high)
    (outside, _), (inside, _) = (task.step(state, action, LaneRandom.seeded(range(4))) for action in both)
    assert equal(outside, inside)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_saved_batch_goes_on_as_if_never_stopped(task_id, small, mode):
    env, other = (gym.make_vec(task_id, num_envs=3, autoreset_mode=mode, **small) for _ in range(2))
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(9)]
    env.reset(seed=0)
    for action in actions[:3]:
        env.step(action)
    other.unwrapped.load_state_dict(copy.deepcopy(env.unwrapped.state_dict()))
    for action in actions[3:]:
        a, b = env.step(action), other.step(action)
        assert all(same(x, y) for x, y in zip(a, b, strict=True))


def test_frames_and_video(task_id, small, tmp_path):
    env = gym.make(task_id, render_mode="rgb_array", **small)
    env = gym.wrappers.RecordVideo(env, str(tmp_path / "video"), disable_logger=True)
    env.reset(seed=0)
    frame = env.render()
    assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
    done = False
    while not done:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        done = terminated or truncated
    env.close()
    (video,) = tmp_path.rglob("*.mp4")
    assert video.stat().st_size > 0


def step_with(value, shape=None):
    def call(task_id, small):
        env = gym.make_vec(task_id, num_envs=2, **small)
        env.reset(seed=0)
        env.step(np.full(shape or env.action_space.shape, value, np.float32))

    return call


BAD_CALLS = {
    "sise": lambda task_id, small: gym.make(task_id, **small, sise=3),
    "tarket": lambda task_id, small: gym.make(task_id, **small).reset(options={"tarket": 1}),
    "numpy": lambda task_id, small: gym.make_vec(task_id, num_envs=2, tensors="jax", **small),
    "finite": step_with(np.nan),
    "shape": step_with(0.0, (3, 3, 3)),
}


@pytest.mark.parametrize("word", BAD_CALLS)
def test_bad_input_is_refused_by_name(task_id, small, word):
    with pytest.raises(ValueError, match=word):
        BAD_CALLS[word](task_id, small)


def test_a_disabled_reset_is_the_users_duty(task_id, small):
    env = gym.make_vec(task_id, num_envs=2, autoreset_mode="Disabled", max_episode_steps=1, **small)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    with pytest.raises(gym.error.ResetNeeded, match="reset_mask"):
        env.step(env.action_space.sample())


@pytest.mark.gpu
def test_the_device_changes_nothing_but_rounding(task_id, small):
    on_cpu, on_gpu = (gym.make_vec(task_id, num_envs=4, device=d, **small) for d in ("cpu", "cuda"))
    on_cpu.action_space.seed(0)
    a, b = on_cpu.reset(seed=0)[0], on_gpu.reset(seed=0)[0]
    assert same(a, b)
    for _ in range(2):
        action = on_cpu.action_space.sample()
        (_, reward_a, *_), (_, reward_b, *_) = on_cpu.step(action), on_gpu.step(action)
        assert np.allclose(reward_a, reward_b, atol=1e-4)
