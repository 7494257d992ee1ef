"""A task as a Gymnasium vector environment: one batch, whatever the number of episodes."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from torch import Tensor

from .core import Obs, Options, Task, check_options, make_task, put, restored, take, tensors, total
from .random import LaneRandom

NO_LIMIT = np.iinfo(np.int64).max


class TorchVectorEnv(gym.vector.VectorEnv):
    """``num_envs`` episodes of a task, stepped as one batch on the task's device.

    Equal, step for step, to Gymnasium's SyncVectorEnv over single environments, in all three autoreset modes: lane
    ``i`` of ``reset(seed=s)`` is the single environment seeded ``s + i``. ``tensors="numpy"`` (default) takes and
    gives arrays as other reinforcement-learning code expects; ``tensors="torch"`` leaves everything on the device,
    and then ``info["final_obs"]`` holds the last observation of *every* lane, valid where ``info["_final_obs"]``.

    ``info`` holds the reward's terms as ``reward/NAME`` and, where an episode ended, the task's metrics.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        task: Task | type[Task] | str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        tensors: str = "numpy",
        **options: Any,
    ):
        if tensors not in ("numpy", "torch"):
            raise ValueError(f"tensors must be 'numpy' or 'torch', got {tensors!r}")
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        self.task, self.num_envs = make_task(task, **options), num_envs
        self.limit = max_episode_steps or NO_LIMIT
        self.render_mode, self.tensors = render_mode, tensors
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = self.metadata | {"autoreset_mode": self.autoreset_mode, "render_fps": self.task.render_fps}
        self.single_observation_space, self.single_action_space = self.task.observation_space, self.task.action_space
        self.observation_space = batch_space(self.task.observation_space, num_envs)
        self.action_space = batch_space(self.task.action_space, num_envs)
        self.random: LaneRandom | None = None
        self.state: Any = None
        self.elapsed = np.zeros(num_envs, np.int64)  # on the host: the clock never waits for the device
        self.ended = np.zeros(num_envs, bool)

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: Options | None = None):
        """Start every episode anew, or those of ``options["reset_mask"]`` (``[num_envs]`` bool) alone."""
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(f"reset_mask must be bool [{self.num_envs}] with a True in it, got {mask!r}")
        options = check_options(self.task, options)
        self._seed(seed, mask)
        self._begin(mask, options)
        return self.observe(), {}

    @torch.no_grad()
    def step(self, actions: Tensor | np.ndarray):
        if self.random is None:
            raise gym.error.ResetNeeded("call reset before step")
        if self.autoreset_mode is AutoresetMode.DISABLED and self.ended.any():
            ended = self.ended.nonzero()[0].tolist()
            raise gym.error.ResetNeeded(f"episodes {ended} have ended: reset them with options={{'reset_mask': ...}}")
        restart = self.ended & (self.autoreset_mode is AutoresetMode.NEXT_STEP)
        drawn = self.random.drawn
        self.state, terms = self.task.step(self.state, self._take(actions), self.random)
        self.elapsed = self.elapsed + 1
        terminated, truncated = self._terminated() & ~restart, (self.elapsed >= self.limit) & ~restart
        self.ended = terminated | truncated
        reward = self._masked(total(terms), ~restart)
        if self.ended.any() and self.autoreset_mode is AutoresetMode.SAME_STEP:
            info = self._turn_over(terms, terminated)
        else:
            info = self._info(terms, ~restart) | self._info(self.metrics(terminated), terminated)
            if restart.any():  # their action was ignored: give back what it drew
                self.random.drawn = torch.where(self._mask_tensor(restart), drawn, self.random.drawn)
                self._begin(restart, {})
        return self.observe(), reward, self._mask(terminated), self._mask(truncated), info

    def render(self) -> tuple[np.ndarray, ...] | None:
        if self.render_mode is None:
            gym.logger.warn("no render_mode was given: build the environment with render_mode='rgb_array'")
            return None
        return tuple(self.task.render(self.state).cpu().numpy())

    def observe(self) -> Obs:
        """What the agent sees now, as ``reset`` and ``step`` give it."""
        return self._give(self.task.observe(self.state))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors."""
        if self.random is None:
            raise gym.error.ResetNeeded("there is nothing to save before the first reset")
        return {
            "state": tensors(self.state),
            "random": self.random.state_dict(),
            "elapsed": torch.from_numpy(self.elapsed),
            "ended": torch.from_numpy(self.ended),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on exactly where ``state_dict`` was taken."""
        on_device = {k: v.to(self.task.device) for k, v in saved["random"].items()}
        self.random = LaneRandom(on_device["seed"], on_device["drawn"])
        blank = self.task.initial(self.random[torch.arange(self.num_envs)], {})
        self.state = restored(blank, saved["state"], self.task.device)
        self.elapsed, self.ended = saved["elapsed"].cpu().numpy(), saved["ended"].cpu().numpy()

    def _seed(self, seed: int | Sequence[int | None] | None, mask: np.ndarray) -> None:
        seeds: Sequence[int | None] = [None] * self.num_envs
        if isinstance(seed, (int, np.integer)):
            seeds = [int(seed) + i for i in range(self.num_envs)]
        elif seed is not None:
            seeds = seed
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} environments")
        if seeds[0] is not None:
            super().reset(seed=seeds[0])
        if self.random is None:
            entropy = self.np_random.integers(2**63, size=self.num_envs).tolist()
            self.random = LaneRandom.seeded(entropy, self.task.device)
        given = [i for i, s in enumerate(seeds) if s is not None and mask[i]]
        if given:
            lanes = torch.tensor(given, device=self.task.device)
            self.random.put(lanes, LaneRandom.seeded([seeds[i] for i in given], self.task.device))  # type: ignore[misc]

    @torch.no_grad()
    def _begin(self, mask: np.ndarray, options: Options) -> None:
        """Fresh episodes at ``mask``."""
        assert self.random is not None
        if mask.all():
            self.state = self.task.initial(self.random, options)
        else:
            if self.state is None:
                raise gym.error.ResetNeeded("the first reset must be of every environment")
            lanes = torch.as_tensor(mask.nonzero()[0], device=self.task.device)
            random = self.random[lanes]
            self.state = put(self.state, lanes, self.task.initial(random, options))
            self.random.put(lanes, random)
        self.elapsed = np.where(mask, 0, self.elapsed)
        self.ended = self.ended & ~mask

    def _terminated(self) -> np.ndarray:
        """Asks the device only where the task's horizon leaves it open."""
        if self.task.horizon is None:
            return self.task.terminated(self.state).cpu().numpy()
        return self.elapsed >= self.task.horizon

    def _turn_over(self, terms: dict[str, Tensor], terminated: np.ndarray) -> dict[str, Any]:
        """Same-step mode: begin the successors of ended episodes; the info that tells of both."""
        ended, last = self.ended, self._give(self.task.observe(self.state))
        final_info = self._info(terms, ended) | self._info(self.metrics(terminated), terminated)
        self._begin(ended, {})
        final_obs, mask = (last if self.tensors == "torch" else rows(last, ended)), self._mask(ended)
        final = {"final_obs": final_obs, "_final_obs": mask, "final_info": final_info, "_final_info": mask}
        return self._info(terms, ~ended) | final

    def metrics(self, terminated: np.ndarray) -> dict[str, Tensor]:
        """Of the episodes that ended alone, which may be few: 0 of the others."""
        if not terminated.any():
            return {}
        lanes = torch.as_tensor(terminated.nonzero()[0], device=self.task.device)
        told = self.task.metrics(self.state if terminated.all() else take(self.state, lanes))
        return {name: value.new_zeros(self.num_envs).index_copy(0, lanes, value) for name, value in told.items()}

    def _info(self, values: dict[str, Tensor], mask: np.ndarray) -> dict[str, Any]:
        """Gymnasium's form: every value beside the mask of the lanes that it is true of."""
        if not mask.any():
            return {}
        return {k: self._masked(v, mask) for k, v in values.items()} | {f"_{k}": self._mask(mask) for k in values}

    def _masked(self, value: Tensor, mask: np.ndarray) -> Any:
        if not mask.all():
            value = torch.where(self._mask_tensor(mask), value, 0)
        return value if self.tensors == "torch" else value.double().cpu().numpy()

    def _take(self, actions: Tensor | np.ndarray) -> Tensor:
        if isinstance(actions, Tensor):
            taken = actions.to(self.task.device)
        else:
            array = np.asarray(actions)
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise ValueError("actions must be finite, got NaN or infinity")
            taken = torch.as_tensor(array, device=self.task.device)
        if taken.shape != self.action_space.shape:
            raise ValueError(f"actions must have shape {list(self.action_space.shape or ())}, got {list(taken.shape)}")
        return taken

    def _give(self, obs: Obs) -> Any:
        return obs if self.tensors == "torch" else {k: v.cpu().numpy().copy() for k, v in obs.items()}

    def _mask(self, mask: np.ndarray) -> Any:
        return self._mask_tensor(mask) if self.tensors == "torch" else mask.copy()

    def _mask_tensor(self, mask: np.ndarray) -> Tensor:
        return torch.tensor(mask, device=self.task.device)


def rows(obs: dict[str, np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Gymnasium's form of final observations: an object array ``[B]`` of one dict a lane, None outside ``mask``."""
    out = np.full(len(mask), None, dtype=object)
    for lane in mask.nonzero()[0]:
        out[lane] = {k: v[lane] for k, v in obs.items()}
    return out
