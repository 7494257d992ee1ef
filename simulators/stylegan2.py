"""StyleGAN2 (Karras et al., CVPR 2020, arXiv:1912.04958) with the keys of rosinality's checkpoints, which the published
face editors use: 128 px with channel multiplier 1, 1024 px with 2."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from .stylegan2_ops import Bias, EqualConv, EqualLinear, ModulatedConv, Resample

STYLE = 512  # numbers of a latent
MAPPING = 8  # layers of the mapping network
MAPPING_RATE = 0.01
GROUP = 4  # pictures among which the discriminator measures variety


class Generator(nn.Module):
    """Latents to pictures of ``size`` pixels; ``layers`` is how many styles a picture has (W+)."""

    def __init__(self, size: int, multiplier: int = 1, mapping: int = MAPPING) -> None:
        super().__init__()
        sizes = octaves(size)
        widths = [channels_at(edge, multiplier) for edge in sizes]
        linear = [EqualLinear(STYLE, STYLE, rate=MAPPING_RATE, activate=True) for _ in range(mapping)]
        self.style = nn.Sequential(PixelNorm(), *linear)
        self.input = Constant(widths[0])
        self.conv1 = StyledConv(widths[0], widths[0])
        self.to_rgb1 = ToRGB(widths[0])
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        for wide, wider in pairwise(widths):
            self.convs += [StyledConv(wide, wider, upsample=True), StyledConv(wider, wider)]
            self.to_rgbs.append(ToRGB(wider, upsample=True))
        for number, edge in enumerate([sizes[0], *(edge for edge in sizes[1:] for _ in range(2))]):
            self.noises.register_buffer(f"noise_{number}", torch.randn(1, 1, edge, edge))
        self.size, self.layers = size, 2 * len(sizes)

    def sample(self, noise: Tensor) -> Tensor:
        """W ``[B, 512]`` of standard normal numbers ``[B, 512]``."""
        return self.style(noise)

    def mapping(self, x: Tensor) -> Tensor:
        """The mapping network without its normalisation, ``[B, 512]`` -> ``[B, 512]``."""
        for layer in list(self.style)[1:]:
            x = layer(x)
        return x

    def forward(self, latent: Tensor) -> Tensor:
        """``[B, 3, size, size]``, mostly in [-1, 1], of W ``[B, 512]`` or W+ ``[B, layers, 512]``, with fixed noise."""
        if latent.ndim == 2:
            latent = latent[:, None].expand(-1, self.layers, -1)
        noises = list(self.noises.buffers())
        x = self.conv1(self.input(len(latent)), latent[:, 0], noises[0])
        image = self.to_rgb1(x, latent[:, 1])
        for octave, to_rgb in enumerate(self.to_rgbs):
            for layer in (2 * octave, 2 * octave + 1):
                x = self.convs[layer](x, latent[:, layer + 1], noises[layer + 1])
            image = to_rgb(x, latent[:, 2 * octave + 3], image)
        return image


class Discriminator(nn.Module):
    """How real pictures ``[B, 3, size, size]`` in [-1, 1] look: logits ``[B, 1]``."""

    def __init__(self, size: int, multiplier: int = 1) -> None:
        super().__init__()
        widths = [channels_at(edge, multiplier) for edge in reversed(octaves(size))]
        blocks = [ResidualBlock(wide, wider) for wide, wider in pairwise(widths)]
        self.convs = nn.Sequential(nn.Sequential(EqualConv(3, widths[0], 1), Bias(widths[0])), *blocks)
        last = widths[-1]
        self.final_conv = nn.Sequential(EqualConv(last + 1, last, 3, padding=1), Bias(last))
        self.final_linear = nn.Sequential(EqualLinear(last * 4 * 4, last, activate=True), EqualLinear(last, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.convs(image)
        x = self.final_conv(torch.cat([x, variety(x)], 1))
        return self.final_linear(x.flatten(1))


class PixelNorm(nn.Module):
    """Vectors ``[B, D]`` of unit mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Constant(nn.Module):
    """What every picture starts as, ``[B, C, 4, 4]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, batch: int) -> Tensor:
        return self.input.expand(batch, -1, -1, -1)


class StyledConv(nn.Module):
    """A modulated convolution, noise, a bias and the leaky ReLU."""

    def __init__(self, wide: int, wider: int, upsample: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(wide, wider, 3, STYLE, upsample=upsample)
        self.noise = Noise()
        self.activate = Bias(wider)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        return self.activate(self.noise(self.conv(x, style), noise))


class Noise(nn.Module):
    """Adds as much noise as it has learned to."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.weight * noise


class ToRGB(nn.Module):
    """Colours of the features, added to those of the octave below."""

    def __init__(self, wide: int, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = Resample(pad=(2, 1), up=2, gain=4) if upsample else None
        self.conv = ModulatedConv(wide, 3, 1, STYLE, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, below: Tensor | None = None) -> Tensor:
        colours = self.conv(x, style) + self.bias
        return colours if self.upsample is None else colours + self.upsample(below)


class ResidualBlock(nn.Module):
    """Two convolutions and a short cut, halving the size."""

    def __init__(self, wide: int, wider: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(EqualConv(wide, wide, 3, padding=1), Bias(wide))
        self.conv2 = nn.Sequential(Resample(pad=(2, 2)), EqualConv(wide, wider, 3, stride=2), Bias(wider))
        self.skip = nn.Sequential(Resample(pad=(1, 1)), EqualConv(wide, wider, 1, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


def variety(x: Tensor) -> Tensor:
    """``[B, 1, H, W]``: the mean deviation of features ``[B, C, H, W]`` within groups of four pictures, or of as many
    as divide the batch: picture n is with n + B / group, n + 2 B / group, …"""
    group = next(count for count in range(GROUP, 0, -1) if len(x) % count == 0)
    deviation = torch.sqrt(x.unflatten(0, (group, -1)).var(0, unbiased=False) + 1e-8)
    return deviation.mean((1, 2, 3), keepdim=True).repeat(group, 1, *x.shape[2:])


def channels_at(size: int, multiplier: int) -> int:
    """How many channels there are at ``size`` pixels."""
    return 512 if size <= 32 else 16384 // size * multiplier


def octaves(size: int) -> list[int]:
    """4, 8, … to ``size``; raises ValueError unless ``size`` is a power of two and 8 at least."""
    if size < 8 or size & (size - 1):
        raise ValueError(f"StyleGAN2 draws sizes that are powers of two from 8 to 1024 pixels, got {size}")
    return [4 << octave for octave in range(size.bit_length() - 2)]
