"""StyleGAN2 against slow references, and against the layout of the published checkpoints."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from retouch.simulators.stylegan2 import Discriminator, Generator, variety
from retouch.simulators.stylegan2_ops import EqualLinear, ModulatedConv, Resample, leaky, low_pass, upfirdn2d

CHANNELS = {  # of the published generators, from 4 pixels up
    128: [512, 512, 512, 512, 256, 128],
    1024: [512, 512, 512, 512, 512, 256, 128, 64, 32],
}


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def modulated(name, wide, wider, kernel):
    return {
        f"{name}.weight": (1, wider, wide, kernel, kernel),
        f"{name}.modulation.weight": (wide, 512),
        f"{name}.modulation.bias": (wide,),
    }


def styled(name, wide, wider):
    rest = {f"{name}.noise.weight": (1,), f"{name}.activate.bias": (wider,)}
    return modulated(f"{name}.conv", wide, wider, 3) | rest


def published_generator(channels):
    expected = {"input.input": (1, 512, 4, 4), "noises.noise_0": (1, 1, 4, 4), "to_rgb1.bias": (1, 3, 1, 1)}
    for layer in range(1, 9):
        expected |= {f"style.{layer}.weight": (512, 512), f"style.{layer}.bias": (512,)}
    expected |= styled("conv1", 512, 512) | modulated("to_rgb1.conv", 512, 3, 1)
    for octave in range(len(channels) - 1):
        first, second, size = 2 * octave, 2 * octave + 1, 8 * 2**octave
        wide, wider = channels[octave], channels[octave + 1]
        expected |= styled(f"convs.{first}", wide, wider) | styled(f"convs.{second}", wider, wider)
        expected |= modulated(f"to_rgbs.{octave}.conv", wider, 3, 1)
        expected |= {
            f"convs.{first}.conv.blur.kernel": (4, 4),
            f"to_rgbs.{octave}.bias": (1, 3, 1, 1),
            f"to_rgbs.{octave}.upsample.kernel": (4, 4),
            f"noises.noise_{first + 1}": (1, 1, size, size),
            f"noises.noise_{second + 1}": (1, 1, size, size),
        }
    return expected


def published_discriminator(channels):
    down = channels[::-1]
    expected = {"convs.0.0.weight": (down[0], 3, 1, 1), "convs.0.1.bias": (down[0],)}
    for block in range(1, len(down)):
        wide, wider, name = down[block - 1], down[block], f"convs.{block}"
        expected |= {
            f"{name}.conv1.0.weight": (wide, wide, 3, 3),
            f"{name}.conv1.1.bias": (wide,),
            f"{name}.conv2.0.kernel": (4, 4),
            f"{name}.conv2.1.weight": (wider, wide, 3, 3),
            f"{name}.conv2.2.bias": (wider,),
            f"{name}.skip.0.kernel": (4, 4),
            f"{name}.skip.1.weight": (wider, wide, 1, 1),
        }
    return expected | {
        "final_conv.0.weight": (512, 513, 3, 3),
        "final_conv.1.bias": (512,),
        "final_linear.0.weight": (512, 8192),
        "final_linear.0.bias": (512,),
        "final_linear.1.weight": (1, 512),
        "final_linear.1.bias": (1,),
    }


@pytest.mark.parametrize("size, multiplier, layers, parameters", [(128, 1, 12, 24_525_213), (1024, 2, 18, 30_370_060)])
def test_the_generators_have_the_published_layout(size, multiplier, layers, parameters):
    with torch.device("meta"):
        generator = Generator(size, multiplier)
    assert shapes(generator) == published_generator(CHANNELS[size])
    assert sum(value.numel() for value in generator.parameters()) == parameters
    assert generator.layers == layers


@pytest.mark.parametrize("size, multiplier, parameters", [(128, 1, 23_882_369), (1024, 2, 29_012_513)])
def test_the_discriminators_have_the_published_layout(size, multiplier, parameters):
    with torch.device("meta"):
        discriminator = Discriminator(size, multiplier)
    assert shapes(discriminator) == published_discriminator(CHANNELS[size])
    assert sum(value.numel() for value in discriminator.parameters()) == parameters


@pytest.mark.parametrize("up, down, pad", [(1, 1, (0, 0)), (2, 1, (2, 1)), (1, 2, (1, 1)), (3, 2, (4, 0))])
def test_upfirdn2d_is_a_convolution_between_zeros(up, down, pad):
    torch.manual_seed(0)
    image, kernel = torch.randn(2, 3, 5, 4), torch.randn(3, 2)  # no symmetry hides a flip
    result = upfirdn2d(image, kernel, up, down, pad)
    for picture, channel in np.ndindex(2, 3):
        wide = np.zeros((5 * up, 4 * up))
        wide[::up, ::up] = image[picture, channel]
        wide = np.pad(wide, pad)
        rows, columns = wide.shape[0] - 2, wide.shape[1] - 1
        full = np.zeros((rows, columns))
        for row, column in np.ndindex(rows, columns):
            full[row, column] = sum(
                wide[row + 2 - y, column + 1 - x] * kernel[y, x].item() for y, x in np.ndindex(3, 2)
            )
        np.testing.assert_allclose(result[picture, channel], full[::down, ::down], atol=1e-5)


def test_the_low_pass_filter():
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    torch.testing.assert_close(low_pass(), taps[:, None] * taps)
    flat = torch.full((1, 1, 8, 8), 0.7)
    doubled = Resample(pad=(2, 1), up=2, gain=4)(flat)
    assert doubled.shape == (1, 1, 16, 16)
    torch.testing.assert_close(doubled[..., 2:-2, 2:-2], torch.full((1, 1, 12, 12), 0.7))


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("upsample", [True, False])
def test_modulated_convolutions_are_as_if_each_picture_had_weights_of_its_own(demodulate, upsample):
    torch.manual_seed(0)
    layer = ModulatedConv(4, 6, 3, style=5, demodulate=demodulate, upsample=upsample)
    x, style = torch.randn(3, 4, 7, 7), torch.randn(3, 5)
    result = layer(x, style)
    scale = style @ layer.modulation.weight.t() / math.sqrt(5) + 1
    for lane in range(3):
        weight = layer.weight[0] / math.sqrt(4 * 9) * scale[lane][None, :, None, None]
        if demodulate:
            weight = weight / weight.flatten(1).square().sum(1).add(1e-8).sqrt()[:, None, None, None]
        if upsample:  # zeros between the pixels, the flipped kernel over them, then the low-pass filter
            spread = torch.zeros(1, 4, 13, 13)
            spread[..., ::2, ::2] = x[lane]
            expected = F.conv2d(spread, weight.flip(2, 3), padding=2)
            expected = F.conv2d(F.pad(expected, (1, 1, 1, 1)).transpose(0, 1), low_pass(4)[None, None]).transpose(0, 1)
        else:
            expected = F.conv2d(x[lane : lane + 1], weight, padding=1)
        torch.testing.assert_close(result[lane : lane + 1], expected, atol=1e-5, rtol=1e-4)
    assert result.shape == (3, 6, *((14, 14) if upsample else (7, 7)))


def test_linear_layers_scale_weights_and_biases_as_they_run():
    layer = EqualLinear(4, 1, bias=3, rate=0.01)
    layer.load_state_dict({"weight": torch.full((1, 4), 200.0), "bias": torch.tensor([3.0])})
    # 200 * 0.01 / sqrt(4) = 1 for each of four ones, and 3 * 0.01
    assert layer(torch.ones(1, 4)).item() == pytest.approx(4.03)
    assert EqualLinear(4, 4, rate=0.01).weight.std().item() > 10


def test_the_leaky_relu_keeps_the_variance():
    assert leaky(torch.tensor([[1.0, -1.0]]), torch.tensor([1.0, 0.0])).tolist() == [
        [pytest.approx(2 * math.sqrt(2)), pytest.approx(-0.2 * math.sqrt(2))]
    ]


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return Generator(16).requires_grad_(False)


def test_a_style_for_all_layers_is_one_for_each(generator):
    latent = generator.sample(torch.randn(2, 512))
    image = generator(latent)
    assert image.shape == (2, 3, 16, 16)
    torch.testing.assert_close(generator(latent[:, None].repeat(1, 6, 1)), image)
    torch.testing.assert_close(generator(latent[:1]), image[:1], atol=1e-4, rtol=1e-4)
    assert torch.equal(generator(latent), image)  # the noise is fixed


def test_each_layer_of_styles_counts(generator):
    torch.manual_seed(1)
    latent = torch.randn(1, 6, 512)
    image = generator(latent)
    for layer in range(6):
        other = latent.clone()
        other[:, layer] += torch.randn(512)
        assert not torch.allclose(generator(other), image, atol=1e-3), layer


def test_noise_is_added_by_its_weight(generator):
    torch.manual_seed(2)
    latent = torch.randn(1, 512)
    image = generator(latent)
    weight = generator.convs[1].noise.weight
    weight.fill_(1)
    noisy = generator(latent)
    weight.fill_(0)
    assert not torch.allclose(noisy, image)
    assert torch.equal(generator(latent), image)


def test_the_mapping_network_normalises_first(generator):
    noise = torch.randn(3, 512)
    torch.testing.assert_close(generator.sample(5 * noise), generator.sample(noise))
    unit = noise / noise.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(generator.mapping(unit), generator.sample(noise))
    assert not torch.allclose(generator.mapping(5 * unit), generator.mapping(unit))


def test_pictures_differentiate_by_their_latents(generator):
    latent = torch.randn(1, 512, requires_grad=True)
    generator(latent).square().mean().backward()
    assert latent.grad.abs().sum() > 0


def test_the_discriminator_judges_groups():
    features = torch.zeros(8, 1, 1, 1)
    features[0], features[2], features[4], features[6] = 1, 3, 5, 7
    # pictures 0, 2, 4, 6 are a group: their deviation is sqrt(5); the others are all alike
    assert variety(features).flatten().tolist() == pytest.approx([math.sqrt(5), 1e-4] * 4)
    assert variety(torch.zeros(6, 1, 2, 2)).shape == (6, 1, 2, 2)
    torch.manual_seed(0)
    with torch.no_grad():
        assert Discriminator(8)(torch.randn(3, 3, 8, 8)).shape == (3, 1)


@pytest.mark.parametrize("size", [4, 100])
def test_sizes_are_powers_of_two(size):
    with pytest.raises(ValueError, match=f"powers of two from 8 to 1024 pixels, got {size}"):
        Generator(size)
