"""How near an edited face comes to the wanted one, and how well the person is kept.

Distances are 0 at best; the reward of a step is the gain, by how much a distance fell, which sums over an episode to
what was gained in all.
"""

import torch
from torch import Tensor


def latent_distance(point: Tensor, goal: Tensor) -> Tensor:
    """``[B]``: the mean squared difference of latents ``[B, D]``, as published (the extension of Talk-to-Edit)."""
    return (point - goal).square().mean(1)


def attribute_distance(degrees: Tensor, wish: Tensor) -> Tensor:
    """``[B]``: the mean absolute difference of degrees ``[B, 5]``, as published."""
    return (degrees - wish).abs().mean(1)


def others_distance(degrees: Tensor, start: Tensor, wish: Tensor) -> Tensor:
    """``[B]``: by how many degrees attributes moved, on average, that the ``wish`` leaves as at the ``start``,
    all ``[B, 5]``; 0 where it leaves none."""
    left = (wish - start).abs() < 0.5
    moved = (degrees - start).abs() * left
    return moved.sum(1) / left.sum(1).clamp_min(1)


def identity_distance(embedding: Tensor, source: Tensor) -> Tensor:
    """``[B]`` in [0, 2]: one minus the cosine of embeddings ``[B, E]`` of unit length."""
    return 1 - (embedding * source).sum(1)


def gain(before: Tensor, after: Tensor, start: Tensor | float = 1.0) -> Tensor:
    """``[B]``: how much nearer a step came, as a share of the distance at the ``start``."""
    return (before - after) / torch.as_tensor(start, device=after.device).clamp_min(1e-8)
