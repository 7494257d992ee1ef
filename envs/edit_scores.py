"""What an edit is worth: the rewards and the metrics of ``ImageEdit``, by name."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rewards.attention import TARGETS, alignment, attention_target
from ..rewards.clip import clip_similarity
from ..rewards.compression import compressibility
from ..rewards.pixel import GATES, clipped_mae, l1, l2, psnr, ssim, worst
from ..simulators.aesthetic import load_aesthetic
from ..simulators.clip import ClipScorer
from ..simulators.edits import KINDS, Edits
from ..simulators.jpeg import jpeg_kilobytes
from .core import as_unit
from .options import one_of

EXACT = ("exact", "done", "kept", "margin")  # rewards that need a checker
BY_CLIP = ("clip", "aesthetic")  # and those that need CLIP
REWARDS = ("attention", "clipped_mae", "l1", "worst", "compressibility", *BY_CLIP, *EXACT)
AESTHETIC_WIDTH = 768  # numbers of the embeddings that the aesthetic head was trained on


@dataclass(frozen=True)
class EditState:
    """Where a batch of edits stands."""

    latent: Tensor  # [B, c, h, w] float, x_t
    source: Tensor  # [B, 3, S, S] uint8
    target: Tensor  # [B, 3, S, S] uint8, what was asked for exactly, where it is known
    mask: Tensor  # [B, 1, S, S] uint8, 255 where the edit belongs
    kind: Tensor  # [B] int64, place in KINDS, -1 where it is not known
    problem: Tensor  # [B] int64, place among the edits; -1 for what was handed to ``reset``
    instruction: Tensor  # [B, L] int64
    counts: Tensor  # [B, L] bool, the tokens whose attention counts
    text: Tensor  # [B, L, D] float, what the denoiser is told of the instruction; [B, 0] where it is not asked
    condition: Tensor  # [B, c, h, w] float, and of the source; [B, 0] where it is not asked
    attention: Tensor  # [B, 1, h', w'] float, the sum over the steps so far
    reference: Tensor  # [B, 1, h', w'] float, the same of the editor before training
    t: Tensor  # [B] int64, steps left


class EditScores:
    """Scores pictures against the ``edits`` that were asked for.

    ``weights``: the rewards that are asked for, and what each counts; the rest as ``ImageEdit`` explains it. Networks
    are loaded only if they are named. Raises ValueError for a reward that needs what is not given, and for the names
    of an attention target or a gate that do not exist.
    """

    def __init__(
        self,
        edits: Edits,
        weights: Mapping[str, float],
        target: str,
        threshold: float,
        gate: str,
        clip: str | None,
        aesthetic: str | None,
        device: torch.device,
    ):
        self.edits, self.weights, self.threshold = edits, weights, threshold
        self.target, self.gate = one_of("target", target, TARGETS), one_of("gate", gate, GATES)
        blank = torch.zeros(1, 3, edits.size, edits.size, device=device)
        if not edits.check(blank, torch.zeros(1, dtype=torch.int64, device=device)) and (asked := self._asked(EXACT)):
            raise ValueError(f"nobody knows whether these edits are right: reward {sorted(asked)} needs embedded ones")
        if clip is None and (asked := self._asked(BY_CLIP)):
            raise ValueError(f"reward {sorted(asked)} needs a CLIP model: give clip, for example ViT-B-32:openai")
        if aesthetic is None and "aesthetic" in weights:
            raise ValueError("reward 'aesthetic' needs the file of its head: give aesthetic")
        self.clip = None if clip is None else ClipScorer(clip, device)
        self.head = None if aesthetic is None else load_aesthetic(aesthetic).to(device)
        width = 0 if self.clip is None else self.clip.embed_text([""]).shape[1]
        if self.head is not None and width != AESTHETIC_WIDTH:
            raise ValueError(f"the aesthetic head reads embeddings by clip='ViT-L-14:openai', got clip={clip!r}")
        self._captions = torch.full((len(edits) + 1, width), torch.nan, device=device)  # NaN: not embedded yet
        self._captions[-1] = 0  # of a picture without a caption, whose problem is -1

    def rewards(self, image: Tensor, state: EditState) -> dict[str, Tensor]:
        """``[B]`` each, before they are weighed, of finished pictures ``[B, 3, S, S]`` in [0, 1]."""
        exact = self._exact(image, state) if self._asked(EXACT) else {}
        seen = self._look(image) if self._asked(BY_CLIP) else {}
        return {name: self._reward(name, image, state, exact | seen) for name in self.weights}

    def metrics(self, image: Tensor, state: EditState) -> dict[str, Tensor]:
        """``[B]`` each, of pictures as they stand; NaN where a metric says nothing of an edit."""
        target = as_unit(state.target)
        moved = {f"source_{name}": value for name, value in compared(image, as_unit(state.source)).items()}
        return (
            by_kind(self._exact(image, state), state.kind)
            | compared(image, target)
            | moved
            | self._meant(image, target, state.problem)
        )

    def _asked(self, names: tuple[str, ...]) -> set[str]:
        return self.weights.keys() & set(names)

    def _reward(self, name: str, image: Tensor, state: EditState, known: Mapping[str, Tensor]) -> Tensor:
        match name:
            case "attention":
                where = attention_target(self.target, as_unit(state.mask), state.reference)
                return alignment(state.attention, where)
            case "clipped_mae":
                return clipped_mae(image, as_unit(state.source), self.threshold, self.gate)
            case "l1":
                return l1(image, as_unit(state.target))
            case "worst":
                return worst(image, as_unit(state.target))
            case "margin":
                return self.edits.margin(image, state.problem.clamp_min(0)) * (state.problem >= 0)
            case "compressibility":
                return compressibility(jpeg_kilobytes(image))
            case "clip":
                return clip_similarity(known["embedding"], self._caption(state.problem))
        return known[name]

    def _exact(self, image: Tensor, state: EditState) -> dict[str, Tensor]:
        """``done``, ``kept`` and ``exact``, where they can be told: 0 for what was handed to ``reset``."""
        found = self.edits.check(image, state.problem.clamp_min(0))
        if not found:
            return {}
        known = (state.problem >= 0).float()
        done, kept = found["done"] * known, found["kept"] * known
        return {"done": done, "kept": kept, "exact": done * kept}

    def _look(self, image: Tensor) -> dict[str, Tensor]:
        """``embedding`` ``[B, D]`` by CLIP and, with the head for it, ``aesthetic`` ``[B]``; {} without CLIP."""
        if self.clip is None:
            return {}
        embedding = self.clip.embed_image(image)
        return {"embedding": embedding} | ({} if self.head is None else {"aesthetic": self.head(embedding)})

    def _meant(self, image: Tensor, target: Tensor, problem: Tensor) -> dict[str, Tensor]:
        if self.clip is None:
            return {}
        seen = self._look(image)
        embedding = seen.pop("embedding")
        clip_t = clip_similarity(embedding, self._caption(problem))
        return seen | {
            "clip_t": torch.where(problem < 0, torch.nan, clip_t),
            "clip_i": clip_similarity(embedding, self.clip.embed_image(target)),
        }

    @torch.no_grad()
    def _caption(self, problem: Tensor) -> Tensor:
        """Embeddings ``[B, D]`` of what the targets show, each made when it is first asked for; 0 of problem -1."""
        unread = problem[self._captions[problem, 0].isnan()].unique()
        if len(unread) and self.clip is not None:
            self._captions[unread] = self.clip.embed_text([self.edits.captions[i] for i in unread.tolist()])
        return self._captions[problem]


def require_finite(scored: Mapping[str, Tensor]) -> None:
    """Raises ValueError for NaN and infinity in any tensor, by its name; asks the device once."""
    finite = torch.stack([value.isfinite().all() for value in scored.values()]).tolist()
    if broken := [name for name, good in zip(scored, finite, strict=True) if not good]:
        raise ValueError(
            f"NaN or infinity in {', '.join(broken)}: the actions were not finite (a policy that diverged: lower its "
            "learning rate), or the editor overflows in half precision (dtype='bfloat16' or 'float32' does not)"
        )


def compared(image: Tensor, other: Tensor) -> dict[str, Tensor]:
    """``l1``, ``l2``, ``psnr`` and ``ssim`` ``[B]`` of pictures ``[B, 3, S, S]`` in [0, 1]."""
    return {"l1": l1(image, other), "l2": l2(image, other), "psnr": psnr(image, other), "ssim": ssim(image, other)}


def by_kind(exact: Mapping[str, Tensor], kind: Tensor) -> dict[str, Tensor]:
    """``success``, that of each kind of edit apart (NaN of the others), ``kept`` and ``done``; {} of nothing."""
    if not exact:
        return {}
    success = exact["exact"]
    apart = {f"success/{name}": torch.where(kind == i, success, torch.nan) for i, name in enumerate(KINDS)}
    return {"success": success} | apart | {"kept": exact["kept"], "done": exact["done"]}
