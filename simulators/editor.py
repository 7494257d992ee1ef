"""An instruction-following editor: a denoiser that is told the source picture and what is asked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .codec import Codec
from .ddim import DDIM

GUIDANCES = ("full", "detach", "none")
Scale = tuple[float, float] | Tensor  # of the text and of the image; as a tensor [B, 2]
Branch = tuple[float | Tensor, Tensor, Tensor]  # weight, condition, text


class Editor(nn.Module):
    """InstructPix2Pix (Brooks et al., CVPR 2023): `unet` and `text_encoder` are diffusers' `UNet2DConditionModel` and
    transformers' `CLIPTextModel`, the latter frozen; the UNet sees the latent with the source's code beside it.

    `schedule` is the config of the scheduler it was trained under, for `DDIM`. Latents, codes and predictions are
    `[B, c, h, w]` in float32, whatever the networks compute in.
    """

    empty: Tensor  # [1, L, D], the text of no instruction

    def __init__(
        self,
        unet: Any,
        text_encoder: Any,
        codec: Codec,
        tokenize: Callable[[list[str]], Tensor],
        schedule: Mapping[str, Any],
    ) -> None:
        super().__init__()
        if unet.config.in_channels != 2 * codec.channels:
            raise ValueError(
                f"the UNet takes {unet.config.in_channels} channels, not latents of {codec.channels} beside a source "
                f"of as many: it was not trained to edit"
            )
        self.unet = unet
        self.text_encoder = text_encoder
        self.codec = codec
        self.schedule = dict(schedule)
        self._tokenize = tokenize
        with torch.no_grad():
            self.register_buffer("empty", self.embed(tokenize([""]).to(unet.device)), persistent=False)

    def latent_shape(self, size: int) -> tuple[int, int, int]:
        """`(c, h, w)` of the latents of pictures of `size` pixels; ValueError where they cannot be cut evenly."""
        factor = self.codec.factor
        if size <= 0 or size % factor:
            raise ValueError(f"this editor needs a size that is a multiple of {factor}, got {size}")
        return self.codec.channels, size // factor, size // factor

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """`[B, L]` int64."""
        return self._tokenize(list(texts)).to(self.empty.device)

    def embed(self, tokens: Tensor) -> Tensor:
        """What the denoiser is told of `tokens` `[B, L]`: `[B, L, D]`."""
        return self.text_encoder(tokens)[0]

    def encode(self, image: Tensor) -> Tensor:
        """The condition of sources `[B, 3, S, S]` in [0, 1]."""
        return self.codec.encode(image)

    def decode(self, latent: Tensor) -> Tensor:
        """The pictures `[B, 3, S, S]` in [0, 1] of denoised latents."""
        return self.codec.decode(latent)

    def predict(self, latent: Tensor, t: Tensor, condition: Tensor, text: Tensor) -> Tensor:
        """The denoiser's output at times `t` `[B]`, without guidance; its meaning is the schedule's prediction type."""
        seen = torch.cat([latent, condition], 1).to(self.unet.dtype)
        return self.unet(seen, t, encoder_hidden_states=text.to(self.unet.dtype), return_dict=False)[0].float()

    def guided(
        self, latent: Tensor, t: Tensor, condition: Tensor, text: Tensor, scale: Scale, cfg: str = "full"
    ) -> Tensor:
        """InstructPix2Pix's guidance (its equation 3) with `scale` (s_T, s_I), one pair for all or a tensor `[B, 2]`:

            e(0, 0) + s_I (e(c, 0) - e(0, 0)) + s_T (e(c, text) - e(c, 0))

        where 0 is a source of zeros and the empty instruction. A branch whose weight is 0 for all is not computed: at
        scale (1, 1) one is left. `cfg`: the gradient flows through all branches (`full`, as in DDPO), through
        e(c, text) alone (`detach`, as in Flow-GRPO), or there is no guidance (`none`: e(c, text), whatever the scale).
        """
        if cfg not in GUIDANCES:
            raise ValueError(f"no guidance {cfg!r}: choose from {', '.join(GUIDANCES)}")
        if cfg == "none":
            return self.predict(latent, t, condition, text)
        by_text, by_image = scale if isinstance(scale, tuple) else scale.t()[..., None, None, None]
        empty = self.empty.expand(len(latent), -1, -1)
        told: list[Branch] = _needed([(by_text, condition, text)])
        rest: list[Branch] = _needed(
            [(by_image - by_text, condition, empty), (1 - by_image, torch.zeros_like(condition), empty)]
        )
        if cfg == "full":
            return self._weighted(latent, t, told + rest)
        with torch.no_grad():
            fixed = self._weighted(latent, t, rest)
        return self._weighted(latent, t, told) + fixed

    def _weighted(self, latent: Tensor, t: Tensor, branches: list[Branch]) -> Tensor:
        """The weighted sum of what is predicted in `branches`, by one pass for all."""
        if not branches:
            return torch.zeros_like(latent)
        weights, conditions, texts = zip(*branches, strict=True)
        count = len(branches)
        output = self.predict(latent.repeat(count, 1, 1, 1), t.repeat(count), torch.cat(conditions), torch.cat(texts))
        return sum((weight * part for weight, part in zip(weights, output.chunk(count), strict=True)), torch.zeros(()))


def _needed(branches: list[Branch]) -> list[Branch]:
    """Those whose weight is not known to be 0: a tensor is not looked into, which would wait for the device."""
    return [branch for branch in branches if isinstance(branch[0], Tensor) or branch[0] != 0]


@torch.no_grad()
def sample(
    editor: Editor,
    ddim: DDIM,
    image: Tensor,
    instruction: Sequence[str] | Tensor,
    scale: Scale = (1.0, 1.0),
    generator: torch.Generator | None = None,
) -> Tensor:
    """The reference sampler: sources `[B, 3, S, S]` in [0, 1] edited as asked, by texts or tokens `[B, L]`.

    The noise is drawn by `generator` on its own device, else by torch's of the picture's: first the latents, then,
    unless no step has any, that of each step.
    """

    def noise() -> Tensor:
        place = image.device if generator is None else generator.device
        return torch.randn(condition.shape, generator=generator, device=place).to(image.device)

    condition = editor.encode(image)
    text = editor.embed(instruction if isinstance(instruction, Tensor) else editor.tokens(instruction))
    latent = noise()
    for left in range(ddim.steps, 0, -1):
        step = torch.full((len(image),), left, device=image.device)
        output = editor.guided(latent, ddim.timestep(step), condition, text, scale)
        latent, deviation = ddim.gaussian(output, latent, step)
        if ddim.noisy:
            latent = latent + deviation * noise()
    return editor.decode(latent)
