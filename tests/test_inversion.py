"""Photos to latents, on a world that is linear and on an untrained StyleGAN2."""

import pytest
import torch
from torch import nn

from retouch.simulators.inversion import invert, ramp
from retouch.simulators.stylegan2 import Generator


class Linear(nn.Module):
    """Pictures of 4 px, whose 48 numbers are a rotation of the latent, squeezed."""

    size, noise_size, latent_shape = 4, 48, (48,)

    def __init__(self):
        super().__init__()
        matrix = torch.randn(48, 48, generator=torch.Generator().manual_seed(0))
        self.turn = nn.Parameter(torch.linalg.qr(matrix).Q, requires_grad=False)

    def sample(self, noise):
        return noise

    def synthesize(self, latent):
        return torch.sigmoid(latent @ self.turn).view(-1, 3, 4, 4)


@pytest.fixture
def photos():
    return torch.randn(2, 48, generator=torch.Generator().manual_seed(5))


def test_finds_the_latent_of_each_picture(photos):
    world = Linear()
    found = invert(world, world.synthesize(photos), steps=300)
    assert found.shape == (2, 48)
    assert not found.requires_grad
    torch.testing.assert_close(found, photos, atol=0.02, rtol=0)


def test_is_the_same_at_every_call(photos):
    world = Linear()
    image = world.synthesize(photos)
    torch.manual_seed(1)
    first = invert(world, image, steps=100)
    torch.manual_seed(2)
    assert torch.equal(invert(world, image, steps=100), first)


def test_runs_where_gradients_are_off(photos):
    world = Linear()
    with torch.no_grad():
        found = invert(world, world.synthesize(photos), steps=300)
    torch.testing.assert_close(found, photos, atol=0.02, rtol=0)


def test_progress_is_told_and_the_error_falls(photos):
    world, told = Linear(), []
    invert(world, world.synthesize(photos), steps=200, progress=lambda step, loss: told.append((step, loss)))
    assert [step for step, _ in told] == list(range(200))
    assert told[-1][1] < 0.001 * told[0][1]


def test_a_perceptual_distance_joins_in(photos):
    world = Linear()
    image = world.synthesize(photos)
    seen = []

    def dark_red(drawn, wanted):  # wants the first channel at -1, whatever the photo
        seen.append(drawn.shape == wanted.shape == (2, 3, 4, 4) and -1 <= wanted.min() < 0)
        return 10 * (drawn[:, 0] + 1).square().mean((1, 2))

    found = world.synthesize(invert(world, image, steps=300, perceptual=dark_red))
    assert len(seen) == 300 and all(seen)
    assert found[:, 0].mean() < 0.2 * image[:, 0].mean()
    assert (found[:, 1:] - image[:, 1:]).abs().mean() < 0.05


def test_weights_are_tuned_only_where_they_are_given(photos):
    world = Linear()
    image, before = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(3)), world.turn.clone()
    plain = invert(world, image, steps=50)
    assert torch.equal(world.turn, before)
    tuned = invert(world, image, steps=50, tune=world.parameters())
    assert not torch.equal(world.turn, before)
    assert not world.turn.requires_grad
    assert not torch.equal(plain, tuned)


class Styles:
    """An untrained generator of 8 px as a world of W+."""

    size, noise_size, latent_shape = 8, 512, (4, 512)

    def __init__(self):
        torch.manual_seed(0)
        self.generator = Generator(8).requires_grad_(False)

    def sample(self, noise):
        return self.generator.sample(noise)[:, None].repeat(1, 4, 1)

    def synthesize(self, latent):
        return self.generator(latent) / 2 + 0.5


def test_a_photo_draws_nearer_on_stylegan2():
    world = Styles()
    photo = world.synthesize(world.sample(torch.randn(1, 512, generator=torch.Generator().manual_seed(9))))
    told = []
    found = invert(world, photo, steps=40, progress=lambda step, loss: told.append(loss))
    assert found.shape == (1, 4, 512)
    error = (2 * (world.synthesize(found) - photo)).square().mean().item()
    assert error < 0.2 * told[0]


def test_photos_must_have_the_worlds_size():
    with pytest.raises(ValueError, match=r"expected photos \[B, 3, 4, 4\], got \[1, 3, 8, 8\]: resize them"):
        invert(Linear(), torch.zeros(1, 3, 8, 8))


def test_the_rate_rises_and_falls():
    assert ramp(0) == 0
    assert ramp(0.025) == pytest.approx(0.5)
    assert ramp(0.5) == 1
    assert ramp(0.875) == pytest.approx(0.5)
    assert ramp(1) == 0
