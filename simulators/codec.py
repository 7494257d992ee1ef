"""Between pictures and the space in which an editor denoises: plain pixels, or the latents of an autoencoder."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Codec(Protocol):
    """Pictures are `[B, 3, H, W]` in [0, 1], their codes `[B, channels, H / factor, W / factor]` in float32."""

    channels: int
    factor: int

    def encode(self, image: Tensor) -> Tensor:
        """The code by which an editor is told its source."""
        ...

    def noiseless(self, image: Tensor) -> Tensor:
        """The latent of which `image` is the picture."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """The picture of a latent that has been denoised."""
        ...


class PixelCodec(nn.Module):
    """Pixels in [-1, 1], the 4 x 4 of a block as channels: it loses nothing, and has nothing to learn."""

    factor = 4
    channels = 3 * factor**2

    def encode(self, image: Tensor) -> Tensor:
        return F.pixel_unshuffle(2 * image - 1, self.factor)

    def noiseless(self, image: Tensor) -> Tensor:
        return self.encode(image)

    def decode(self, latent: Tensor) -> Tensor:
        return (F.pixel_shuffle(latent, self.factor) / 2 + 0.5).clamp(0, 1)


class VAECodec(nn.Module):
    """The autoencoder of a pipeline. As InstructPix2Pix was trained, the source's code is the mode, not scaled, while
    the latents that are denoised are scaled. With `checker`, the pipeline's, a picture that it flags comes out black.
    """

    def __init__(self, vae: Any, checker: "SafetyChecker | None" = None) -> None:
        super().__init__()
        self.vae = vae
        self.checker = checker
        self.channels: int = vae.config.latent_channels
        self.factor: int = 2 ** (len(vae.config.block_out_channels) - 1)

    def encode(self, image: Tensor) -> Tensor:
        return self.vae.encode((2 * image - 1).to(self.vae.dtype)).latent_dist.mode().float()

    def noiseless(self, image: Tensor) -> Tensor:
        return self.encode(image) * self.vae.config.scaling_factor

    def decode(self, latent: Tensor) -> Tensor:
        latent = (latent / self.vae.config.scaling_factor).to(self.vae.dtype)
        image = (self.vae.decode(latent, return_dict=False)[0].float() / 2 + 0.5).clamp(0, 1)
        return image if self.checker is None else self.checker(image)


class SafetyChecker(nn.Module):
    """A pipeline's safety checker with the feature extractor that prepares its input on the host."""

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__()
        self.model = model
        self.extractor = extractor

    def forward(self, image: Tensor) -> Tensor:
        """`image` `[B, 3, H, W]` in [0, 1], black where it was flagged."""
        pixels = list((image.detach() * 255).round().byte().cpu())
        features = self.extractor(pixels, return_tensors="pt").pixel_values.to(image.device, self.model.dtype)
        *_, flagged = self.model(images=image.detach().clone(), clip_input=features)
        return image.masked_fill(torch.tensor(flagged, device=image.device)[:, None, None, None], 0.0)
