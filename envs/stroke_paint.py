"""Stroke painting: reproduce a target image with a fixed budget of strokes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, Space
from torch import Tensor

from ..backends import compiled
from ..rewards.guidance import focus_gain, focus_l2, foreground_gain, foreground_l2, zoom
from ..rewards.pixel import l2, l2_gain, masked_l2, psnr, ssim
from ..rewards.wgan import WGAN
from ..simulators.renderers import make_renderer
from ..simulators.targets import Scene, make_targets
from .core import Obs, Options, Task, as_unit, total
from .options import asked_images, asked_index
from .random import LaneRandom

REWARDS = {  # by name: what of the guidance each looks at
    "l2": (),
    "wgan": (),
    "foreground": ("mask", "window"),
    "foreground_wgan": ("mask", "window"),
    "focus": ("focus",),
}
COLOUR = 3  # numbers of a stroke after its shape


@dataclass(frozen=True)
class PaintState:
    canvas: Tensor  # [B, 3, H, W] float in [0, 1]
    target: Tensor  # [B, 3, H, W] uint8
    mask: Tensor  # [B, 1, H, W] uint8, 255 on the object
    focus: Tensor  # [B, 1, H, W] uint8
    window: Tensor  # [B, 4] float, the object's box x, y, w, h in [0, 1]
    start: Tensor  # [B, 2], distances of the empty canvas: whole image, zoomed object
    step: Tensor  # [B] int64, bundles painted so far


class StrokePaint(Task[PaintState]):
    """Paint a target image, one bundle of strokes per step.

    Observation: ``canvas`` and ``target`` uint8 ``[3, size, size]``, RGB; ``step`` in {0, ..., steps}, the bundles
    painted so far. As ``guidance`` names them also ``mask`` uint8 ``[1, size, size]`` (255 on the object),
    ``focus`` uint8 ``[1, size, size]`` (where details matter), ``window`` ``[4]`` (the object's x, y, w, h in [0, 1]).

    Action: ``[strokes * 13]`` in [0, 1]. A stroke is ``x0 y0 x1 y1 x2 y2 z0 z2 w0 w2 r g b``: a quadratic Bezier
    curve from (x0, y0) to (x2, y2), x along the ROWS, its control point relative (x1 := x0 + (x2 - x0) x1), radius
    ``z`` and opacity ``w`` linear along the curve. Strokes are composited in order: ``c (1 - a) + a rgb``. With
    ``bilevel`` the first ``strokes // 2`` of them stay outside the object's mask and the others inside.

    Reward: a weighted sum of gains by name, each in ``info`` as ``reward/NAME``. ``l2``: the decrease of the mean
    squared error as a share of that at the start. ``wgan``: the rise of a critic's score, learned online.
    ``foreground``, ``foreground_wgan``: the same for the masked object, zoomed in on. ``focus``: the decrease of
    the error under the focus map.

    Episode end: after ``steps`` bundles (termination; the step is observed).

    Arguments: ``targets`` ("embedded", or a source as ``simulators.targets.make_targets`` reads it) and ``split``;
    ``size`` in pixels; ``steps``; ``strokes`` a bundle; ``renderer`` as ``simulators.renderers.make_renderer``;
    ``reward``, a name or {name: weight}; ``canvas``, the ground's grey level or RGB in [0, 1]; ``bilevel``;
    ``guidance``, names of "mask", "focus", "window" to observe; ``seed`` of the embedded world and learned rewards;
    ``compile``: torch.compile fuses the analytic renderer (a minute or two the first time, kept on disk after it; on a
    CPU it needs a C++ compiler), and batches agree with single environments to rounding, no longer bit for bit.
    ``reset(options={"index": i})`` paints target i (a sequence: one a lane), ``{"image": [H, W, 3] uint8}`` any
    (``[B, H, W, 3]``: one a lane), and ``{"canvas": ...}``, like an image, is what it starts from.

    Reference: Huang, Heng and Zhou, Learning to Paint With Model-based Deep Reinforcement Learning, ICCV 2019
    (arXiv:1903.04411); Singh and Zheng, Combining Semantic Guidance and Deep Reinforcement Learning For Generating
    Human Level Paintings, CVPR 2021 (arXiv:2011.12589).
    """

    action_space: Box
    reset_options = ("index", "image", "canvas")
    unit = "strokes"

    def __init__(
        self,
        targets: str = "embedded",
        split: str = "train",
        size: int = 128,
        steps: int = 40,
        strokes: int = 5,
        renderer: str = "analytic",
        reward: str | Mapping[str, float] = "l2",
        canvas: float | Sequence[float] = 0.0,
        bilevel: bool = False,
        guidance: Sequence[str] = (),
        seed: int = 0,
        device: str = "cpu",
        compile: bool = False,
    ):
        if steps < 1 or strokes < 1 + bilevel:
            raise ValueError(f"needs steps >= 1 and strokes >= {1 + bilevel}, got steps={steps} and strokes={strokes}")
        self.device = torch.device(device)
        self.weights = reward_weights(reward)
        self.sees = {guide for name in self.weights for guide in REWARDS[name]} | ({"mask"} if bilevel else set())
        guided = bool(self.sees or guidance)
        self.targets = make_targets(targets, size=size, split=split, seed=seed, device=self.device, guided=guided)
        self.sources = self.targets.names
        self.renderer = make_renderer(renderer, size=size, device=device, compile=compile)
        self.compile = compile
        self.size, self.steps, self.strokes, self.bilevel = size, steps, strokes, bilevel
        self.horizon, self.units_per_step = steps, strokes
        self.model_calls = ((self.renderer, "paint"),)
        self.ground = ground(canvas).to(self.device)
        critics = {name: WGAN(seed).to(self.device) for name in self.weights if name.endswith("wgan")}
        self.learned: Mapping[str, WGAN] = critics
        self.per_stroke = self.renderer.num_params + COLOUR
        self.action_space = Box(0.0, 1.0, (strokes * self.per_stroke,))
        image, layer = Box(0, 255, (3, size, size), np.uint8), Box(0, 255, (1, size, size), np.uint8)
        guides: dict[str, Space] = {"mask": layer, "focus": layer, "window": Box(0.0, 1.0, (4,))}
        self.guidance = checked(guidance, guides)
        seen: dict[str, Space] = {"canvas": image, "target": image, "step": Discrete(steps + 1)}
        self.observation_space = Dict(seen | {name: guides[name] for name in self.guidance})

    def initial(self, rng: LaneRandom, options: Options) -> PaintState:
        drawn = rng.integers(len(self.targets))
        scene = self._asked(options, len(rng)) or self.targets[drawn]
        canvas = self._images("canvas", options, len(rng)) if "canvas" in options else self.ground
        return self._begin(as_unit(canvas).expand(scene.image.shape).contiguous(), scene, torch.zeros_like(drawn))

    def observe(self, state: PaintState) -> Obs:
        canvas = compiled(as_bytes, self.compile)(state.canvas)
        guides = {name: getattr(state, name) for name in self.guidance}
        return {"canvas": canvas, "target": state.target, "step": state.step} | guides

    def transition(self, state: PaintState, action: Tensor, rng: LaneRandom | None) -> PaintState:
        strokes = action.view(len(action), self.strokes, self.per_stroke)
        if self.bilevel:
            mask = as_unit(state.mask)
            background, foreground = strokes.tensor_split([self.strokes // 2], 1)
            canvas = self.renderer.paint(self.renderer.paint(state.canvas, background, 1 - mask), foreground, mask)
        else:
            canvas = self.renderer.paint(state.canvas, strokes)
        return replace(state, canvas=canvas, step=state.step + 1)

    def reward(self, state: PaintState, action: Tensor, next_state: PaintState) -> dict[str, Tensor]:
        before, after = state.canvas, next_state.canvas
        return {name: weight * self._gain(name, before, after, state) for name, weight in self.weights.items()}

    def terminated(self, state: PaintState) -> Tensor:
        return state.step >= self.steps

    def metrics(self, state: PaintState) -> dict[str, Tensor]:
        canvas, target, mask = state.canvas, as_unit(state.target), as_unit(state.mask)
        return {
            "l2": l2(canvas, target),
            "psnr": psnr(canvas, target),
            "ssim": ssim(canvas, target),
            "foreground_l2": masked_l2(canvas, target, mask),
            "background_l2": masked_l2(canvas, target, 1 - mask),
            "focus_l2": focus_l2(canvas, target, as_unit(state.focus)),
        }

    def render(self, state: PaintState) -> Tensor:
        """The canvas beside its target, ``[B, size, 2 * size, 3]``."""
        obs = self.observe(state)
        return torch.cat([obs["canvas"], obs["target"]], 3).permute(0, 2, 3, 1).contiguous()

    def imagine(self, obs: Obs, action: Tensor) -> tuple[Obs, Tensor]:
        """One step from an observation: the next one, its canvas a float in [0, 1], and the reward ``[B]``.

        Differentiable in ``action`` and in a canvas that is a float already. Raises ValueError where the reward or
        ``bilevel`` depends on guidance that is not observed.
        """
        if hidden := self.sees - set(self.guidance):
            raise ValueError(f"to imagine a step the agent must see {sorted(hidden)}: name them in guidance=")
        target = obs["target"]
        unseen = target.new_zeros(len(target), 1, self.size, self.size)
        window = obs.get("window", self.ground.new_zeros(len(target), 4))
        scene = Scene(target, obs.get("mask", unseen), obs.get("focus", unseen), window)
        after, terms = self.step(self._begin(as_unit(obs["canvas"]), scene, obs["step"]), action, None)
        return self.observe(after) | {"canvas": after.canvas}, total(terms)

    def learn(self, obs: Obs) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, critic in self.learned.items():
            canvas, target = as_unit(obs["canvas"]), as_unit(obs["target"])
            if name == "foreground_wgan":
                canvas, target = (look(image, as_unit(obs["mask"]), obs["window"]) for image in (canvas, target))
            metrics |= {f"{name}/{key}": value for key, value in critic.learn(canvas, target).items()}
        return metrics

    def _begin(self, canvas: Tensor, scene: Scene, step: Tensor) -> PaintState:
        target = as_unit(scene.image)
        blank = self.ground.expand(target.shape)
        start = [l2(blank, target)] * 2
        if "foreground" in self.weights:
            start[1] = foreground_l2(blank, target, as_unit(scene.mask), scene.window)
        return PaintState(canvas, scene.image, scene.mask, scene.focus, scene.window, torch.stack(start, 1), step)

    def _gain(self, name: str, before: Tensor, after: Tensor, state: PaintState) -> Tensor:
        if name == "l2":
            return compiled(l2_gain_in_bytes, self.compile)(before, after, state.target, state.start[:, 0])
        target, mask, window = as_unit(state.target), state.mask, state.window
        match name:
            case "wgan":
                return self.learned[name].gain(before, after, target)
            case "focus":
                return focus_gain(before, after, target, as_unit(state.focus))
            case "foreground":
                return foreground_gain(before, after, target, as_unit(mask), window, state.start[:, 1])
        return self.learned[name].gain(*(look(image, as_unit(mask), window) for image in (before, after, target)))

    def _asked(self, options: Options, lanes: int) -> Scene | None:
        """The scene that ``reset`` was asked for, if it was."""
        if "image" in options:
            target = self._images("image", options, lanes)
            everywhere = torch.full_like(target[:, :1], 255)
            return Scene(target, everywhere, everywhere, self.ground.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(lanes, 4))
        if "index" not in options:
            return None
        return self.targets[asked_index("index", options, lanes, len(self.targets), self.device)]

    def _images(self, name: str, options: Options, lanes: int) -> Tensor:
        return asked_images(name, options, lanes, self.size, self.device)


def as_bytes(image: Tensor) -> Tensor:
    """The image in [0, 1] as uint8."""
    return (image * 255).round_().to(torch.uint8)


def l2_gain_in_bytes(before: Tensor, after: Tensor, target: Tensor, start: Tensor) -> Tensor:
    """``l2_gain`` towards a target of uint8."""
    return l2_gain(before, after, as_unit(target), start)


def look(image: Tensor, mask: Tensor, window: Tensor) -> Tensor:
    """The object alone, zoomed in on."""
    return zoom(image * mask, window)


def ground(colour: float | Sequence[float]) -> Tensor:
    """The empty canvas ``[1, 3, 1, 1]``. Raises ValueError unless ``colour`` is one number or three in [0, 1]."""
    tensor = torch.as_tensor(colour, dtype=torch.float32)
    if tensor.numel() not in (1, 3) or not ((tensor >= 0) & (tensor <= 1)).all():
        raise ValueError(f"canvas must be a grey level or an RGB colour in [0, 1], got {colour}")
    return tensor.view(1, -1, 1, 1).expand(1, 3, 1, 1).clone()


def reward_weights(reward: str | Mapping[str, float]) -> dict[str, float]:
    """``reward`` as {name: weight}. Raises ValueError for a name that is none of ``REWARDS``."""
    weights = {reward: 1.0} if isinstance(reward, str) else {name: float(weight) for name, weight in reward.items()}
    return {name: weights[name] for name in checked(weights, REWARDS)}


def checked(names: Sequence[str] | Mapping[str, Any], known: Mapping[str, Any]) -> tuple[str, ...]:
    """``names``, in the order of ``known``. Raises ValueError for one that is not known."""
    for name in names:
        if name not in known:
            raise ValueError(f"no {name!r} here; expected some of {', '.join(known)}")
    return tuple(name for name in known if name in names)
