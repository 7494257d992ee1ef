"""Rewards alone: literals worked out by hand, and what must always hold."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from retouch.rewards.guidance import focus_gain, focus_l2, foreground_gain, foreground_l2, zoom
from retouch.rewards.pixel import l2, l2_gain, masked_l2, psnr, ssim
from retouch.rewards.wgan import WGAN, PairCritic, gradient_penalty


def images(n=2, size=16, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_l2_of_black_and_grey():
    black, grey = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)
    assert l2(black, grey).tolist() == [0.25]
    assert psnr(black, grey).item() == pytest.approx(6.0206, abs=1e-4)
    assert psnr(grey, grey).item() == pytest.approx(100.0)


def test_masked_l2_counts_the_masked_pixels_alone():
    image, target, mask = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), torch.zeros(1, 1, 2, 2)
    target[..., 0, 0] = 0.5
    mask[..., 0, 0] = 1
    assert masked_l2(image, target, mask).tolist() == [0.25]
    assert masked_l2(image, target, torch.zeros_like(mask)).tolist() == [0.0]


def test_masked_l2_splits_the_whole():
    image, target, mask = images(), images(seed=1), (images(seed=2)[:, :1] > 0.6).float()
    inside, share = masked_l2(image, target, mask), mask.mean((1, 2, 3))
    outside = masked_l2(image, target, 1 - mask)
    assert torch.allclose(share * inside + (1 - share) * outside, l2(image, target), atol=1e-6)


def test_ssim_is_scikit_images():
    image, target = images(1, 32)[0], (images(1, 32)[0] + 0.2 * images(1, 32, seed=1)[0]).clamp(0, 1)
    reference = structural_similarity(
        image.permute(1, 2, 0).numpy(),
        target.permute(1, 2, 0).numpy(),
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(image[None], target[None]).item() == pytest.approx(reference, abs=2e-3)
    assert ssim(image[None], image[None]).item() == pytest.approx(1.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_gains_telescope(seed):
    a, b, c, target = (images(2, 8, seed + i) for i in range(4))
    start = l2(torch.zeros_like(a), target)
    whole = l2_gain(a, c, target, start)
    assert torch.allclose(l2_gain(a, b, target, start) + l2_gain(b, c, target, start), whole, atol=1e-5)
    assert torch.allclose(l2_gain(a, b, target, start), -l2_gain(b, a, target, start), atol=1e-6)


def test_the_gains_of_a_perfect_painting_sum_to_one():
    target = images()
    blank = torch.zeros_like(target)
    assert torch.allclose(l2_gain(blank, target, target, l2(blank, target)), torch.ones(2), atol=1e-5)


def test_zoom_of_the_whole_is_the_whole_and_of_a_quarter_is_the_quarter():
    image = images(1)
    assert torch.allclose(zoom(image, torch.tensor([[0.0, 0.0, 1.0, 1.0]])), image, atol=1e-5)
    half = torch.zeros(1, 3, 16, 16)
    half[:, 0, :, 8:] = 1  # red on the right
    right = zoom(half, torch.tensor([[0.5, 0.25, 0.5, 0.5]]))
    assert right[0, 0, :, 1:].min() == 1 and right[0, 1:].max() == 0


def test_foreground_looks_at_the_masked_window_alone():
    target, mask = torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    window = torch.tensor([[0.25, 0.25, 0.5, 0.5]])
    outside = (1 - mask).expand(1, 3, 16, 16)
    inside = mask.expand(1, 3, 16, 16)
    assert foreground_l2(outside, target, mask, window).item() == 0
    assert foreground_l2(inside, target, mask, window).item() > 0.8
    start = foreground_l2(inside, target, mask, window)
    assert foreground_gain(inside, target, target, mask, window, start).item() == pytest.approx(1.0, abs=1e-5)


def test_focus_weighs_by_the_squared_map():
    image, target = torch.zeros(1, 3, 1, 2), torch.ones(1, 3, 1, 2)
    focus = torch.tensor([[[[1.0, 0.5]]]])
    assert focus_l2(image, target, focus).item() == pytest.approx(3 * (1 + 0.25) / 1.5)
    assert focus_gain(image, target, target, focus).item() == pytest.approx(2.5)
    assert focus_l2(image, target, torch.zeros_like(focus)).item() == 0


def test_gradient_penalty_of_a_linear_critic():
    weight = torch.full((1, 6, 2, 2), 0.5)  # norm sqrt(24 / 4) = sqrt(6)
    critic = lambda x: (x * weight).sum((1, 2, 3))
    penalty = gradient_penalty(critic, torch.rand(3, 6, 2, 2), torch.rand(3, 6, 2, 2))
    assert penalty.item() == pytest.approx((6**0.5 - 1) ** 2, abs=1e-5)


def test_wgan_learns_to_prefer_the_target():
    torch.manual_seed(0)
    wgan, target = WGAN(updates=40, batch=16, tau=1.0), images(16, 32)
    canvas = torch.zeros_like(target)
    before = wgan.gain(canvas, target, target).mean().item()
    metrics = wgan.learn(canvas, target)
    after = wgan.gain(canvas, target, target).mean().item()
    assert after > before + 0.1 and set(metrics) == {"gap", "penalty"}


def test_wgan_gains_telescope_and_reach_the_canvas():
    wgan, target = WGAN(), images(2, 32)
    a, b, c = (images(2, 32, seed) for seed in (1, 2, 3))
    assert torch.allclose(wgan.gain(a, b, target) + wgan.gain(b, c, target), wgan.gain(a, c, target), atol=1e-5)
    b.requires_grad_(True)
    wgan.gain(a, b, target).sum().backward()
    assert b.grad.abs().sum() > 0 and all(p.grad is None for p in wgan.slow.parameters())


def test_wgan_resumes_bit_for_bit():
    target, canvas = images(8, 32), images(8, 32, 1)
    one, two = WGAN(updates=2), WGAN(updates=2, seed=9)
    torch.manual_seed(0)
    one.learn(canvas, target)
    two.load_state_dict(one.state_dict())
    for wgan in (one, two):
        torch.manual_seed(1)
        wgan.learn(canvas, target)
    assert all(torch.equal(a, b) for a, b in zip(one.critic.parameters(), two.critic.parameters(), strict=True))


def test_the_seed_alone_decides_the_critic():
    torch.manual_seed(1)
    a = WGAN(seed=3)
    torch.manual_seed(2)
    b = WGAN(seed=3)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert sum(p.numel() for p in PairCritic().parameters()) == pytest.approx(275_000, rel=0.03)
