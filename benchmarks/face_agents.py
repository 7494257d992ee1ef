"""The agents that learn to edit faces in ways of their own, and which tasks they can play."""

from torch import nn

from ..agents.edit_tracking import EditTracking, EditTrackingConfig
from ..agents.imitation import Imitation, ImitationConfig
from ..agents.policies.edit_tracker import EditTracker
from ..agents.rollout import Agent
from ..envs.core import Task
from ..envs.face_dialog import FaceDialog
from ..simulators.faces import ExactFaces
from .face_policies import Oracle, face_task

TRACKED = ("latent", "round", "proposals", "goal")  # what the losses of the published policy need to see
TAUGHT = ("latent", "degrees", "request", "micro_step")  # and the teacher


def edit_tracker(task: Task, config: EditTrackingConfig) -> Agent:
    """The published policy with one of its losses."""
    return EditTracking(EditTracker(face_task(task).width).to(task.device), config)


def trackable(task: Task) -> str | None:
    """What ``task`` lacks for it, if anything."""
    if not isinstance(task, FaceDialog) or task.controls.control != "latent":
        return "it edits faces by FaceDialog-v0 with env.control=latent"
    return unseen(task, TRACKED)


def imitation(task: Task, policy: nn.Module, config: ImitationConfig) -> Agent:
    """Learns from the oracle what it would do."""
    return Imitation(policy, Oracle(task), config)


def teachable(task: Task) -> str | None:
    """What ``task`` lacks for that, if anything."""
    if not isinstance(task, FaceDialog) or not isinstance(task.world, ExactFaces) or task.controls.control == "fields":
        return "it needs a teacher, and only FaceDialog-v0 on the embedded faces has one"
    return unseen(task, TAUGHT)


def unseen(task: Task, names: tuple[str, ...]) -> str | None:
    missing = [name for name in names if name not in task.observation_space.spaces]
    return f"env.show must name {', '.join(missing)} too" if missing else None
