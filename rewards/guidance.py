"""Rewards that look where the meaning is: at the object, and at its telling details.

After Singh and Zheng, Combining Semantic Guidance and Deep Reinforcement Learning for Generating Human Level
Paintings, CVPR 2021 (arXiv:2011.12589). Images are ``[B, 3, H, W]`` in [0, 1], masks and focus maps
``[B, 1, H, W]`` in [0, 1], windows ``[B, 4]``: x, y, width and height in [0, 1], x along the columns.
"""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from .pixel import l2


def zoom(image: Tensor, window: Tensor) -> Tensor:
    """The inside of ``window`` stretched over the whole image: a spatial transformer (Jaderberg et al., 2015)."""
    x, y, width, height = window.unbind(1)
    none = torch.zeros_like(x)
    theta = torch.stack([width, none, 2 * x + width - 1, none, height, 2 * y + height - 1], 1).view(-1, 2, 3)
    grid = affine_grid(theta, list(image.shape), align_corners=False)
    return grid_sample(image, grid, padding_mode="border", align_corners=False)


def foreground_l2(image: Tensor, target: Tensor, mask: Tensor, window: Tensor) -> Tensor:
    """``[B]``: mean squared error of the masked object, zoomed in on by its window."""
    return l2(zoom(image * mask, window), zoom(target * mask, window))


def foreground_gain(
    before: Tensor, after: Tensor, target: Tensor, mask: Tensor, window: Tensor, start: Tensor | float
) -> Tensor:
    """``[B]``: the decrease of ``foreground_l2`` as a share of ``start`` ``[B]``, that of the empty canvas."""
    gain = foreground_l2(before, target, mask, window) - foreground_l2(after, target, mask, window)
    return gain / (start + 1e-8)


def focus_l2(image: Tensor, target: Tensor, focus: Tensor) -> Tensor:
    """``[B]``: squared error weighted by the squared focus map, over the map's sum; 0 where the map is empty."""
    error = ((image - target) * focus).square().sum((1, 2, 3))
    return error / focus.sum((1, 2, 3)).clamp_min(1e-8)


def focus_gain(before: Tensor, after: Tensor, target: Tensor, focus: Tensor) -> Tensor:
    """``[B]``: the decrease of ``focus_l2``; the published reward weighs it by 1,000."""
    return focus_l2(before, target, focus) - focus_l2(after, target, focus)
