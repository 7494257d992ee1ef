"""Who paints a photograph, by name, and which photograph."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..agents.rollout import Agent
from ..envs.random import LaneRandom
from ..envs.stroke_paint import StrokePaint
from ..simulators.datasets import PHOTOGRAPHS
from ..simulators.images import ImageError, read_image
from ..simulators.renderers import make_renderer
from ..simulators.strokes import RENDERERS
from .optimise import optimise
from .paint import Painter, pixels
from .players import make_player
from .runs import is_run

TASK = "StrokePaint-v0"
SIZE = 128  # pixels of what a painter sees, unless its run says otherwise
BLOCK = 20  # strokes that are optimised together


def make_painter(name: str, seed: int = 0) -> Painter:
    """The painter called ``name``: ``optimise``, a policy of StrokePaint, or a run's folder.

    Raises ValueError for any other name, and for a run that needs an object's mask or paints with other than curves.
    """
    torch.manual_seed(seed)
    if name == "optimise":
        return optimising_painter(seed)
    settings = ["env.targets=embedded:1"] + ([] if is_run(Path(name)) else [f"env.size={SIZE}"])
    player = make_player(TASK, name, settings)
    assert isinstance(player.task, StrokePaint)
    kind, _, brush = player.env["renderer"].partition(":")
    renderer = f"analytic:{brush}" if brush and kind != "published" else "analytic"
    if player.task.bilevel:
        raise ValueError(f"{name} paints inside and outside an object's mask, and a photograph has none")
    if renderer not in RENDERERS:
        raise ValueError(f"{name} paints with the brush {brush!r}; photographs are painted with curves alone")
    return agent_painter(player.agent, player.task, renderer)


def agent_painter(agent: Agent, task: StrokePaint, renderer: str = "analytic") -> Painter:
    """``agent`` playing ``task`` from the canvas as it is; its episodes follow one another while strokes are left."""
    steps = count()

    @torch.no_grad()
    def paint(target: Tensor, canvas: Tensor, strokes: int) -> Iterator[Tensor]:
        start = {"image": pixels(target), "canvas": pixels(canvas)}
        state = task.initial(LaneRandom.seeded(range(len(target)), task.device), start)
        for left in range(strokes, 0, -task.strokes):
            state = replace(state, step=torch.full_like(state.step, next(steps) % task.steps))
            action, _ = agent.act(task.observe(state), explore=False)
            state, _ = task.step(state, action, None)
            yield action.view(len(action), task.strokes, -1)[:, :left].clamp(0, 1).cpu()

    return Painter(paint, task.size, renderer=renderer)


def optimising_painter(seed: int) -> Painter:
    """Gradient descent on the strokes, ``BLOCK`` at a time: what a painter could reach that had the time."""
    renderer = make_renderer("analytic", SIZE)

    def paint(target: Tensor, canvas: Tensor, strokes: int) -> Iterator[Tensor]:
        for left in range(strokes, 0, -BLOCK):
            bundle = optimise(target, min(BLOCK, left), renderer, canvas=canvas, seed=seed + left)
            with torch.no_grad():
                canvas = renderer.paint(canvas, bundle)
            yield bundle

    return Painter(paint, SIZE, visit=BLOCK)


def find_photo(name: str) -> tuple[str, NDArray[np.uint8]]:
    """A short name and the pixels ``[H, W, 3]`` of a file, or of one of scikit-image's photographs by its name.

    Raises ImageError for what is neither, saying which photographs there are, and for a file that is no good.
    """
    path = Path(name)
    if path.exists():
        return path.stem, read_image(path)
    package = find_spec("skimage")
    folder = Path(package.origin).parent / "data" if package and package.origin else None
    known = {Path(file).stem: folder / file for file in PHOTOGRAPHS} if folder else {}
    if name in known:
        return name, read_image(known[name])
    others = f"scikit-image's photographs are {', '.join(known)}" if known else "scikit-image would bring some"
    raise ImageError(f"{name}: there is no such file; {others}")
