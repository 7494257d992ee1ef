"""Does the editor look where the edit belongs? Rewards on the cross-attention of a denoiser.

After InstructRL4Pix (arXiv:2406.09973, equation 3), where the paper leaves its meaning open:

- the attention of an edit is the mean over heads, layers and denoising steps of the branch that reads the text;
- the softmax runs over the tokens, so the mean over all of them is the same everywhere and rewards nothing: the
  tokens that count are those of the instruction (``content``) or of the thing that is edited (``object``);
- it is compared with the mask of the edit (``mask``), with the attention of the untrained editor (``reference``,
  which rewards staying as it was), or with that inside the mask (``masked_reference``).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate, pad

from .pixel import clipped_mae

TOKENS = ("content", "object", "all")
TARGETS = ("mask", "reference", "masked_reference")


def attention_probabilities(query: Tensor, key: Tensor, heads: int, scale: float) -> Tensor:
    """``[B, heads, N, L]`` in float32, summing to 1 over L tokens.

    ``query``: ``[B, N, heads * D]`` and ``key``: ``[B, L, heads * D]``, as a layer's projections leave them.
    """
    query, key = (x.float().unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key))
    return (scale * query @ key.transpose(-1, -2)).softmax(-1)


def aggregate(layers: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """``[B, L, *size]``: the mean over heads, layers and time of probabilities ``[B, heads, h, w, L]``.

    The layers may differ in heads, h and w: each is averaged over its heads and brought to ``size`` bilinearly.
    """
    return torch.stack([_resized(layer.mean(1).movedim(-1, 1), size) for layer in layers]).mean(0)


def choose_tokens(which: str, tokens: Tensor, special: Sequence[int], phrase: Tensor | None = None) -> Tensor:
    """Which of ``tokens`` ``[B, L]`` count, as ``[B, L]`` bool.

    ``content``: all but the ``special`` ones (begin, end, padding). ``object``: those of ``phrase`` ``[B, P]``, the
    tokenised words that name the object, wherever they follow one another in the text; where they do not, as
    ``content``. ``all``: every one. Raises ValueError for another name and for ``object`` without a phrase.
    """
    if which not in TOKENS:
        raise ValueError(f"no tokens {which!r}: expected one of {', '.join(TOKENS)}")
    if which == "all":
        return torch.ones_like(tokens, dtype=torch.bool)
    content = ~torch.isin(tokens, tokens.new_tensor(special))
    if which == "content":
        return content
    if phrase is None:
        raise ValueError("tokens='object' needs the phrase that names the object, tokenised")
    found = _occurrences(tokens, phrase, ~torch.isin(phrase, tokens.new_tensor(special)))
    return torch.where(found.any(1, keepdim=True), found, content)


def _occurrences(tokens: Tensor, phrase: Tensor, counts: Tensor) -> Tensor:
    """``[B, L]`` bool: the tokens that are part of ``phrase`` ``[B, P]``, of which only those that count are read."""
    order = counts.int().argsort(dim=1, descending=True, stable=True)  # the words first, in their order
    phrase, counts = phrase.gather(1, order), counts.gather(1, order)
    length, words = tokens.shape[1], phrase.shape[1]
    windows = pad(tokens, (0, words - 1), value=-1).unfold(1, words, 1)  # [B, L, P]
    starts = ((windows == phrase[:, None]) | ~counts[:, None]).all(2) & counts.any(1, keepdim=True)
    found = torch.zeros_like(starts)
    for place in range(min(length, words)):
        found[:, place:] |= starts[:, : length - place] & counts[:, place, None]
    return found


def token_map(attention: Tensor, chosen: Tensor) -> Tensor:
    """``[B, 1, H, W]``: attention ``[B, L, H, W]`` averaged over the tokens ``chosen`` ``[B, L]``; 0 if none is."""
    weight = chosen.to(attention.dtype)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1)
    return torch.einsum("blhw,bl->bhw", attention, weight)[:, None]


def attention_target(which: str, mask: Tensor, reference: Tensor | None = None) -> Tensor:
    """``[B, 1, H, W]``: where attention should lie, by the names of the module's docstring.

    ``mask``: ``[B, 1, H, W]`` in [0, 1]; ``reference``: the untrained editor's map ``[B, 1, h, w]``. Raises ValueError
    for another name and for a missing reference.
    """
    if which not in TARGETS:
        raise ValueError(f"no attention target {which!r}: expected one of {', '.join(TARGETS)}")
    if which == "mask":
        return mask
    if reference is None:
        raise ValueError(f"the attention target {which!r} needs the attention of the untrained editor")
    reference = _resized(reference, mask.shape[-2:])
    return reference * mask if which == "masked_reference" else reference


def alignment(attention: Tensor, target: Tensor) -> Tensor:
    """``[B]`` in [0, 1]: cosine of the maps ``[B, 1, h, w]`` and ``[B, 1, H, W]``, none negative; 0 if one is empty."""
    return cosine_similarity(_resized(attention, target.shape[-2:]).flatten(1), target.flatten(1))


def instructrl4pix(
    attention: Tensor,
    target: Tensor,
    image: Tensor,
    source: Tensor,
    threshold: float | Tensor = 0.1,
    gate: str = "hard",
    alpha: float = -1.0,
) -> Tensor:
    """``[B]``: the paper's reward, ``alignment(attention, target) + alpha * clipped_mae(image, source)``.

    The paper does not tell its threshold; its edits are at a distance of 0.06 to 0.11 from their targets.
    """
    return alignment(attention, target) + alpha * clipped_mae(image, source, threshold, gate)


def _resized(attention: Tensor, size: Sequence[int]) -> Tensor:
    return interpolate(attention, list(size), mode="bilinear", align_corners=False)
