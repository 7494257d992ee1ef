"""Painters that need no run: the one that we ship, and those that were published."""

from pathlib import Path

from gymnasium.spaces import Box
from safetensors.torch import load_file

from ..agents.policies.painter import Painter, StrokeNet
from ..agents.policies.resnet import ResNetActor, load_published
from ..agents.rollout import Agent
from ..envs.core import Task
from ..envs.stroke_paint import StrokePaint
from .policies import Fixed

PAINTER_WEIGHTS = Path(__file__).parents[1] / "agents" / "weights" / "painter.safetensors"


def painter(task: Task, weights: Path = PAINTER_WEIGHTS) -> Agent:
    """The painter that we ship, or one trained as it was, drawing with the task's own renderer."""
    assert isinstance(task, StrokePaint)  # it is among the ``PAINTERS``
    net = StrokeNet()
    net.load_state_dict(load_file(weights))
    return Fixed(Painter(task.renderer, net, task.strokes).to(task.device).eval())


def published_painter(task: Task, weights: Path) -> Agent:
    """An ``actor.pkl`` of Learning to Paint or, at a task with guidance, of Semantic Guidance."""
    box = task.action_space
    if not isinstance(task, StrokePaint) or not isinstance(box, Box):
        raise ValueError("a published actor paints: it plays no other task")
    if not weights.is_file():
        raise FileNotFoundError(f"no actor at {weights}: give the path of a published actor.pkl")
    actor = ResNetActor(task.observation_space, box)
    load_published(actor, weights, "RGB" if task.guidance else "BGR")
    return Fixed(actor.to(task.device).eval())
