"""The DDIM sampler as a Markov chain: the Gaussian of every step, which is what reinforcement learning needs of it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .. import backends


class DDIM(nn.Module):
    """`steps` steps of DDIM (Song et al., ICLR 2021, equations 12 and 16) with noise `eta` under a schedule.

    `ending`, unless it is 0, is the deviation of the last step's fresh noise, whatever `eta`: DDIM's own, of a schedule
    that ends in clean pictures, is next to nothing or nothing, so that there is nothing to explore.

    Steps are counted down: step `steps` starts from pure noise, step 1 ends in the picture. All that a step needs
    lies in tables on the module's device, so the steps of a batch may differ and nothing waits for the host.

    `schedule` is the config of any scheduler of diffusers, read as its DDIMScheduler reads it; prediction type
    `epsilon`, `sample` or `v_prediction`; `clip_sample` is honoured. Raises ValueError for `thresholding`, for `eta`
    outside [0, 1], a negative `ending`, for more steps than the schedule has timesteps, and for `epsilon` where no
    signal is left at the first step, from which the picture cannot be told.
    """

    timesteps: Tensor  # every table [steps], of steps 1, 2 ...
    signal: Tensor  # share of the clean picture in the latent, and of noise
    noise: Tensor
    next_signal: Tensor  # the same of the latent that follows, its fresh noise apart
    next_noise: Tensor
    deviation: Tensor  # of the fresh noise

    def __init__(self, schedule: Mapping[str, Any], steps: int, eta: float = 1.0, ending: float = 0.0) -> None:
        super().__init__()
        scheduler = backends.diffusers().DDIMScheduler.from_config(dict(schedule))
        config = scheduler.config
        if not 0 <= eta <= 1:
            raise ValueError(f"eta must lie in [0, 1], 0 without noise and 1 as much as DDPM's, got {eta}")
        if not ending >= 0:
            raise ValueError(f"ending must not be negative, the deviation of the last step's noise, got {ending}")
        if not 1 <= steps <= config.num_train_timesteps:
            raise ValueError(f"steps must lie in 1 to {config.num_train_timesteps}, the schedule's own, got {steps}")
        if config.thresholding:
            raise ValueError("thresholding is not supported: set it to false in the schedule, or use clip_sample")
        if config.prediction_type not in ("epsilon", "sample", "v_prediction"):
            raise ValueError(f"no prediction type {config.prediction_type!r}: epsilon, sample or v_prediction")
        scheduler.set_timesteps(steps)
        timesteps = scheduler.timesteps.flip(0)
        previous = timesteps - config.num_train_timesteps // steps
        signal = scheduler.alphas_cumprod.double()  # float32 loses 1 - then - variance where the first signal is tiny
        now, then = signal[timesteps], signal[previous.clamp_min(0)]
        then = torch.where(previous < 0, scheduler.final_alpha_cumprod.double(), then)
        if config.prediction_type == "epsilon" and not now.all():
            raise ValueError("the schedule has no signal left at its first step: epsilon says nothing of the picture")
        variance = ((1 - then) / (1 - now) * (1 - now / then)).clamp_min(0) * eta**2
        deviation = variance.sqrt()
        if ending:
            deviation[0] = ending
        self.steps = steps
        self.eta = eta
        self.noisy = bool(deviation.any())
        self.prediction = config.prediction_type
        self.clip = config.clip_sample_range if config.clip_sample else None
        self._table("timesteps", timesteps)
        self._table("signal", now.sqrt())
        self._table("noise", (1 - now).sqrt())
        self._table("next_signal", then.sqrt())
        self._table("next_noise", (1 - then - variance).clamp_min(0).sqrt())
        self._table("deviation", deviation)

    def timestep(self, step: Tensor) -> Tensor:
        """The denoiser's time of steps `[B]`, int64."""
        return self.timesteps[step - 1]

    def gaussian(self, output: Tensor, latent: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Mean `[B, c, h, w]` and deviation `[B, 1, 1, 1]` of what follows `latent` `[B, c, h, w]`, in float32.

        `output`: what the denoiser says of `latent`; `step`: `[B]`, steps left. Where the deviation is 0, the mean
        follows for certain. DDPO's code keeps the schedule's first signal for the end even where `set_alpha_to_one`
        asks for 1; this is diffusers' reading, which is the same under Stable Diffusion's schedule.
        """
        signal, noise, next_signal, next_noise, deviation = (
            table[step - 1][:, None, None, None]
            for table in (self.signal, self.noise, self.next_signal, self.next_noise, self.deviation)
        )
        output, latent = output.float(), latent.float()
        if self.prediction == "sample":
            clean, residue = output, (latent - signal * output) / noise
        elif self.prediction == "epsilon":
            clean, residue = (latent - noise * output) / signal, output
        else:
            clean, residue = signal * latent - noise * output, signal * output + noise * latent
        if self.clip is not None:
            clean = clean.clamp(-self.clip, self.clip)
        return next_signal * clean + next_noise * residue, deviation

    def _table(self, name: str, values: Tensor) -> None:
        values = values.float() if values.is_floating_point() else values
        self.register_buffer(name, values, persistent=False)
