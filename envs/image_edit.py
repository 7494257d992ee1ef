"""Instruction-based image editing: denoising as a Markov decision process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import Tensor

from ..rewards.attention import alignment, choose_tokens, token_map
from ..rewards.pixel import clipped_mae, l1, l2, psnr, ssim
from ..simulators.attention import AttentionRecorder, attention_size
from ..simulators.ddim import DDIM
from ..simulators.editors import load_editor
from ..simulators.edits import KINDS, Edit, make_edits
from .core import Obs, Options, Task, as_unit
from .options import asked_images, asked_index
from .random import LaneRandom

CONTROLS = ("latent", "noise", "guidance")
EXACT = ("exact", "done", "kept")  # rewards that need a checker
REWARDS = ("attention", "clipped_mae", "l1", *EXACT)
LIMIT = 10.0  # latents and noise have about unit variance: beyond ten there is nothing
STRONGEST = 4.0  # how many times stronger or weaker than usual guidance can be made
SHOWN = 128  # pixels, at least, of a rendered picture


@dataclass(frozen=True)
class EditState:
    latent: Tensor  # [B, c, h, w] float, x_t
    source: Tensor  # [B, 3, S, S] uint8
    target: Tensor  # [B, 3, S, S] uint8, what was asked for exactly, where it is known
    mask: Tensor  # [B, 1, S, S] uint8, 255 where the edit belongs
    kind: Tensor  # [B] int64, place in KINDS, -1 where it is not known
    problem: Tensor  # [B] int64, place among the edits; -1 for what was handed to ``reset``
    instruction: Tensor  # [B, L] int64
    counts: Tensor  # [B, L] bool, the tokens whose attention counts
    text: Tensor  # [B, L, D] float, what the denoiser is told of the instruction
    condition: Tensor  # [B, c, h, w] float, and of the source
    attention: Tensor  # [B, 1, h', w'] float, the sum over the steps so far
    t: Tensor  # [B] int64, steps left


class ImageEdit(Task[EditState]):
    """Edit a picture as an instruction says, one denoising step after the other.

    Observation: ``source`` uint8 ``[3, size, size]``, RGB; ``instruction``, its tokens, int64 ``[L]``; ``latent``
    float ``[c, h, w]``, the noisy picture x_t in the editor's own space; ``t`` in {0, ..., steps}, the steps left.

    Action, by ``control``. ``latent``: x_{t-1} itself, ``[c, h, w]``. ``noise``: the same step whitened, so that zero
    mean and unit deviation are the reference sampler: x_{t-1} = mu(x_t) + sigma_t a. ``guidance``: two numbers in
    [-1, 1], how strongly the step listens to the instruction and to the source: the scales are the usual ones times
    4^a, so 0 is the editor as it is; the step's noise is the environment's.

    Reward: a weighted sum by name, all at the last step, each in ``info`` as ``reward/NAME``. ``attention``: how far
    the denoiser's attention to the instruction lies on the mask, a cosine. ``clipped_mae``: the mean distance from the
    source where it exceeds ``threshold`` (weigh it negatively). ``l1``: the mean distance from the target. In the
    embedded world also ``done``, ``kept`` and ``exact`` (both), 0 or 1.

    Episode end: after ``steps`` steps (termination).

    Arguments: ``edits`` ("embedded", or a source as ``simulators.edits.make_edits`` reads it) and ``split``; ``model``
    as ``simulators.editors.load_editor`` reads it; ``size`` in pixels (None: the edits' own); ``steps``; ``eta``, the
    noise of the sampler; ``scale``, guidance by text and by image; ``control``; ``reward``, a name or {name: weight};
    ``tokens`` whose attention counts, "content" or "object"; ``threshold`` and ``gate`` ("hard" or "hinge") of
    ``clipped_mae``; ``group``, how many lanes of consecutive seeds get the same problem; ``seed`` of the embedded
    world. ``reset(options={"index": i})`` asks for problem i (a sequence: one a lane); ``{"image": [S, S, 3] uint8,
    "instruction": text}`` for any, of which no exact answer is known: its target is the source and it is never done.

    Reference: Li et al., InstructRL4Pix: Training Diffusion for Image Editing by Reinforcement Learning, 2024
    (arXiv:2406.09973), equations 12 to 17; Black et al., Training Diffusion Models with Reinforcement Learning, 2023
    (arXiv:2305.13301).
    """

    action_space: Box
    reset_options = ("index", "image", "instruction")

    def __init__(
        self,
        edits: str = "embedded",
        split: str = "train",
        model: str = "shipped",
        size: int | None = None,
        steps: int = 10,
        eta: float = 1.0,
        scale: tuple[float, float] = (1.0, 1.0),
        control: str = "latent",
        reward: str | Mapping[str, float] = "exact",
        tokens: str = "content",
        threshold: float = 0.1,
        gate: str = "hard",
        group: int = 1,
        seed: int = 0,
        device: str = "cpu",
    ):
        if control not in CONTROLS:
            raise ValueError(f"control must be one of {', '.join(CONTROLS)}, got {control!r}")
        if group < 1:
            raise ValueError(f"group must be at least 1, got {group}")
        self.device = torch.device(device)
        self.weights = reward_weights(reward)
        self.edits = make_edits(edits, size, split, seed, device)
        self.exact = bool(self.edits.check(torch.zeros(1, 3, self.edits.size, self.edits.size), torch.zeros(1).long()))
        if not self.exact and (asked := set(self.weights) & set(EXACT)):
            raise ValueError(f"nobody knows whether edits of {edits} are right: reward {sorted(asked)} needs embedded")
        self.editor = load_editor(model, device)
        self.ddim = DDIM(self.editor.schedule, steps, eta).to(self.device)
        self.sources = self.edits.instructions
        self.size, self.steps, self.horizon = self.edits.size, steps, steps
        self.scale, self.control, self.tokens, self.group = scale, control, tokens, group
        self.threshold, self.gate = threshold, gate
        self.model_calls = ((self.editor, "predict"),)
        self.special = self.editor.tokens([""]).unique().tolist()
        self.instructions = self.editor.tokens(self.edits.instructions)
        self.phrases = self.editor.tokens(self.edits.objects)
        latent = self.editor.latent_shape(self.size)
        self.attention_size = attention_size(self.editor.unet, latent[1:])
        self.latent_space = Box(-LIMIT, LIMIT, latent)
        words = int(self.editor.text_encoder.config.vocab_size)
        self.action_space = Box(-1.0, 1.0, (2,)) if control == "guidance" else self.latent_space
        self.observation_space = Dict(
            source=Box(0, 255, (3, self.size, self.size), np.uint8),
            instruction=Box(0, words - 1, self.instructions.shape[1:], np.int64),
            latent=self.latent_space,
            t=Discrete(steps + 1),
        )

    def initial(self, rng: LaneRandom, options: Options) -> EditState:
        together = LaneRandom(rng.seed // self.group, rng.drawn)  # lanes of a group draw the same problem
        problem = together.integers(len(self.edits))
        rng.bits()
        if "image" in options or "instruction" in options:
            return self._begin(*self._asked(options, len(rng)), rng)
        if "index" in options:
            problem = asked_index(options, len(rng), len(self.edits), self.device)
        return self._begin(self.edits[problem], problem, self.instructions[problem], self.phrases[problem], rng)

    def observe(self, state: EditState) -> Obs:
        return {"source": state.source, "instruction": state.instruction, "latent": state.latent, "t": state.t}

    def transition(self, state: EditState, action: Tensor, rng: LaneRandom | None) -> EditState:
        step = state.t.clamp_min(1)  # an ended episode is stepped on too, until it is reset
        if self.control == "latent":
            following, maps = action, self._looked(state, step)
        else:
            scale = self.usual(action) if self.control == "guidance" else self.scale
            output, maps = self._watched(state, lambda: self._guided(state, step, scale))
            mean, deviation = self.ddim.gaussian(output, state.latent, step)
            following = mean + deviation * (action if self.control == "noise" else self._noise(rng))
        left = (state.t - 1).clamp_min(0)
        return replace(state, latent=following.clamp(-LIMIT, LIMIT), attention=state.attention + maps, t=left)

    def reward(self, state: EditState, action: Tensor, next_state: EditState) -> dict[str, Tensor]:
        ended = next_state.t == 0
        if not ended.any():  # asking the device costs less than decoding pictures that nobody scores
            return {name: torch.zeros_like(ended, dtype=torch.float32) for name in self.weights}
        image = self.image(next_state)
        exact = self._check(image, next_state) if set(self.weights) & set(EXACT) else {}
        terms = {name: self._score(name, image, next_state, exact) for name in self.weights}
        return {name: torch.where(ended, self.weights[name] * term, 0.0) for name, term in terms.items()}

    def terminated(self, state: EditState) -> Tensor:
        return state.t == 0

    def metrics(self, state: EditState) -> dict[str, Tensor]:
        image, target, source = self.image(state), as_unit(state.target), as_unit(state.source)
        exact = self._check(image, state)
        return self._by_kind(exact, state.kind) | {
            "l1": l1(image, target),
            "l2": l2(image, target),
            "psnr": psnr(image, target),
            "ssim": ssim(image, target),
            "source_l1": l1(image, source),
        }

    def render(self, state: EditState) -> Tensor:
        """The source, the picture so far and the target, ``[B, H, 3 H, 3]``."""
        now = (self.image(state) * 255).round_().to(torch.uint8)
        times = -(-SHOWN // self.size)
        pictures = torch.cat([state.source, now, state.target], 3).permute(0, 2, 3, 1)
        return pictures.repeat_interleave(times, 1).repeat_interleave(times, 2)

    def image(self, state: EditState) -> Tensor:
        """The picture that the latent shows, ``[B, 3, size, size]`` in [0, 1]."""
        return self.editor.decode(state.latent)

    def usual(self, action: Tensor) -> Tensor:
        """The guidance ``[B, 2]`` of an action ``[B, 2]`` in [-1, 1], where 0 is the usual one."""
        return action.new_tensor(self.scale) * STRONGEST**action

    def _guided(self, state: EditState, step: Tensor, scale: tuple[float, float] | Tensor) -> Tensor:
        return self.editor.guided(state.latent, self.ddim.timestep(step), state.condition, state.text, scale)

    def _looked(self, state: EditState, step: Tensor) -> Tensor:
        """Where the denoiser would look in this step, which the agent takes without it."""
        if "attention" not in self.weights:
            return torch.zeros_like(state.attention)
        t = self.ddim.timestep(step)
        return self._watched(state, lambda: self.editor.predict(state.latent, t, state.condition, state.text))[1]

    def _watched(self, state: EditState, call: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        """What ``call`` returns, and where the denoiser looked meanwhile for the instruction."""
        if "attention" not in self.weights:
            return call(), torch.zeros_like(state.attention)
        with AttentionRecorder(self.editor.unet, self.attention_size, slice(len(state.t))) as recorder:
            output = call()
        return output, token_map(recorder.mean(), state.counts)

    def _noise(self, rng: LaneRandom | None) -> Tensor:
        if rng is None:
            raise ValueError("under control='guidance' a step draws noise: it needs an rng")
        return rng.normal(*(self.latent_space.shape or ()))

    def _score(self, name: str, image: Tensor, state: EditState, exact: Mapping[str, Tensor]) -> Tensor:
        match name:
            case "attention":
                return alignment(state.attention, as_unit(state.mask))
            case "clipped_mae":
                return clipped_mae(image, as_unit(state.source), self.threshold, self.gate)
            case "l1":
                return l1(image, as_unit(state.target))
        return exact[name]

    def _check(self, image: Tensor, state: EditState) -> dict[str, Tensor]:
        """``done``, ``kept`` and ``exact``, where they can be told: 0 for what was handed to ``reset``."""
        found = self.edits.check(image, state.problem.clamp_min(0))
        known = (state.problem >= 0).float()
        return {name: value * known for name, value in found.items()} | (
            {"exact": found["done"] * found["kept"] * known} if found else {}
        )

    def _by_kind(self, exact: Mapping[str, Tensor], kind: Tensor) -> dict[str, Tensor]:
        if not exact:
            return {}
        success = exact["exact"]
        apart = {f"success/{name}": torch.where(kind == i, success, torch.nan) for i, name in enumerate(KINDS)}
        return {"success": success} | apart | {"kept": exact["kept"], "done": exact["done"]}

    def _begin(self, edit: Edit, problem: Tensor, instruction: Tensor, phrase: Tensor, rng: LaneRandom) -> EditState:
        latent = rng.normal(*(self.latent_space.shape or ()))
        blank = latent.new_zeros(len(latent), 1, *self.attention_size)
        return EditState(
            latent.clamp(-LIMIT, LIMIT),
            edit.source,
            edit.target,
            edit.mask,
            edit.kind,
            problem,
            instruction,
            choose_tokens(self.tokens, instruction, self.special, phrase),
            self.editor.embed(instruction),
            self.editor.encode(as_unit(edit.source)),
            blank,
            torch.full_like(problem, self.steps),
        )

    def _asked(self, options: Options, lanes: int) -> tuple[Edit, Tensor, Tensor, Tensor]:
        """What ``reset`` was handed: a picture and what to do with it."""
        if not {"image", "instruction"} <= set(options):
            raise ValueError("options must hold both 'image' and 'instruction', or 'index' alone")
        source, texts = asked_images("image", options, lanes, self.size, self.device), options["instruction"]
        texts = [texts] * lanes if isinstance(texts, str) else list(texts)
        if len(texts) != lanes or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"options['instruction'] must be one text or {lanes}, got {options['instruction']!r}")
        nowhere = torch.full((lanes,), -1, device=self.device)
        instruction = self.editor.tokens(texts)
        return Edit(source, source, torch.full_like(source[:, :1], 255), nowhere), nowhere, instruction, instruction


def reward_weights(reward: str | Mapping[str, float]) -> dict[str, float]:
    """``reward`` as {name: weight}. Raises ValueError for a name that is none of ``REWARDS``."""
    weights = {reward: 1.0} if isinstance(reward, str) else {name: float(weight) for name, weight in reward.items()}
    for name in weights:
        if name not in REWARDS:
            raise ValueError(f"no reward {name!r} here; expected some of {', '.join(REWARDS)}")
    return weights
