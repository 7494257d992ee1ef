"""What StyleGAN2 computes with (Karras et al., CVPR 2020), in plain torch: it runs and differentiates on any device."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLUR = (1, 3, 3, 1)  # a low-pass filter along each axis
SLOPE = 0.2


def upfirdn2d(image: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Tensor:
    """``[B, C, H, W]`` with zeros between its pixels, padded, convolved with ``kernel`` ``[K, K]``, and thinned out.

    ``up`` - 1 zeros follow every pixel; ``pad`` is before and after, of rows and columns alike, none negative.
    """
    batch, channels, height, width = image.shape
    spread = F.pad(image[..., :, None, :, None], (0, up - 1, 0, 0, 0, up - 1))
    planes = F.pad(spread.reshape(batch * channels, 1, height * up, width * up), (*pad, *pad))
    filtered = F.conv2d(planes, kernel.flip(0, 1).to(image.dtype)[None, None], stride=down)
    return filtered.reshape(batch, channels, *filtered.shape[2:])


def leaky(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """A leaky ReLU after a bias of the second axis, scaled to keep the variance."""
    if bias is not None:
        x = x + bias.view(1, -1, *[1] * (x.ndim - 2))
    return F.leaky_relu(x, SLOPE) * math.sqrt(2)


def low_pass(gain: float = 1) -> Tensor:
    """``BLUR`` along both axes ``[4, 4]``, its sum ``gain``."""
    taps = torch.tensor(BLUR, dtype=torch.float32)
    return torch.outer(taps, taps) * (gain / taps.sum() ** 2)


class Resample(nn.Module):
    """``upfirdn2d`` with the low-pass filter, which the published files hold as ``kernel``."""

    kernel: Tensor

    def __init__(self, pad: tuple[int, int], up: int = 1, gain: float = 1) -> None:
        super().__init__()
        self.pad, self.up = pad, up
        self.register_buffer("kernel", low_pass(gain))

    def forward(self, image: Tensor) -> Tensor:
        return upfirdn2d(image, self.kernel, up=self.up, pad=self.pad)


class Bias(nn.Module):
    """A learned bias ``[C]``, then the leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return leaky(x, self.bias)


class EqualLinear(nn.Module):
    """A linear layer whose weights are scaled as it runs, so that all learn at one rate (times ``rate``)."""

    def __init__(self, wide: int, wider: int, bias: float = 0, rate: float = 1, activate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(wider, wide) / rate)
        self.bias = nn.Parameter(torch.full((wider,), float(bias)))
        self.rate, self.activate = rate, activate

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight * (self.rate / math.sqrt(self.weight.shape[1])), self.bias * self.rate
        x = F.linear(x, weight, bias)
        return leaky(x) if self.activate else x


class EqualConv(nn.Module):
    """A convolution whose weights are scaled as it runs; without bias."""

    def __init__(self, wide: int, wider: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(wider, wide, kernel, kernel))
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        scale = 1 / math.sqrt(self.weight[0].numel())
        return F.conv2d(x, self.weight * scale, stride=self.stride, padding=self.padding)


class ModulatedConv(nn.Module):
    """A convolution whose input channels each style scales; ``upsample`` doubles the size.

    The published arithmetic gives every picture weights of its own and runs them as one grouped convolution. Here
    the picture is scaled instead and, to demodulate, the result: the same numbers from one ordinary convolution.
    """

    def __init__(
        self, wide: int, wider: int, kernel: int, style: int, demodulate: bool = True, upsample: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, wider, wide, kernel, kernel))
        self.modulation = EqualLinear(style, wide, bias=1)
        self.demodulate, self.padding = demodulate, kernel // 2
        self.blur = Resample(pad=(1, 1), gain=4) if upsample else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight = self.weight[0] / math.sqrt(self.weight[0, 0].numel())
        scale = self.modulation(style)
        x = x * scale[:, :, None, None]
        if self.blur is None:
            x = F.conv2d(x, weight, padding=self.padding)
        else:
            x = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        if self.demodulate:
            energy = scale.square() @ weight.square().sum((2, 3)).t()
            x = x * torch.rsqrt(energy + 1e-8)[:, :, None, None]
        return x
