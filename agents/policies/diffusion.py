"""A denoiser as a policy: every step of its sampler is a Gaussian over what the latent becomes."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints, register_kl

from ..rollout import Obs
from .standard import as_unit

CONTROLS = ("latent", "noise")
Scale = tuple[float, float] | Tensor


class Denoiser(Protocol):
    """What a policy needs of an instruction-following editor (``simulators.editor.Editor``)."""

    def embed(self, tokens: Tensor) -> Tensor: ...
    def encode(self, image: Tensor) -> Tensor: ...
    def guided(self, latent: Tensor, t: Tensor, condition: Tensor, text: Tensor, scale: Scale, cfg: str) -> Tensor: ...


class Sampler(Protocol):
    """What it needs of the sampler (``simulators.ddim.DDIM``)."""

    def timestep(self, step: Tensor) -> Tensor: ...
    def gaussian(self, output: Tensor, latent: Tensor, step: Tensor) -> tuple[Tensor, Tensor]: ...


class DiffusionPolicy(nn.Module):
    """The Gaussian of each step of a sampler under a denoiser, as in DDPO (Black et al., 2023, arXiv:2305.13301).

    Plays ``ImageEdit`` under ``control="latent"``, where the action is the next latent, and ``control="noise"``, where
    it is that step whitened by ``reference``, the sampler of the denoiser as it was. ``scale`` and ``cfg`` are the
    guidance that is part of the policy: the log-probability is that of the guided Gaussian, its gradient flows as
    ``cfg`` says. It estimates no value (0): take grouped advantages. Its mode is the step of ``still``, the same
    sampler without noise (the mean of a noisy step alone would leave latents with too little noise to go on from).

    ``unadapted`` is a context in which the denoiser is what it was before training, if ``reference`` is asked for.

    Its ``state_dict`` holds what is trained, an adapter's few weights: the rest is the denoiser it was made of.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        sampler: Sampler,
        still: Sampler,
        scale: tuple[float, float] = (1.0, 1.0),
        cfg: str = "full",
        control: str = "latent",
        unadapted: Callable[[], AbstractContextManager] | None = None,
    ):
        super().__init__()
        if control not in CONTROLS:
            raise ValueError(f"a denoiser acts by latent or by noise, not by {control!r}: choose from {CONTROLS}")
        if control == "noise" and unadapted is None:
            raise ValueError("control='noise' is relative to the denoiser as it was: hand over unadapted")
        self.denoiser: Any = denoiser  # a Module that is a Denoiser
        self.sampler, self.still, self.unadapted = sampler, still, unadapted
        self.scale, self.cfg, self.control = scale, cfg, control
        self.register_state_dict_post_hook(keep_trained)
        self._told: tuple[Tensor, Tensor, Obs] | None = None  # the last source and instruction, and their context

    def forward(self, obs: Obs) -> tuple["Step", Tensor]:
        """The step from ``latent`` ``[B, c, h, w]`` at ``t`` ``[B]`` steps from the end, and a value of 0 ``[B]``.

        ``obs`` may hold its ``context``, which is derived otherwise.
        """
        step = self._step(obs)
        if self.control == "noise":
            step = step.whitened(self._unadapted(obs).mean)
        return step, step.mean.new_zeros(len(step.mean))

    @torch.no_grad()
    def context(self, obs: Obs) -> Obs:
        """The source's code ``condition`` ``[B, c, h, w]`` and the instruction's embedding ``text`` ``[B, L, D]``.

        Through an episode both observations are the same tensors, which nobody writes into: it is derived once.
        """
        source, instruction = obs["source"], obs["instruction"]
        if self._told is None or self._told[0] is not source or self._told[1] is not instruction:
            condition, text = self.denoiser.encode(as_unit(source)), self.denoiser.embed(instruction)
            self._told = source, instruction, {"condition": condition, "text": text}
        return self._told[2]

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Raises RuntimeError for weights of other names, if ``strict``, and of other shapes."""
        wanted, given = trained(self), state_dict.keys()
        if strict and wanted != given:
            raise RuntimeError(
                f"these are not the weights that {type(self).__name__} trains: "
                f"missing {sorted(wanted - given)}, unexpected {sorted(given - wanted)}"
            )
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def reference(self, obs: Obs) -> "Step":
        """The step of the denoiser as it was before training."""
        step = self._unadapted(obs)
        return step.whitened(step.mean) if self.control == "noise" else step

    @torch.no_grad()
    def _unadapted(self, obs: Obs) -> "Step":
        if self.unadapted is None:
            raise ValueError("this policy was not told what the denoiser was before training: hand over unadapted")
        with self.unadapted():
            return self._step(obs)

    def _step(self, obs: Obs) -> "Step":
        told = obs if "condition" in obs else self.context(obs)
        latent, left, time = obs["latent"], obs["t"], self.sampler.timestep(obs["t"])
        output = self.denoiser.guided(latent, time, told["condition"], told["text"], self.scale, self.cfg)
        return Step(*self.sampler.gaussian(output, latent, left), self.still.gaussian(output, latent, left)[0])


def keep_trained(policy: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Of what ``state`` holds of ``policy``, whose names begin with ``prefix``, leave what is trained."""
    kept = {prefix + name for name in trained(policy)}
    for name in [name for name in state if name.startswith(prefix) and name not in kept]:
        del state[name]


def trained(policy: nn.Module) -> set[str]:
    """The names of the parameters that are."""
    return {name for name, parameter in policy.named_parameters() if parameter.requires_grad}


class Step(Distribution):
    """A Gaussian of mean ``[B, c, h, w]`` and one deviation a sample, ``[B, 1, 1, 1]``; what it does when it does not
    explore, ``mode``, may be another point than the mean.

    ``log_prob`` and ``entropy`` are the mean over dimensions, as in DDPO: the sum over 16,384 of them lets a PPO ratio
    overflow at the first step. Where the deviation is 0 there is nothing to choose: the mean is taken, and has
    log-probability 0 and no gradient.
    """

    arg_constraints = {"mean": constraints.real, "deviation": constraints.nonnegative}

    def __init__(self, mean: Tensor, deviation: Tensor, mode: Tensor | None = None):
        super().__init__(mean.shape[:1], mean.shape[1:], validate_args=False)
        self.centre, self.deviation, self.still = mean, deviation, mean if mode is None else mode

    @property
    def mean(self) -> Tensor:
        return self.centre

    @property
    def mode(self) -> Tensor:
        return self.still

    def whitened(self, mean: Tensor) -> "Step":
        """In deviations from ``mean``; certainly 0 where the deviation is 0."""
        noisy = self.deviation > 0
        centre, still = (torch.where(noisy, (x - mean) / self._positive(), 0.0) for x in (self.centre, self.still))
        return Step(centre, noisy.float(), still)

    @torch.no_grad()
    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        noise = torch.randn(*sample_shape, *self.centre.shape, device=self.centre.device)
        return self.centre + self.deviation * noise

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_prob_map(value).mean((1, 2, 3))

    def log_prob_map(self, value: Tensor) -> Tensor:
        """Of every dimension ``[B, c, h, w]``, so that regions can be credited apart."""
        deviation = self._positive()
        constant = deviation.log() + 0.5 * math.log(2 * math.pi)
        return torch.where(self.deviation > 0, -0.5 * ((value - self.centre) / deviation).square() - constant, 0.0)

    def entropy(self) -> Tensor:
        deviation = self._positive().flatten()
        return self._chosen(deviation.log() + 0.5 * math.log(2 * math.pi * math.e))

    def _positive(self) -> Tensor:
        return torch.where(self.deviation > 0, self.deviation, 1.0)

    def _chosen(self, value: Tensor) -> Tensor:
        """``value`` ``[B]`` where there was something to choose, else 0."""
        return torch.where(self.deviation.flatten() > 0, value, torch.zeros_like(value))


@register_kl(Step, Step)
def _kl(step: Step, reference: Step) -> Tensor:
    """``[B]``, mean over dimensions, of two Gaussians of one deviation; 0 where it is 0."""
    distance = ((step.centre - reference.centre) / step._positive()).square().mean((1, 2, 3)) / 2
    return step._chosen(distance)
