"""Instruction-based image editing: denoising as a Markov decision process."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Self

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, Space
from torch import Tensor

from ..rewards.attention import TOKENS, choose_tokens, token_map
from ..simulators.attention import AttentionRecorder, attention_size
from ..simulators.codec import PixelCodec
from ..simulators.ddim import DDIM
from ..simulators.edit_language import understand
from ..simulators.editor import Editor, Scale
from ..simulators.editors import load_editor
from ..simulators.edits import Edit, make_edits
from .core import Obs, Options, Task, as_unit
from .edit_scores import REWARDS, EditScores, EditState, require_finite
from .options import asked_images, asked_index, asked_texts, one_of, reward_weights
from .random import LaneRandom

CONTROLS = ("latent", "noise", "guidance")
DTYPES = ("float32", "float16", "bfloat16")
LIMIT = 10.0  # latents and noise have about unit variance: beyond ten there is nothing
UNGUIDED = (1.0, 1.0)
STRONGEST = 4.0  # how many times stronger or weaker than usual guidance can be made
SHOWN = 128  # pixels, at least, of a rendered picture


class ImageEdit(Task[EditState]):
    """Edit a picture as an instruction says, one denoising step after the other.

    Observation: ``source`` uint8 ``[3, size, size]``, RGB; ``instruction``, its tokens, int64 ``[L]``; ``latent``
    float ``[c, h, w]``, the noisy picture x_t in the editor's own space; ``t`` in {0, ..., steps}, the steps left.
    With ``show_mask`` also ``mask`` uint8 ``[1, size, size]``, 255 where the edit belongs, so that training can credit
    regions apart: a policy that acts on it knows more than a user tells.

    Action, by ``control``. ``latent``: x_{t-1} itself, ``[c, h, w]``. ``noise``: the same step whitened, so that zero
    mean and unit deviation are the reference sampler: x_{t-1} = mu(x_t) + sigma_t a. ``guidance``: two numbers in
    [-1, 1], how strongly the step listens to the instruction and to the source: the scales are the usual ones times
    4^a, so 0 is the editor as it is; the step's noise is the environment's.

    Reward: a weighted sum by name, all at the last step, each in ``info`` as ``reward/NAME``; ValueError where one is
    not finite. ``attention``: how far the denoiser's attention to the instruction lies on ``target``, a cosine.
    ``clipped_mae``: the mean distance from the source where it exceeds ``threshold``. ``l1``: that from what was asked
    for; ``worst``: the largest over any 3 x 3 pixels. ``clip``: how well CLIP finds its caption to fit.
    ``compressibility``: minus the kilobytes as JPEG. ``aesthetic``: a rating. In the embedded world ``done``, ``kept``
    and ``exact`` (both); ``margin``, in [-1, 1], how surely it is exact, below 0 where it is not.

    Episode end: after ``steps`` steps (termination).

    Arguments: ``edits`` ("embedded", or a source as ``simulators.edits.make_edits`` reads it) and ``split``; ``model``,
    ``attention_slicing`` and ``safety_checker`` as ``simulators.editors.load_editor`` reads them, in ``dtype``
    "float32", "float16" or "bfloat16"; ``size`` in pixels (None: the edits' own); ``steps``; ``eta``, the noise of the
    sampler, and ``ending``, the deviation of its last step's, else next to nothing; ``scale``, guidance by text and by
    image; ``control``; ``reward``, a name or {name: weight}; ``tokens`` whose attention counts, "content" or "object";
    ``target`` of attention: "mask", or, under control="latent", "reference", where the editor looked before training (a
    copy of the denoiser is kept: right for adapters and full training of ``editor`` alike), or "masked_reference", that
    within the mask; ``threshold`` and ``gate`` ("hard" or "hinge") of ``clipped_mae``; ``clip``, a model as
    ``simulators.clip.ClipScorer`` reads it, for the metrics ``clip_t`` and ``clip_i`` too; ``aesthetic``, the file of
    the head; ``group``, how many lanes of consecutive seeds get the same problem and, if ``alike``, begin from the same
    noise (Xue et al., DanceGRPO, 2025, arXiv:2505.07818), so that they differ by what is chosen alone; ``seed`` of the
    embedded world. ``reset(options={"index": i})`` asks for problem i (a sequence: one a lane); ``{"image": [S, S, 3]
    uint8, "instruction": text}`` for any: its target is the source, it is never done and has no caption.

    Reference: Li et al., InstructRL4Pix: Training Diffusion for Image Editing by Reinforcement Learning, 2024
    (arXiv:2406.09973), equations 12 to 17; Black et al., 2023 (arXiv:2305.13301).
    """

    action_space: Box
    reset_options = ("index", "image", "instruction")

    def __init__(
        self,
        edits: str = "embedded",
        split: str = "train",
        model: str = "shipped",
        dtype: str = "float32",
        attention_slicing: bool = False,
        safety_checker: bool = False,
        size: int | None = None,
        steps: int = 10,
        eta: float = 1.0,
        ending: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        control: str = "latent",
        reward: str | Mapping[str, float] = "exact",
        tokens: str = "content",
        target: str = "mask",
        threshold: float = 0.1,
        gate: str = "hard",
        clip: str | None = None,
        aesthetic: str | None = None,
        show_mask: bool = False,
        group: int = 1,
        alike: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ):
        self.control, self.tokens = one_of("control", control, CONTROLS), one_of("tokens", tokens, TOKENS)
        if target != "mask" and control != "latent":
            raise ValueError(f"target={target!r} needs control='latent': under {control!r} the editor is never trained")
        if group < 1:
            raise ValueError(f"group must be at least 1, got {group}")
        self.device = torch.device(device)
        self.weights = reward_weights(reward, REWARDS)
        self.edits = make_edits(edits, size, split, seed, device)
        self.scores = EditScores(self.edits, self.weights, target, threshold, gate, clip, aesthetic, self.device)
        precision = getattr(torch, one_of("dtype", dtype, DTYPES))
        self.editor = load_editor(model, device, precision, attention_slicing, safety_checker)
        self.watching = "attention" in self.weights
        fixed = {id(part): part for part in (self.editor.text_encoder, self.editor.codec)}  # never trained: shared
        self.untrained = deepcopy(self.editor, fixed) if self.watching and target != "mask" else None
        self.model_calls = ((self.editor, "predict"),)
        self.ddim = DDIM(self.editor.schedule, steps, eta, ending).to(self.device)
        self.size, self.sources, self.steps, self.horizon = self.edits.size, self.edits.instructions, steps, steps
        self.scale, self.group, self.alike, self.show_mask = scale, group, alike, show_mask
        self.instructions, self.phrases = map(self.editor.tokens, (self.sources, self.edits.objects))
        self.special = self.editor.tokens([""]).unique().tolist()
        self._decoded: tuple[Tensor | None, Tensor] = None, torch.empty(0)  # a latent and its picture
        latent = self.editor.latent_shape(self.size)
        self.attention_size = attention_size(self.editor.unet, latent[1:])
        self.latent_space = Box(-LIMIT, LIMIT, latent)
        self.action_space = Box(-1.0, 1.0, (2,)) if control == "guidance" else self.latent_space
        picture, mask = (Box(0, 255, (layers, self.size, self.size), np.uint8) for layers in (3, 1))
        words = Box(0, int(self.editor.text_encoder.config.vocab_size) - 1, self.instructions.shape[1:], np.int64)
        seen: dict[str, Space] = {"source": picture, "instruction": words, "latent": self.latent_space}
        seen |= {"t": Discrete(steps + 1)} | ({"mask": mask} if show_mask else {})
        self.observation_space = Dict(seen)

    def share(self, other: Self) -> None:
        """Also the editor, and what it was before training: a large one is in memory once."""
        super().share(other)
        self.editor, self.untrained, self.model_calls = other.editor, other.untrained, other.model_calls

    def initial(self, rng: LaneRandom, options: Options) -> EditState:
        together = LaneRandom(rng.seed // self.group, rng.drawn)  # lanes of a group draw the same problem
        problem = together.integers(len(self.edits))
        rng.bits()
        start = together if self.alike else rng
        if options.keys() & {"image", "instruction"}:
            return self._begin(*self._asked(options, len(rng)), start)
        if options:
            problem = asked_index("index", options, len(rng), len(self.edits), self.device)
        return self._begin(self.edits[problem], problem, self.instructions[problem], self.phrases[problem], start)

    def observe(self, state: EditState) -> Obs:
        seen = {"source": state.source, "instruction": state.instruction, "latent": state.latent, "t": state.t}
        return seen | ({"mask": state.mask} if self.show_mask else {})

    def transition(self, state: EditState, action: Tensor, rng: LaneRandom | None) -> EditState:
        step = state.t.clamp_min(1)  # an ended episode is stepped on too, until it is reset
        if self.control == "latent":
            following, attention = action, self._looked(self.editor, state, step)
        else:
            scale = self.usual(action) if self.control == "guidance" else self.scale
            output, attention = self._watched(self.editor, state, step, scale)
            mean, deviation = self.ddim.gaussian(output, state.latent, step)
            following = mean + deviation * (action if self.control == "noise" else self._noise(rng))
        return replace(
            state,
            latent=following.clamp(-LIMIT, LIMIT),
            attention=state.attention + attention,
            reference=state.reference + self._looked(self.untrained, state, step),
            t=(state.t - 1).clamp_min(0),
        )

    def reward(self, state: EditState, action: Tensor, next_state: EditState) -> dict[str, Tensor]:
        ended = next_state.t == 0
        if not ended.any():  # asking the device costs less than decoding pictures that nobody scores
            return {name: torch.zeros_like(ended, dtype=torch.float32) for name in self.weights}
        image = self.image(next_state)
        scored = self.scores.rewards(image, next_state)
        terms = {name: torch.where(ended, self.weights[name] * score, 0.0) for name, score in scored.items()}
        require_finite({"the picture": image} | {f"reward {name!r}": term for name, term in terms.items()})
        return terms

    def terminated(self, state: EditState) -> Tensor:
        return state.t == 0

    def metrics(self, state: EditState) -> dict[str, Tensor]:
        return self.scores.metrics(self.image(state), state)

    def render(self, state: EditState) -> Tensor:
        """The source, the picture so far and the target, ``[B, H, 3 H, 3]``."""
        now = (self.image(state) * 255).round_().to(torch.uint8)
        times = -(-SHOWN // self.size)
        pictures = torch.cat([state.source, now, state.target], 3).permute(0, 2, 3, 1)
        return pictures.repeat_interleave(times, 1).repeat_interleave(times, 2)

    def image(self, state: EditState) -> Tensor:
        """The picture that the latent shows, ``[B, 3, size, size]`` in [0, 1]; decoded once for all who ask of it."""
        if self._decoded[0] is not state.latent:
            self._decoded = state.latent, self.editor.decode(state.latent)
        return self._decoded[1]

    def usual(self, action: Tensor) -> Tensor:
        """The guidance ``[B, 2]`` of an action ``[B, 2]`` in [-1, 1], where 0 is the usual one."""
        return action.new_tensor(self.scale) * STRONGEST**action

    def _looked(self, editor: Editor | None, state: EditState, step: Tensor) -> Tensor:
        """Where ``editor`` would look in this step, which the agent takes without it; 0 where nobody asks."""
        if editor is None or not self.watching:
            return torch.zeros_like(state.attention)
        return self._watched(editor, state, step, UNGUIDED)[1]

    def _watched(self, editor: Editor, state: EditState, step: Tensor, scale: Scale) -> tuple[Tensor, Tensor]:
        """What ``editor`` predicts, and where its denoiser looked meanwhile for the instruction."""
        predict = partial(editor.guided, state.latent, self.ddim.timestep(step), state.condition, state.text, scale)
        if not self.watching:
            return predict(), torch.zeros_like(state.attention)
        with AttentionRecorder(editor.unet, self.attention_size, slice(len(state.t))) as recorder:
            output = predict()
        return output, token_map(recorder.mean(), state.counts)

    def _noise(self, rng: LaneRandom | None) -> Tensor:
        if rng is None:
            raise ValueError("under control='guidance' a step draws noise: it needs an rng")
        return rng.normal(*(self.latent_space.shape or ()))

    def _begin(self, edit: Edit, problem: Tensor, instruction: Tensor, phrase: Tensor, rng: LaneRandom) -> EditState:
        latent = rng.normal(*(self.latent_space.shape or ()))
        blank = latent.new_zeros(len(latent), 1, *self.attention_size)
        told = self.control != "latent" or self.watching  # else the editor is the agent's alone to ask
        nothing = latent.new_zeros(len(latent), 0)
        return EditState(
            latent=latent.clamp(-LIMIT, LIMIT),
            source=edit.source,
            target=edit.target,
            mask=edit.mask,
            kind=edit.kind,
            problem=problem,
            instruction=instruction,
            counts=choose_tokens(self.tokens, instruction, self.special, phrase),
            text=self.editor.embed(instruction) if told else nothing,
            condition=self.editor.encode(as_unit(edit.source)) if told else nothing,
            attention=blank,
            reference=blank,
            t=torch.full_like(problem, self.steps),
        )

    def _asked(self, options: Options, lanes: int) -> tuple[Edit, Tensor, Tensor, Tensor]:
        """What ``reset`` was handed: a picture and what to do with it."""
        if set(options) != {"image", "instruction"}:
            raise ValueError("options must hold both 'image' and 'instruction', or 'index' alone")
        source = asked_images("image", options, lanes, self.size, self.device)
        texts = phrases = asked_texts("instruction", options, lanes)
        if isinstance(self.editor.codec, PixelCodec):  # an editor of the embedded world, which has its own language
            requests = [understand(text) for text in texts]
            texts, phrases = [request.text() for request in requests], [request.named for request in requests]
        unknown = torch.full((lanes,), -1, device=self.device)
        edit = Edit(source, source, torch.full_like(source[:, :1], 255), unknown)
        return edit, unknown, self.editor.tokens(texts), self.editor.tokens(phrases)
