"""Distances between images, and the gain of a step in one. Images are ``[B, C, H, W]`` in [0, 1]."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, l1_loss, mse_loss

GATES = ("hard", "hinge")


def l1(image: Tensor, target: Tensor) -> Tensor:
    """``[B]``: mean absolute error over channels and pixels."""
    return l1_loss(image, target, reduction="none").mean((1, 2, 3))


def l2(image: Tensor, target: Tensor) -> Tensor:
    """``[B]``: mean squared error over channels and pixels."""
    return mse_loss(image, target, reduction="none").mean((1, 2, 3))


def worst(image: Tensor, target: Tensor, window: int = 3) -> Tensor:
    """``[B]``: the largest error of a channel, averaged over any ``window`` by ``window`` pixels."""
    return avg_pool2d(image - target, window, 1).abs().amax((1, 2, 3))


def masked_l2(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """``[B]``: mean squared error over the pixels of ``mask`` ``[B, 1, H, W]`` in [0, 1]; 0 where it is empty."""
    return _masked_mean((image - target).square(), mask)


def masked_l1(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """``[B]``: mean absolute error over the pixels of ``mask``, as ``masked_l2``; what was kept with ``1 - mask``."""
    return _masked_mean((image - target).abs(), mask)


def _masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    return (error.mean(1, keepdim=True) * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp_min(1e-8)


def clipped_mae(image: Tensor, source: Tensor, threshold: float | Tensor, gate: str = "hard") -> Tensor:
    """``[B]``: how far an edit went from its source, where that is farther than ``threshold``, a number or ``[B]``.

    The mean absolute error, 0 up to the threshold, and above it all of the error (``hard``, the gate of InstructRL4Pix,
    arXiv:2406.09973, which jumps there) or what goes beyond (``hinge``). Raises ValueError for another gate.
    """
    if gate not in GATES:
        raise ValueError(f"no gate {gate!r}: expected one of {', '.join(GATES)}")
    error = l1(image, source)
    return error * (error > threshold) if gate == "hard" else (error - threshold).clamp_min(0)


def psnr(image: Tensor, target: Tensor) -> Tensor:
    """``[B]``: peak signal-to-noise ratio in dB, at most 100."""
    return -10 * l2(image, target).clamp_min(1e-10).log10()


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """``[B]``: structural similarity (Wang et al., 2004), Gaussian window of sigma 1.5 and 11 pixels.

    The mean over all channels and the pixels whose window lies inside, as scikit-image's
    ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``.
    """
    channels = image.shape[1]
    x = torch.arange(11, device=image.device, dtype=image.dtype) - 5
    line = (-x.square() / (2 * 1.5**2)).exp()
    line = line / line.sum()
    maps = torch.cat([image, target, image * image, target * target, image * target], 1)
    weight = line.expand(5 * channels, 1, 11)
    maps = conv2d(maps, weight[:, :, :, None], groups=5 * channels)
    maps = conv2d(maps, weight[:, :, None, :], groups=5 * channels)
    mean_x, mean_y, square_x, square_y, product = maps.chunk(5, 1)
    variance_x, variance_y = square_x - mean_x.square(), square_y - mean_y.square()
    covariance = product - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2))
    return similarity.mean((1, 2, 3))


def l2_gain(before: Tensor, after: Tensor, target: Tensor, start: Tensor | float) -> Tensor:
    """``[B]``: how much nearer to ``target`` the step came, as a share of the distance at the start.

    ``(d(before) - d(after)) / (start + 1e-8)`` with d the mean squared error and ``start`` ``[B]`` the distance of
    the empty canvas (Huang et al., ICCV 2019, section 3.3). The gains of an episode sum to at most 1.
    """
    return (l2(before, target) - l2(after, target)) / (start + 1e-8)
