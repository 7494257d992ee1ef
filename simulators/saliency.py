"""Which part of a picture is the object, and where in it to look closely.

Published semantic guidance (Singh and Zheng, CVPR 2021) takes the mask and the box from Mask R-CNN and the focus
map from guided backpropagation through a bird classifier. Both are here with the networks injected, and beside
them versions that need no weights: GrabCut from a saliency prior, and local contrast.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .images import resize
from .storage import window_of

Bytes = NDArray[np.uint8]
Detector = Callable[[Bytes], Bytes | None]  # image [H, W, 3] -> mask [H, W] of the object, None where there is none
Focus = Callable[[Bytes, Bytes], Bytes]  # image [H, W, 3], mask [H, W] -> focus map [H, W]

_WORKING_SIZE = 160  # GrabCut's time grows with the pixels, the shape of its mask hardly does


def object_mask(image: Bytes) -> Bytes:
    """The object in `image` [H, W, 3] as a soft mask [H, W], by GrabCut (Rother et al., 2004) from `saliency`.

    Where no object stands out the mask is an ellipse in the middle. The same image has always the same mask.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _WORKING_SIZE / max(height, width))
    small = resize(image, max(8, round(height * scale)), max(8, round(width * scale)))
    likely = saliency(small)
    labels = np.full(likely.shape, cv2.GC_PR_BGD, np.uint8)
    labels[likely > np.quantile(likely, 0.7)] = cv2.GC_PR_FGD
    labels[likely > np.quantile(likely, 0.95)] = cv2.GC_FGD
    labels[0], labels[-1], labels[:, 0], labels[:, -1] = (cv2.GC_BGD,) * 4
    if small.std() > 1:
        cv2.setRNGSeed(0)
        whole = (0, 0, *small.shape[1::-1])  # asked for and not looked at: the labels are given
        cv2.grabCut(small, labels, whole, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    mask = _main_part(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8))
    if not 0.02 < mask.mean() < 0.9:
        mask = (_centre_prior(*mask.shape) > 0.5).astype(np.uint8)
    soft = cv2.GaussianBlur(255 * mask, (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def saliency(image: Bytes) -> NDArray[np.float32]:
    """How much each pixel of `image` [H, W, 3] stands out, [H, W] in [0, 1]: the distance of its colour from the
    border's colours, weighed by a prior for the middle."""
    colour = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), 1.5)
    border = np.concatenate([colour[0], colour[-1], colour[:, 0], colour[:, -1]])
    spread = np.cov(border.T) + 25 * np.eye(3)  # LAB is noisy by about five levels
    offset = colour - border.mean(0)
    distance = np.sqrt(np.einsum("hwc,cd,hwd->hw", offset, np.linalg.inv(spread), offset))
    field = (distance + 0.5) * _centre_prior(*image.shape[:2])
    return (field / field.max()).astype(np.float32)


def contrast_focus(image: Bytes, mask: Bytes) -> Bytes:
    """Fine detail of the object [H, W]: its local contrast, up to the object's 99th percentile."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grain = max(0.7, min(grey.shape) / 160)
    inside = (mask > 127).astype(np.float32)
    share = cv2.GaussianBlur(inside, (0, 0), 3 * grain)  # the object's own mean: its rim is no detail
    mean = cv2.GaussianBlur(grey * inside, (0, 0), 3 * grain) / np.maximum(share, 1e-6)
    detail = np.abs(grey - mean) * inside
    if detail.max() < 1:
        return mask.copy()  # a flat object: nothing in it is finer than the rest
    field = cv2.GaussianBlur(detail, (0, 0), grain) * inside
    return np.round(255 * np.clip(field / np.percentile(field[inside > 0], 99), 0, 1)).astype(np.uint8)


def guided_backprop(model: nn.Module, image: Tensor, class_index: Tensor | None = None) -> Tensor:
    """What in `image` [B, 3, H, W] speaks for a class, [B, 1, H, W] >= 0 (Springenberg et al., 2015).

    The gradient of the logit `class_index` [B] (the highest by default) with respect to the image, where every
    nn.ReLU of `model` lets only positive gradients pass; absolute, summed over channels. `model` maps the image
    to logits [B, K] and is left as it was: mode, hooks and parameter gradients.
    """
    image = image.detach().requires_grad_()
    with torch.enable_grad(), _guided(model):
        logits = model(image)
        chosen = logits.argmax(1) if class_index is None else class_index
        (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), image)
    return gradient.abs().sum(1, keepdim=True)


def gradient_focus(classifier: nn.Module, size: int = 440, device: torch.device | str = "cpu") -> Focus:
    """A focus map by guided backpropagation through `classifier` (ImageNet's normalisation), as published: on the
    masked object cut out by its box and resized to `size`, clipped at the 99th percentile, on the object only."""
    mean = torch.tensor([0.485, 0.456, 0.406], device=device).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=device).view(1, 3, 1, 1)
    classifier = classifier.to(device)

    def focus(image: Bytes, mask: Bytes) -> Bytes:
        height, width = mask.shape
        x, y, w, h = np.round(window_of(mask) * (width, height, width, height)).astype(int)
        cut = (slice(y, y + h), slice(x, x + w))
        alone = np.round(image[cut] * (mask[cut][..., None] / 255)).astype(np.uint8)
        pixels = torch.from_numpy(resize(alone, size, size)).to(device).permute(2, 0, 1)[None] / 255
        gradient = guided_backprop(classifier, (pixels - mean) / deviation)[0, 0].cpu().numpy()
        result = np.zeros_like(mask)
        result[cut] = resize(_to_bytes(gradient), h, w) * (mask[cut] > 127)
        return result

    return focus


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activation: Tensor) -> Tensor:
        ctx.save_for_backward(activation > 0)
        return activation.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (active,) = ctx.saved_tensors
        return gradient.clamp(min=0) * active


@contextmanager
def _guided(model: nn.Module) -> Iterator[None]:
    """`model` in evaluation mode, its ReLUs guided. The hooks act on their outputs, so in-place ones work too."""
    modes = [(module, module.training) for module in model.modules()]
    hooks = [module.register_forward_hook(lambda module, inputs, output: _GuidedReLU.apply(output))
             for module in model.modules() if isinstance(module, nn.ReLU)]
    model.eval()
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode


def _to_bytes(field: NDArray[np.float32]) -> Bytes:
    """`field` from its least value to its 99th percentile as [0, 255]."""
    low, high = float(field.min()), float(np.percentile(field, 99))
    if high <= low:
        return np.zeros(field.shape, np.uint8)
    return np.round(255 * np.clip((field - low) / (high - low), 0, 1)).astype(np.uint8)


def _centre_prior(height: int, width: int) -> NDArray[np.float32]:
    rows = (np.arange(height) + 0.5) / height - 0.5
    columns = (np.arange(width) + 0.5) / width - 0.5
    return np.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / (2 * 0.28**2)).astype(np.float32)


def _main_part(mask: Bytes) -> Bytes:
    """`mask` [H, W] in {0, 1} without parts smaller than a fifth of the largest, holes filled."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(outline) for outline in outlines]
    kept = [outline for outline, area in zip(outlines, areas, strict=True) if area >= max(areas) / 5]
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, kept, -1, 1, cv2.FILLED)
    return filled
