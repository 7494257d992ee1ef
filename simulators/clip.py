"""CLIP: images and texts as points of one space, by open_clip."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .. import backends

# what torch.load and safetensors raise for a file that is not whole, or not theirs
UNREADABLE = (RuntimeError, EOFError, LookupError, ValueError, UnpicklingError, SafetensorError)


class ClipScorer(nn.Module):
    """A frozen CLIP, through which gradients flow to the images.

    `name`: `MODEL:TAG` with open_clip's names (`ViT-B-32:openai`, which MagicBrush's metrics use; a plain `MODEL`
    means `openai`), `MODEL:PATH` of a checkpoint, or `random:MODEL`, untrained and always the same, for tests.
    Raises ValueError where there is no such model, and no weights for it.
    """

    mean: Tensor  # [3, 1, 1]
    deviation: Tensor  # [3, 1, 1]

    def __init__(self, name: str = "ViT-B-32:openai", device: torch.device | str = "cpu") -> None:
        super().__init__()
        before, _, after = name.partition(":")
        model, weights = (after, None) if before == "random" else (before, after or "openai")
        self.clip = _load(model, weights).requires_grad_(False).eval()
        self._tokenize = backends.open_clip().get_tokenizer(model)
        look = self.clip.visual.preprocess_cfg
        size = look["size"]
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self._resize, self._interpolation = look["resize_mode"], look["interpolation"]
        known = self._resize == "squash" or self._resize == "shortest" and self.size[0] == self.size[1]
        if not known or self._interpolation not in ("bicubic", "bilinear"):
            raise ValueError(
                f"{name} resizes images to {self.size} by {self._resize}, {self._interpolation}: expected squash, or "
                "shortest to a square, and bicubic or bilinear"
            )
        self.register_buffer("mean", torch.tensor(look["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(look["std"]).view(3, 1, 1), persistent=False)
        self.to(device)

    def embed_image(self, image: Tensor) -> Tensor:
        """`[B, D]`, of length 1, of images `[B, 3, H, W]` in [0, 1]."""
        return self.clip.encode_image(self.preprocess(image), normalize=True)

    def embed_text(self, texts: list[str]) -> Tensor:
        """`[B, D]`, of length 1; a text too long for the model is cut."""
        return self.clip.encode_text(self._tokenize(texts).to(self.mean.device), normalize=True)

    def preprocess(self, image: Tensor) -> Tensor:
        """What the network sees of `[B, 3, H, W]` in [0, 1]: open_clip's own preprocessing, but differentiable."""
        sides, short = image.shape[-2:], min(image.shape[-2:])
        tall, wide = self.size if self._resize == "squash" else [side * self.size[0] // short for side in sides]
        for extent in ((sides[0], wide), (tall, wide)):  # as Pillow, which clips what overshoots after each pass
            image = interpolate(image.float(), extent, mode=self._interpolation, antialias=True).clamp(0, 1)
        top, left = (round((side - kept) / 2) for side, kept in zip((tall, wide), self.size, strict=True))
        image = image[..., top : top + self.size[0], left : left + self.size[1]]
        return (image - self.mean) / self.deviation


def _load(model: str, weights: str | None) -> Any:
    open_clip = backends.open_clip()
    if model not in open_clip.list_models():
        raise ValueError(f"no CLIP model {model!r}: expected one of {', '.join(open_clip.list_models())}")
    if weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return open_clip.create_model(model)
    if not open_clip.is_pretrained_cfg(model, weights) and not Path(weights).is_file():
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ValueError(f"no weights {weights!r} for {model}: expected a file or one of {', '.join(tags)}")
    # the same network under another activation would give other numbers, with no more than a warning
    quick = bool(open_clip.get_pretrained_cfg(model, weights).get("quick_gelu"))
    try:
        return open_clip.create_model(model, weights, force_quick_gelu=quick)
    except (OSError, *UNREADABLE) as error:
        raise ValueError(
            f"the weights {weights} of {model} cannot be loaded ({error}): fetch them on a machine with a network by "
            f'`python -c "import open_clip; open_clip.create_model({model!r}, {weights!r})"`, or name a checkpoint of '
            f"this model as {model}:PATH"
        ) from error
