"""Any Gymnasium vector environment, seen by our agents: tensors in, tensors out."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from torch import Tensor

from .core import Obs
from .vector import TorchVectorEnv


class TensorVectorEnv(VectorWrapper):
    """NumPy arrays become tensors on ``device``; an observation that is one array becomes ``{"obs": array}``.

    ``info["final_obs"]`` holds the last observation of every lane, valid where ``info["_final_obs"]``, as
    ``TorchVectorEnv(tensors="torch")`` gives it. Raises ValueError unless ``env`` resets within the step.
    """

    def __init__(self, env: VectorEnv, device: str | torch.device = "cpu"):
        super().__init__(env)
        if env.metadata.get("autoreset_mode") is not AutoresetMode.SAME_STEP:
            raise ValueError("agents learn from environments that reset within the step: AutoresetMode.SAME_STEP")
        self.device = torch.device(device)
        self.named = isinstance(env.single_observation_space, gym.spaces.Dict)
        space = env.single_observation_space
        self.single_observation_space = space if self.named else gym.spaces.Dict(obs=space)

    def reset(self, *, seed: Any = None, options: Any = None):
        obs, info = self.env.reset(seed=seed, options=options)
        return self._obs(obs), info

    def step(self, actions: Tensor):
        space = self.env.single_action_space
        array = actions.cpu().numpy()
        if isinstance(space, gym.spaces.Box):
            array = np.clip(array, space.low, space.high)
        obs, reward, terminated, truncated, info = self.env.step(array)
        after = self._obs(obs)
        if "final_obs" in info:
            info = info | {"final_obs": self._final(after, info)}
        return after, self._tensor(reward).float(), self._tensor(terminated), self._tensor(truncated), info

    def _final(self, obs: Obs, info: dict[str, Any]) -> Obs:
        out = {k: v.clone() for k, v in obs.items()}
        for lane in np.flatnonzero(info["_final_obs"]):
            last = info["final_obs"][lane]
            for key, value in (last if self.named else {"obs": last}).items():
                out[key][lane] = self._tensor(np.asarray(value))
        return out

    def _obs(self, obs: Any) -> Obs:
        return {k: self._tensor(v) for k, v in (obs if self.named else {"obs": obs}).items()}

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.array(array), device=self.device)


def as_tensors(env: VectorEnv, device: str | torch.device = "cpu") -> VectorEnv:
    """``env`` in tensors; a native batch that speaks them already stays as it is."""
    native = isinstance(env, TorchVectorEnv) and env.tensors == "torch"
    return env if native else TensorVectorEnv(env, device)
