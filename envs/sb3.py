"""A Gymnasium vector environment as a Stable-Baselines3 VecEnv: the batch stays one batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Dict
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn


class SmallImages(BaseFeaturesExtractor):
    """Reads observations whose images may have fewer than 36 pixels a side, which Stable-Baselines3's own cannot::

        PPO("MultiInputPolicy", env, policy_kwargs={"features_extractor_class": SmallImages})
    """

    def __init__(self, observation_space: Dict, width: int = 128):
        images = {key: space.shape or () for key, space in observation_space.items() if is_image_space(space)}
        plain = [get_flattened_obs_dim(space) for key, space in observation_space.items() if key not in images]
        super().__init__(observation_space, sum(plain) + width * len(images))
        self.readers = nn.ModuleDict({key: nn.Flatten() for key in observation_space})
        for key, (channels, *_) in images.items():
            self.readers[key] = nn.Sequential(
                nn.Conv2d(channels, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
                nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
                nn.Linear(64 * 4 * 4, width), nn.ReLU(),
            )  # fmt: skip

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """``[B, features]`` of what Stable-Baselines3 has made floats of."""
        return torch.cat([reader(observations[key]) for key, reader in self.readers.items()], 1)


class SB3VecEnv(VecEnv):
    """Equal, step for step, to SB3's DummyVecEnv over single environments.

    Raises ValueError unless ``env`` speaks NumPy and resets within the step, as Stable-Baselines3 does::

        SB3VecEnv(gym.make_vec("retouch:StrokePaint-v0", num_envs=16, autoreset_mode="SameStep"))
    """

    def __init__(self, env: VectorEnv):
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"Stable-Baselines3 resets within the step: set autoreset_mode='SameStep', not {mode}")
        if getattr(env, "tensors", "numpy") != "numpy":
            raise ValueError("Stable-Baselines3 speaks NumPy: build with tensors='numpy'")
        self.env, self.render_mode = env, env.render_mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self):
        seed = None if self._seeds[0] is None else list(self._seeds)
        obs, info = self.env.reset(seed=seed, options=self._options[0] or None)
        self.reset_infos = split(info, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self):
        obs, reward, terminated, truncated, info = self.env.step(self.actions)
        done = terminated | truncated
        infos = split(info, self.num_envs)
        for lane in done.nonzero()[0]:
            self.reset_infos[lane] = {}
            last = infos[lane]
            infos[lane] = last["final_info"] | {"terminal_observation": last["final_obs"]}
        for lane, told in enumerate(infos):
            told["TimeLimit.truncated"] = bool(truncated[lane] and not terminated[lane])
        return obs, reward.astype(np.float32), done, infos

    def close(self) -> None:
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        return list(self.env.render() or [None] * self.num_envs)  # type: ignore[arg-type]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError(f"the lanes of a batch share one task: cannot set {attr_name!r} for some of them")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError(f"the lanes of a batch share one task: no lane has a method {method_name!r}")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]


def split(info: dict[str, Any], lanes: int) -> list[dict[str, Any]]:
    """Gymnasium's masked arrays as one dict a lane; what tells of ended episodes is split once more."""
    out: list[dict[str, Any]] = [{} for _ in range(lanes)]
    for key, value in info.items():
        if key.startswith("_"):
            continue
        rows = split(value, lanes) if isinstance(value, dict) else value
        for lane in np.flatnonzero(info[f"_{key}"]):
            row = rows[lane]
            out[lane][key] = row.item() if isinstance(row, np.generic) else row
    return out
