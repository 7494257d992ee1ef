"""The painter that we ship: it proposes a stroke at every place and scale, and lays those that gain most.

One small network looks at the canvas beside the target, on every octave from the full size down to about `SMALLEST`
pixels, and proposes a stroke for each `CELL` x `CELL` pixels of the octave, with a forecast of what it would gain. The
most promising are drawn by the renderer, and the best of them are laid one after another, each in the colour that is
best where it lies. That is model-based DDPG with a discount of 0 taken at its word: the network is actor and critic,
and the model, which is known and cheap, has the last say.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELL = 8  # pixels of an octave for which one stroke is proposed
SMALLEST = 32  # pixels: no octave is smaller
NEIGHBOURHOOD = 17  # pixels around a place whose error is the unit of what is seen and gained there
CHANNELS = 13  # of what the network sees
SHAPE = 10  # numbers that make a stroke's shape
REACH = 14.0  # pixels of an octave from the middle of a stroke to its ends, at most
THINNEST, THICKEST = 0.4, 8.0  # radius, in pixels of an octave


class Octave(NamedTuple):
    """What there is to see on one octave of `size` pixels."""

    features: Tensor  # [B, CHANNELS, size, size]
    error: Tensor  # [B, (size / CELL)^2], squared error of each cell's neighbourhood, summed over the canvas' pixels


class Proposals(NamedTuple):
    """Strokes for all cells of all octaves."""

    output: Tensor  # [B, N, SHAPE], what the network said
    frame: Tensor  # [N, 3], row and column of a cell's middle in the octave's pixels, and canvas pixels in one of them
    share: Tensor  # [B, N], forecast of the gain as a share of `error`
    error: Tensor  # [B, N], as in `Octave`


class StrokeNet(nn.Module):
    """Features of an octave `[B, CHANNELS, L, L]` -> a stroke and its forecast `[B, SHAPE + 1, L / CELL, L / CELL]`."""

    def __init__(self, fine: int = 64, coarse: int = 128) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(CELL // 2), nn.Conv2d(CHANNELS * (CELL // 2) ** 2, fine, 1))
        self.body = nn.Sequential(
            Residual(fine),
            nn.ReLU(),
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1),
            Residual(coarse),
            Residual(coarse),
        )
        last = nn.Conv2d(coarse, SHAPE + 1, 1)
        nn.init.normal_(last.weight, std=0.02)
        self.head = nn.Sequential(nn.GroupNorm(8, coarse), nn.ReLU(), last)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.body(self.stem(features.contiguous(memory_format=torch.channels_last))))


class Residual(nn.Module):
    """A residual block that starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.branch = nn.Sequential(
            nn.GroupNorm(8, channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), last
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Painter(nn.Module):
    """The policy: `painter(obs) -> action`, for canvases of the renderer's size, a multiple of 32.

    `renderer(shape [N, 10]) -> alpha [N, H, W]` is the world's own or a stand-in for it. For each bundle, the
    `candidates` proposals of the highest forecast are drawn, each as proposed and in `variants` - 1 varied ways. The
    bundle's strokes are the best one after another, each judged on the canvas that the earlier ones leave; once these
    have taken more than `stale` of the error, new proposals are asked for.
    """

    def __init__(
        self,
        renderer: nn.Module,
        net: StrokeNet | None = None,
        bundle: int = 5,
        candidates: int = 16,
        variants: int = 4,
        spread: float = 0.4,
        stale: float = 0.1,
    ) -> None:
        super().__init__()
        self.renderer, self.net = renderer, net or StrokeNet()
        self.bundle, self.candidates, self.variants = bundle, candidates, variants
        self.spread, self.stale = spread, stale

    @torch.no_grad()
    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """`canvas`, `target` uint8 `[B, 3, H, W]` and `step` int64 `[B]` -> action `[B, bundle * 13]` in [0, 1].

        Deterministic, and the same for an image whatever the batch. `step` picks the variations. Raises ValueError for
        images of another size than the renderer's.
        """
        canvas, target = (obs[name].float() / 255 for name in ("canvas", "target"))
        if canvas.shape[-2:] != (self.renderer.size, self.renderer.size):
            raise ValueError(
                f"the painter's renderer draws {self.renderer.size} x {self.renderer.size} pixels, "
                f"got a canvas of {tuple(canvas.shape[-2:])}"
            )
        strokes, lane = [], torch.arange(len(canvas), device=canvas.device)
        error = (target - canvas).square().sum((1, 2, 3))
        shape, alpha = self.drawn(canvas, target, obs["step"])
        asked = error
        for number in range(self.bundle):
            gain, colour = stroke_gain(alpha, canvas, target)
            best = gain.argmax(1)
            colour, opacity = colour[lane, best], alpha[lane, best].view(-1, 1, *canvas.shape[2:])
            strokes.append(torch.cat([shape[lane, best], colour], 1))
            canvas = torch.lerp(canvas, colour[:, :, None, None], opacity)
            error = error - gain[lane, best]
            old = error < (1 - self.stale) * asked
            if number + 1 < self.bundle and old.any():
                shape[old], alpha[old] = self.drawn(canvas[old], target[old], obs["step"][old])
                asked = torch.where(old, error, asked)
        return torch.stack(strokes, 1).flatten(1)

    def drawn(self, canvas: Tensor, target: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """The most promising strokes `[B, M, 10]` and their opacity `[B, M, H * W]`."""
        found = self.propose(canvas, target)
        forecast = found.share * found.error
        best = forecast.topk(min(self.candidates, forecast.shape[1]), 1).indices
        output = found.output.gather(1, best[:, :, None].expand(-1, -1, SHAPE))[:, :, None]
        output = output + self.spread * variations(step, self.variants)[:, None]
        shape = stroke_shape(output, found.frame[best][:, :, None], canvas.shape[-1]).flatten(1, 2)
        return shape, self.renderer(shape.flatten(0, 1)).view(*shape.shape[:2], -1)

    def propose(self, canvas: Tensor, target: Tensor) -> Proposals:
        """Proposals for canvases and targets `[B, 3, H, W]` in [0, 1]."""
        output, frame, error = [], [], []
        for octave in octaves(canvas, target):
            said = self.net(octave.features)
            output.append(said.flatten(2).transpose(1, 2))
            frame.append(frames(said.shape[-1], canvas.shape[-1] // octave.features.shape[-1], said.device))
            error.append(octave.error)
        said = torch.cat(output, 1)
        return Proposals(said[..., :SHAPE], torch.cat(frame), said[..., SHAPE], torch.cat(error, 1))


def octaves(canvas: Tensor, target: Tensor) -> list[Octave]:
    """What the network sees of canvases and targets `[B, 3, S, S]` in [0, 1], from the full size down.

    Differences are in units of the neighbourhood's error, so that the last strokes look to it like the first ones. Of
    what an octave cannot show, it knows the error and the canvas' own contrast: what a wide stroke would destroy.
    """
    found, scale = [], 1
    error, power = ((x.square()).mean(1, keepdim=True) for x in (target - canvas, canvas))
    while True:
        near = blurred(error)
        unit = (near + 1e-6).sqrt()
        contrast = (power - canvas.square().mean(1, keepdim=True)).clamp_min(0)
        seen = (
            (target - canvas) / unit,
            canvas - 0.5,
            target - 0.5,
            error.sqrt() / unit,
            unit.log() / 2 + 1,
            (contrast + 1e-8).sqrt() / unit,
            torch.ones_like(unit),
        )
        pixels = 3 * (NEIGHBOURHOOD * scale) ** 2
        found.append(Octave(torch.cat(seen, 1), pixels * F.avg_pool2d(near, CELL).flatten(1)))
        half = canvas.shape[-1] // 2
        if half < SMALLEST or half % CELL:
            return found
        error, power, canvas, target = (F.avg_pool2d(x, 2) for x in (error, power, canvas, target))
        scale *= 2


def blurred(image: Tensor) -> Tensor:
    """The mean over each pixel's neighbourhood, the edge repeated."""
    around = F.pad(image, [NEIGHBOURHOOD // 2] * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(around, (NEIGHBOURHOOD, 1), 1), (1, NEIGHBOURHOOD), 1)


def frames(cells: int, scale: int, device: torch.device) -> Tensor:
    """`[cells^2, 3]`: row and column of the middle of each cell in pixels of the octave, and `scale`."""
    middle = torch.arange(cells, device=device) * CELL + (CELL - 1) / 2
    row, column = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack([row, column, torch.full_like(row, scale)], -1).flatten(0, 1)


def stroke_shape(output: Tensor, frame: Tensor, size: int) -> Tensor:
    """What the network said `[..., 10]` at `frame` `[..., 3]` as a shape `[..., 10]` in [0, 1] on `size` pixels.

    The clamp lets the gradient through, so that a stroke that leaves the canvas can come back.
    """
    scale = frame[..., 2:]
    middle = frame[..., :2] + CELL * torch.tanh(output[..., 0:2])
    half = REACH * torch.tanh(output[..., 2:4] / 2)
    ends = [2 * (end + 0.5) * scale / (2 * size - 1) for end in (middle - half, middle + half)]
    control, opacity = torch.sigmoid(output[..., 4:6]), torch.sigmoid(output[..., 8:10] + 2)
    radius = THINNEST * (THICKEST / THINNEST) ** torch.sigmoid(output[..., 6:8]) * scale
    free = torch.cat([ends[0], control, ends[1], (4 * radius - 1) / size, opacity], -1)
    return free + (free.clamp(0, 1) - free).detach()


def stroke_gain(alpha: Tensor, canvas: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """What strokes `alpha` `[B, N, H * W]` would gain on canvases `[B, 3, H, W]`, each alone and in its best colour.

    Returns the decrease of the squared error `[B, N]`, summed over pixels and channels, differentiable in alpha, and
    the colour `[B, N, 3]`. Laying colour k changes the canvas by a (k - c), so with d = target - c the gain is
    sum of 2 a d (k - c) - a^2 (k - c)^2, a parabola in k with its top at sum(a d + a^2 c) / sum(a^2).
    """
    canvas, difference = canvas.flatten(2), (target - canvas).flatten(2)
    once = torch.cat([difference, (difference * canvas).sum(1, keepdim=True)], 1)
    twice = torch.cat([canvas, canvas.square().sum(1, keepdim=True), torch.ones_like(canvas[:, :1])], 1)
    first, second = alpha @ once.mT, alpha.square() @ twice.mT
    pull, weight = first[..., :3] + second[..., :3], second[..., 4:]
    colour = (pull / weight.clamp_min(1e-6)).clamp(0, 1).detach()
    return (2 * colour * pull - colour.square() * weight).sum(-1) - 2 * first[..., 3] - second[..., 3], colour


def variations(step: Tensor, count: int) -> Tensor:
    """For each step `[B]` its own `count` points `[B, count, 10]`, spread like standard normal ones, the first 0.

    A Kronecker sequence (Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018).
    """
    root = 1.0682971889  # of x^11 = x + 1: the golden ratio in 10 dimensions
    stride = root ** -torch.arange(1, SHAPE + 1, device=step.device, dtype=torch.float64)
    number = step[:, None] * count + torch.arange(count, device=step.device)
    uniform = (0.5 + number[:, :, None] * stride) % 1
    normal = math.sqrt(2) * torch.erfinv((2 * uniform - 1).clamp(-0.999, 0.999))
    return (normal * (torch.arange(count, device=step.device) > 0)[:, None]).float()
