"""The sampler's Gaussians against diffusers' own steps and against the published log-probability."""

import json
import math

import pytest
import torch

from retouch import backends
from retouch.simulators.ddim import DDIM

SCHEDULES = {
    "stable diffusion": {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    },
    "no offset": {"clip_sample": False, "set_alpha_to_one": False},
    "to one": {"clip_sample": False},
    "clipped": {"clip_sample": True, "clip_sample_range": 0.7},
    "trailing": {
        "beta_schedule": "squaredcos_cap_v2",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "timestep_spacing": "trailing",
    },
}


def scheduler_of(schedule, steps):
    scheduler = backends.diffusers().DDIMScheduler(**schedule)
    scheduler.set_timesteps(steps)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()  # its float32 is off by 1e-4 in the first cosine step
    scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.double()
    return scheduler


def draws(count):
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(count, 4, 3, 3, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_step_is_that_of_diffusers(name, prediction):
    steps = 10
    schedule = {**SCHEDULES[name], "prediction_type": prediction}
    scheduler, ddim = scheduler_of(schedule, steps), DDIM(schedule, steps, eta=1.0)
    output, latent, noise = draws(steps)
    left = torch.arange(steps, 0, -1)
    mean, deviation = ddim.gaussian(output, latent, left)  # all the steps at once
    assert ddim.timestep(left).tolist() == scheduler.timesteps.tolist()
    for i, timestep in enumerate(scheduler.timesteps):
        row = slice(i, i + 1)
        for variance_noise in (torch.zeros_like(noise[row]), noise[row]):
            theirs = scheduler.step(output[row], timestep, latent[row], eta=1.0, variance_noise=variance_noise)
            mine = mean[row] + deviation[row] * variance_noise
            torch.testing.assert_close(mine.double(), theirs.prev_sample.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_log_probability_is_the_published_one(prediction):
    """ddim_step_with_logprob of DDPO, written out for one timestep after the other."""
    steps, generator = 10, torch.Generator().manual_seed(1)
    schedule = {**SCHEDULES["stable diffusion"], "prediction_type": prediction}
    scheduler, ddim = scheduler_of(schedule, steps), DDIM(schedule, steps)
    output, latent, noise = draws(steps)
    mean, deviation = ddim.gaussian(output, latent, torch.arange(steps, 0, -1))
    following = mean + deviation * torch.randn(mean.shape, generator=generator)
    mine = torch.distributions.Normal(mean, deviation).log_prob(following).mean((1, 2, 3))
    for i, timestep in enumerate(scheduler.timesteps):
        now = scheduler.alphas_cumprod[timestep]
        then = scheduler.alphas_cumprod[(timestep - 1000 // steps).clamp(0, 999)]
        if prediction == "epsilon":
            clean, residue = (latent[i] - (1 - now) ** 0.5 * output[i]) / now**0.5, output[i]
        elif prediction == "sample":
            clean, residue = output[i], (latent[i] - now**0.5 * output[i]) / (1 - now) ** 0.5
        else:
            clean = now**0.5 * latent[i] - (1 - now) ** 0.5 * output[i]
            residue = now**0.5 * output[i] + (1 - now) ** 0.5 * latent[i]
        sigma = ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
        mu = then**0.5 * clean + (1 - then - sigma**2) ** 0.5 * residue
        squared = -((following[i] - mu) ** 2) / (2 * sigma**2)
        published = (squared - sigma.log() - math.log(math.sqrt(2 * math.pi))).mean()
        assert mine[i].item() == pytest.approx(published.item(), abs=1e-5)


def test_a_step_without_noise_is_certain_and_finite():
    output, latent, _ = draws(2)
    for name, prediction in (("no offset", "epsilon"), ("to one", "sample")):
        ddim = DDIM({**SCHEDULES[name], "prediction_type": prediction}, steps=5)
        mean, deviation = ddim.gaussian(output, latent, torch.tensor([1, 5]))
        assert deviation.flatten()[0] == 0 < deviation.flatten()[1]
        assert mean.isfinite().all()
    calm, deviation = DDIM(SCHEDULES["trailing"], steps=5, eta=0.0).gaussian(output, latent, torch.tensor([1, 5]))
    assert deviation.eq(0).all() and calm.isfinite().all()


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_last_step_can_be_given_noise(eta):
    output, latent, _ = draws(5)
    plain, noisy = (DDIM(SCHEDULES["trailing"], 5, eta, ending) for ending in (0.0, 0.15))
    step = torch.arange(1, 6)
    (mean, before), (same, after) = (ddim.gaussian(output, latent, step) for ddim in (plain, noisy))
    assert torch.equal(mean, same) and torch.equal(before[1:], after[1:])
    assert before[0] < 0.01 and after[0].item() == pytest.approx(0.15)
    assert noisy.noisy and plain.noisy == (eta > 0)


def test_the_last_deviation_of_stable_diffusion():
    *_, deviation = DDIM(SCHEDULES["stable diffusion"], steps=50).gaussian(*draws(1)[:2], torch.tensor([1]))
    assert deviation.item() == pytest.approx(0.0206, abs=1e-4)
    *_, half = DDIM(SCHEDULES["stable diffusion"], steps=50, eta=0.5).gaussian(*draws(1)[:2], torch.tensor([1]))
    assert half.item() == pytest.approx(0.0206 / 2, abs=1e-4)


def test_the_schedule_of_another_scheduler_is_read_as_ddim_reads_it(tmp_path):
    """As timbrooks/instruct-pix2pix has it: the spacing that its own scheduler defaults to is not taken over."""
    published = {"_class_name": "EulerAncestralDiscreteScheduler", **SCHEDULES["stable diffusion"]}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(published))
    scheduler = backends.diffusers().EulerAncestralDiscreteScheduler.from_pretrained(tmp_path)
    assert scheduler.config.timestep_spacing == "linspace"
    ddim = DDIM(scheduler.config, steps=5)
    assert ddim.timestep(torch.arange(5, 0, -1)).tolist() == [801, 601, 401, 201, 1]
    assert ddim.clip is None


def test_half_precision_goes_in_and_float32_comes_out():
    output, latent, _ = draws(1)
    mean, _ = DDIM(SCHEDULES["trailing"], steps=5).gaussian(output.half(), latent.half(), torch.tensor([3]))
    assert mean.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "arguments", "says"),
    [
        ({"thresholding": True}, {}, "thresholding"),
        ({}, {"eta": 1.5}, "eta"),
        ({}, {"ending": -0.1}, "ending must not be negative"),
        ({}, {"ending": math.nan}, "ending must not be negative"),
        ({}, {"steps": 0}, "1 to 1000"),
        ({}, {"steps": 1001}, "1 to 1000"),
        ({"prediction_type": "flow"}, {}, "flow"),
        ({"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, {}, "no signal left"),
    ],
)
def test_what_is_refused(change, arguments, says):
    with pytest.raises(ValueError, match=says):
        DDIM({**SCHEDULES["no offset"], **change}, **{"steps": 10, **arguments})
