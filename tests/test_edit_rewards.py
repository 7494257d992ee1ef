"""Rewards of an edit on its pixels and its file: literals, and well-kept references on the same images."""

from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from retouch.rewards.compression import compressibility
from retouch.rewards.pixel import clipped_mae, l1, l2, masked_l1, psnr, ssim, worst
from retouch.simulators.jpeg import jpeg_kilobytes


def images(count=2, size=16, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_l1_of_black_and_grey():
    black, grey = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    grey[1] *= -0.5
    assert l1(black, grey).tolist() == [0.5, 0.25]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_l1_is_a_distance(seed):
    one, other, third = (images(seed=seed + i) for i in range(3))
    assert torch.equal(l1(one, other), l1(other, one)) and l1(one, one).tolist() == [0.0, 0.0]
    assert (l1(one, third) <= l1(one, other) + l1(other, third) + 1e-6).all()
    assert (l1(one, other).square() <= l2(one, other) + 1e-6).all()


def test_inside_and_outside_of_the_mask_make_the_whole():
    image, target, mask = images(), images(seed=1), (images(seed=2)[:, :1] > 0.6).float()
    inside, outside, share = masked_l1(image, target, mask), masked_l1(image, target, 1 - mask), mask.mean((1, 2, 3))
    assert torch.allclose(share * inside + (1 - share) * outside, l1(image, target), atol=1e-6)


def test_masked_l1_counts_the_masked_pixels_alone():
    image, target, mask = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), torch.zeros(1, 1, 2, 2)
    target[..., 0, 0] = 0.25
    mask[..., 0, 0] = 1
    assert masked_l1(image, target, mask).tolist() == [0.25]
    assert masked_l1(image, target, torch.zeros_like(mask)).tolist() == [0.0]


@pytest.mark.parametrize("gate, expected", [("hard", [0.0, 0.0, 0.375, 0.5]), ("hinge", [0.0, 0.0, 0.125, 0.25])])
def test_what_is_below_the_threshold_costs_nothing(gate, expected):
    change = torch.tensor([0.125, 0.25, 0.375, 0.5]).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert clipped_mae(change, torch.zeros(4, 3, 2, 2), 0.25, gate).tolist() == expected


def test_every_picture_may_have_a_threshold_of_its_own():
    change, threshold = torch.full((2, 3, 2, 2), 0.5), torch.tensor([0.25, 0.75])
    assert clipped_mae(change, torch.zeros_like(change), threshold).tolist() == [0.5, 0.0]
    assert clipped_mae(change, torch.zeros_like(change), threshold, "hinge").tolist() == [0.25, 0.0]


def test_the_hinge_has_no_jump_at_the_threshold_and_the_gate_one_of_its_size():
    around = torch.tensor([0.2499, 0.2501]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    jump = lambda gate: clipped_mae(around, torch.zeros(2, 3, 2, 2), 0.25, gate).diff().item()
    assert jump("hinge") == pytest.approx(0, abs=2e-4) and jump("hard") == pytest.approx(0.25, abs=2e-4)


def test_another_gate_is_refused():
    with pytest.raises(ValueError, match="expected one of hard, hinge"):
        clipped_mae(images(), images(), 0.1, "soft")


@pytest.mark.parametrize("distance", [l1, l2, psnr, ssim])
def test_metrics_are_differentiable_and_each_picture_has_its_own(distance):
    image, target = images(4).requires_grad_(True), images(4, seed=1)
    values = distance(image, target)
    alone = torch.cat([distance(image[i : i + 1], target[i : i + 1]) for i in range(4)])
    assert values.shape == (4,) and torch.allclose(values, alone, atol=1e-6)
    values[2].backward()
    assert image.grad[2].abs().sum() > 0 and image.grad[[0, 1, 3]].abs().sum() == 0


def test_metrics_are_scikit_images():
    target = images(3, 32)
    image = (target + 0.2 * images(3, 32, seed=1)).clamp(0, 1)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for i in range(3):
        one, other = (x[i].permute(1, 2, 0).double().numpy() for x in (image, target))
        assert l1(image, target)[i].item() == pytest.approx(np.abs(one - other).mean(), rel=1e-5)
        assert l2(image, target)[i].item() == pytest.approx(mean_squared_error(one, other), rel=1e-5)
        assert psnr(image, target)[i].item() == pytest.approx(peak_signal_noise_ratio(other, one, data_range=1), 1e-5)
        reference = structural_similarity(one, other, channel_axis=2, data_range=1, **window)
        assert ssim(image, target)[i].item() == pytest.approx(reference, abs=1e-4)


def test_jpeg_sizes_are_those_of_the_files():
    batch = torch.cat([torch.full((1, 3, 40, 24), 0.5), images(1, 40)[..., :24]])
    sizes = jpeg_kilobytes(batch)
    for picture, size in zip(batch, sizes, strict=True):
        file = BytesIO()
        Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "JPEG", quality=95)
        assert size.item() == pytest.approx(len(file.getvalue()) / 1000)
    assert sizes[0] < 1 < sizes[1] and sizes.shape == (2,)
    assert compressibility(sizes).argmax() == 0
    assert jpeg_kilobytes(batch, quality=10)[1] < sizes[1] / 2


def test_jpeg_clips_what_no_file_can_hold():
    outside = torch.where(images(1) > 0.5, 1.5, -0.5)
    assert torch.equal(jpeg_kilobytes(outside), jpeg_kilobytes(outside.clamp(0, 1)))


def test_the_worst_error_is_where_a_fault_is():
    """Nine pixels of 0.5 in one channel are the worst; one pixel alone counts a ninth; the sign does not matter."""
    target = torch.full((3, 3, 8, 8), 0.25)
    image = target.clone()
    image[0, 1, 2:5, 3:6] += 0.5
    image[1, 2, 0, 0] += 0.45
    image[2, 0, 5:, 5:] -= 0.25
    assert torch.allclose(worst(image, target), torch.tensor([0.5, 0.05, 0.25]))
