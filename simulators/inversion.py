"""A user's own photo as a latent: the picture that a world draws of it is pulled towards the photo."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from .faces import Faces

STEPS = 600
RATE = 0.1  # of the latent
TUNING_RATE = 1e-4  # of the world's own weights, where they are tuned
RISE, FALL = 0.05, 0.25  # parts of the way in which the rate grows and shrinks
NOISE, NOISE_ENDS = 0.05, 0.75  # of the latents' spread, and when it has faded
SAMPLES = 4096  # latents whose mean is the start
SEEN = 256  # pixels at which larger pictures are compared

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Two pictures ``[B, 3, S, S]`` in [-1, 1] -> their distance ``[B]``, such as LPIPS."""


@torch.enable_grad()
def invert(
    world: Faces,
    image: Tensor,
    steps: int = STEPS,
    perceptual: Perceptual | None = None,
    tune: Iterable[nn.Parameter] = (),
    progress: Callable[[int, float], None] | None = None,
) -> Tensor:
    """The latents ``[B, *latent_shape]`` of photos ``[B, 3, size, size]`` in [0, 1], by gradient descent from the mean.

    As published (Talk-to-Edit, after Karras et al., CVPR 2020): Adam on the latent, under noise that fades, of the
    squared error and, where given, the ``perceptual`` distance. The published editor went on with a generator tuned
    to the photo; here ``tune`` takes the weights to change: ``mine = world.with_own_generator()``, then
    ``invert(mine, photo, tune=mine.generator.parameters())`` spares the shared one. ``progress`` is told the step
    and the mean loss. The result is the same at every call. Raises ValueError for pictures of another size.
    """
    if image.shape[1:] != (3, world.size, world.size):
        raise ValueError(f"expected photos [B, 3, {world.size}, {world.size}], got {list(image.shape)}: resize them")
    tuned, draw = list(tune), torch.Generator().manual_seed(0)
    mean, spread = _population(world, draw, image.device)
    latent = mean.expand(len(image), *mean.shape).clone().requires_grad_()
    groups: list[dict[str, Any]] = [{"params": [latent]}, {"params": tuned, "lr": TUNING_RATE}]
    optimiser = torch.optim.Adam(groups)
    wanted = _seen(image)
    for weight in tuned:
        weight.requires_grad_(True)
    for step in range(steps):
        way = step / steps
        optimiser.param_groups[0]["lr"] = RATE * ramp(way)
        noise = torch.randn(latent.shape, generator=draw).to(image.device)
        strength = NOISE * spread * max(0.0, 1 - way / NOISE_ENDS) ** 2
        drawn = _seen(world.synthesize(latent + strength * noise))
        loss = (drawn - wanted).square().mean((1, 2, 3))
        if perceptual is not None:
            loss = loss + perceptual(drawn, wanted)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        if progress is not None:
            progress(step, loss.mean().item())
    for weight in tuned:
        weight.requires_grad_(False)
    return latent.detach()


def ramp(way: float) -> float:
    """How much of the rate applies after ``way`` in [0, 1]: it rises in a line and falls by a cosine."""
    return (0.5 - 0.5 * math.cos(math.pi * min(1, (1 - way) / FALL))) * min(1, way / RISE)


@torch.no_grad()
def _population(world: Faces, draw: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """The mean latent, and how far from it latents are."""
    latents = world.sample(torch.randn(SAMPLES, world.noise_size, generator=draw).to(device))
    return latents.mean(0), latents.var(0).sum(-1).mean().sqrt()


def _seen(image: Tensor) -> Tensor:
    """``image`` in [-1, 1], at 256 px if it is larger."""
    return avg_pool2d(2 * image - 1, max(1, image.shape[-1] // SEEN))
