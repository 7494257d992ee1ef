"""Strokes by gradient descent through the renderer: the bound that painters are compared with.

Blocks of strokes are laid one after another. A block begins as the best of random strokes, chosen greedily where the
error is, each in the colour that is best for it; then all its numbers descend the squared error together. At the end so
do those of all strokes.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..agents.policies.painter import stroke_gain
from ..simulators.renderers import Renderer

SHRINK = 8  # strokes: after n of them, new ones begin about sqrt(1 + n / SHRINK) times smaller
GRID = 4  # pixels, the grain of the map of errors that strokes are placed by
RANGE = 2.2  # sizes of new strokes spread over a factor of e^RANGE
OPACITY = 0.95  # of new strokes: not 1, where clamping stops the gradient

Progress = Callable[[int, Tensor], None]


def optimise(
    target: Tensor,
    strokes: int,
    renderer: Renderer,
    canvas: Tensor | None = None,
    block: int = 20,
    candidates: int = 60,
    steps: int = 30,
    polish: int = 20,
    rate: float = 0.02,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    """Strokes `[B, strokes, 13]` that paint `target` `[B, 3, H, W]`, in [0, 1], on `canvas`, like it, or on black.

    Each block takes `steps` of Adam at `rate`, and the whole `polish` steps at half of it. `progress(count, canvas)` is
    told of every block and of the end. Raises ValueError for fewer than 1 stroke.
    """
    if strokes < 1:
        raise ValueError(f"strokes must be at least 1, got {strokes}")
    generator = torch.Generator(target.device).manual_seed(seed)
    ground = torch.zeros_like(target) if canvas is None else canvas
    laid, canvas = target.new_zeros(len(target), 0, renderer.num_params + 3), ground
    while (done := laid.shape[1]) < strokes:
        new = pursue(canvas, target, min(block, strokes - done), done, renderer, candidates, generator)
        new, canvas = descend(canvas, target, new, renderer, steps, rate)
        laid = torch.cat([laid, new], 1)
        if progress:
            progress(laid.shape[1], canvas)
    laid, canvas = descend(ground, target, laid, renderer, polish, rate / 2)
    if progress:
        progress(strokes, canvas)
    return laid


@torch.no_grad()
def pursue(
    canvas: Tensor,
    target: Tensor,
    count: int,
    done: int,
    renderer: Renderer,
    candidates: int,
    generator: torch.Generator,
) -> Tensor:
    """`[B, count, 13]`, one after another the best of random strokes; there are new ones to choose from every 5."""
    lane, found = torch.arange(len(target), device=target.device), []
    for number in range(count):
        if number % 5 == 0:
            shape = guess(canvas, target, candidates, done + number, generator)
            alpha = renderer(shape.flatten(0, 1)).view(*shape.shape[:2], -1)
        gain, colour = stroke_gain(alpha, canvas, target)
        best = gain.argmax(1)
        found.append(torch.cat([shape[lane, best], colour[lane, best]], 1))
        opacity = alpha[lane, best].view(-1, 1, *canvas.shape[2:])
        canvas = torch.lerp(canvas, colour[lane, best][:, :, None, None], opacity)
    return torch.stack(found, 1)


def guess(canvas: Tensor, target: Tensor, count: int, done: int, generator: torch.Generator) -> Tensor:
    """Random shapes `[B, count, 10]` around places drawn in proportion to the squared error there."""

    def uniform(numbers: int) -> Tensor:
        return torch.rand(len(target), count, numbers, generator=generator, device=target.device)

    error = F.avg_pool2d((target - canvas).square().mean(1, keepdim=True), GRID)
    side = error.shape[-1]
    place = torch.multinomial(error.flatten(1) + 1e-9, count, replacement=True, generator=generator)
    middle = (torch.stack([place // side, place % side], -1) + uniform(2)) / side
    scale = torch.exp(-RANGE * uniform(1)) / (1 + done / SHRINK) ** 0.5
    half = 0.5 * scale * torch.randn(middle.shape, generator=generator, device=target.device)
    radius = 0.9 * scale * torch.exp(-uniform(2))
    opacity = torch.full_like(middle, OPACITY)
    return torch.cat([middle - half, uniform(2), middle + half, radius, opacity], -1).clamp(0.003, 0.997)


def descend(
    canvas: Tensor, target: Tensor, strokes: Tensor, renderer: Renderer, steps: int, rate: float
) -> tuple[Tensor, Tensor]:
    """The best strokes on the way down from `strokes` `[B, N, 13]`, image by image, and their canvas."""
    strokes = strokes.clone().requires_grad_()
    optimiser = torch.optim.Adam([strokes], rate, betas=(0.8, 0.98))
    best, least = strokes.detach().clone(), target.new_full((len(target),), float("inf"))
    for step in range(steps + 1):
        error = (renderer.paint(canvas, strokes) - target).square().mean((1, 2, 3))
        better = error < least
        best = torch.where(better[:, None, None], strokes.detach(), best)
        least = torch.where(better, error.detach(), least)
        if step < steps:
            optimiser.param_groups[0]["lr"] = rate * (1 - 0.9 * step / steps)
            optimiser.zero_grad()
            error.sum().backward()
            optimiser.step()
            strokes.data.clamp_(0, 1)
    with torch.no_grad():
        return best, renderer.paint(canvas, best)
