"""Policies for faces that need no run: those that learn nothing, to compare with, and the one that we ship."""

from pathlib import Path

import torch
from gymnasium.spaces import Dict
from safetensors.torch import load_file
from torch import Tensor

from ..agents.policies.standard import StandardPolicy
from ..agents.rollout import Agent, Obs
from ..envs.core import Task
from ..envs.face_controls import SCALE
from ..envs.face_dialog import FaceDialog
from ..simulators.faces import ExactFaces

EDITOR_WEIGHTS = Path(__file__).parents[1] / "agents" / "weights" / "face-editor.safetensors"
EDITOR_SEES = ("degrees", "latent", "micro_step", "proposal", "request", "round")
EDITOR_WIDTHS = (256, 256)


class Editor(Agent):
    """The agent that we ship, or one trained as it was.

    Raises ValueError for a task that is not of the shape that it was trained on.
    """

    def __init__(self, task: Task, weights: Path = EDITOR_WEIGHTS):
        spaces = face_task(task).observation_space.spaces
        if missing := [name for name in EDITOR_SEES if name not in spaces]:
            raise ValueError(f"the shipped agent has to see {', '.join(missing)} too: name them in env.show")
        seen = Dict({name: spaces[name] for name in EDITOR_SEES})
        self.policy = StandardPolicy(seen, task.action_space, EDITOR_WIDTHS)
        try:
            self.policy.load_state_dict(load_file(weights))
        except RuntimeError as error:  # what torch raises for weights of other shapes
            raise ValueError("the shipped agent edits embedded faces by env.control=residual, no others") from error
        self.policy.to(task.device).requires_grad_(False).eval()

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        distribution, _ = self.policy(obs)
        return (distribution.sample() if explore else distribution.mode), {}


class Field(Agent):
    """The published editor: follows what the semantic field proposes.

    Raises ValueError for a task that neither shows proposals nor takes them.
    """

    def __init__(self, task: Task):
        self.task = face_task(task)
        control = self.task.controls.control
        if control == "fields" or (control == "latent" and "proposal" not in task.observation_space.spaces):
            raise ValueError(f"nothing proposes edits here: give env.control=residual, got {control!r}")

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        if self.task.controls.control == "latent":
            left = self.task.micro_steps - obs["micro_step"]
            return SCALE * obs["proposal"] / left[:, None], {}
        return self._residual(obs, 1.0), {}

    def _residual(self, obs: Obs, followed: float) -> Tensor:
        lanes = len(next(iter(obs.values())))
        action = torch.zeros(lanes, *self.task.action_space.shape, device=self.task.device)
        action[:, 0] = followed
        return action


class Nothing(Field):
    """Leaves every face as it is."""

    def __init__(self, task: Task):
        self.task = face_task(task)

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        return self._residual(obs, -1.0 if self.task.controls.control == "residual" else 0.0), {}


class Oracle(Agent):
    """Edits what is asked for and nothing else, as the embedded world alone can: the upper reference, and a teacher.

    With several steps a round it goes straight, which leaves the faces of the same person a little on the way, is there
    one step before the last, and follows the field in that: who learns from it is corrected by the field. Steps along
    the faces of that person, degree by degree, taught no more. Raises ValueError for other worlds, and for the control
    "fields".
    """

    def __init__(self, task: Task):
        self.task = face_task(task)
        if not isinstance(self.task.world, ExactFaces) or self.task.controls.control == "fields":
            raise ValueError("the oracle needs the embedded world, and env.control=residual or latent")
        self.world = self.task.world

    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        return self(obs), {}

    def __call__(self, obs: Obs) -> Tensor:
        """The actions ``[B, A]``."""
        controls, steps = self.task.controls, self.task.micro_steps
        left = (steps - obs["micro_step"])[:, None]
        missing = self.world.reach(obs["latent"], obs["degrees"] + obs["request"]) - obs["latent"]
        if controls.control == "latent":
            return SCALE * missing / left
        spare = int(steps > 1)
        last = (left == 1) & (spare == 1)
        own = missing * steps / (controls.radius * (left - spare).clamp_min(1))
        return torch.cat([2.0 * last - 1, own.clamp(-1, 1) * ~last], 1)


def face_task(task: Task) -> FaceDialog:
    assert isinstance(task, FaceDialog)  # ``NAMED`` said so
    return task
