"""Stable-Baselines3's PPO on ImageEdit."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from retouch.benchmarks import edit_sb3
from retouch.envs.sb3 import SmallImages


@pytest.mark.parametrize("control", ["guidance", "noise"])
def test_plain_gym_make_is_all_it_takes(model, control):
    env = gym.make("retouch:ImageEdit-v0", model=model, edits="embedded:8", steps=2, control=control, reward="l1")
    reads = {"features_extractor_class": SmallImages}
    agent = PPO("MultiInputPolicy", env, n_steps=4, batch_size=4, n_epochs=1, policy_kwargs=reads, seed=0)
    before = [parameter.clone() for parameter in agent.policy.parameters()]
    agent.learn(4)
    assert any(not torch.equal(old, new) for old, new in zip(before, agent.policy.parameters(), strict=True))
    obs, _ = env.reset(seed=3)
    action, _ = agent.predict(obs, deterministic=True)
    assert action.shape == env.action_space.shape and env.action_space.contains(action)


def test_small_images_are_read_beside_the_rest(model):
    space = gym.make("retouch:ImageEdit-v0", model=model, edits="embedded:8", steps=2).observation_space
    reader = SmallImages(space, width=16)
    told = {"source": torch.rand(3, 3, 32, 32), "instruction": torch.zeros(3, 10), "t": torch.zeros(3, 3)}
    features = reader(told | {"latent": torch.zeros(3, 48, 8, 8)})
    assert features.shape == (3, reader.features_dim) == (3, 16 + 10 + 3 + 48 * 64)
    other = reader(told | {"latent": torch.zeros(3, 48, 8, 8), "source": torch.rand(3, 3, 32, 32)})
    assert not torch.equal(features, other)


def test_what_is_learned_is_compared_and_kept(model, tmp_path, monkeypatch):
    for name, value in {"LANES": 2, "EPISODES": 4}.items():
        monkeypatch.setattr(edit_sb3, name, value)
    table = edit_sb3.compare("guidance", model, seeds=1, steps=40, out=tmp_path)
    assert set(table) == set(edit_sb3.SHOWN) and table == json.loads((tmp_path / "guidance.json").read_text())
    middle, low, high = table["l1"]["gain"]
    assert low <= middle <= high and np.isclose(table["l1"]["after"] - table["l1"]["before"], middle)
    monkeypatch.setattr(PPO, "learn", None)  # what is kept is not trained again
    assert edit_sb3.compare("guidance", model, seeds=1, steps=40, out=tmp_path) == table
