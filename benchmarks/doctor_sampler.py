"""Checks of a denoiser as a policy: its noise, its precision, and whether it is the sampler that it should be."""

from copy import deepcopy
from dataclasses import replace
from itertools import count
from statistics import median

import torch
from torch import Tensor

from ..agents.policies.diffusion import DiffusionPolicy
from ..envs.core import as_unit
from ..envs.image_edit import ImageEdit
from ..envs.random import LaneRandom
from ..simulators.ddim import DDIM
from ..simulators.editor import sample
from .denoisers import still
from .doctor_case import Case, Check, Measured, Outcome, lacks_log_probs, lacks_ratio, largest, log_probs, off_one

FEW = 4  # episodes suffice where every one must agree
UNEVEN = 10.0  # times the median step's
GREY_LEVEL = 1 / 255
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def lacks_denoiser(case: Case) -> str | None:
    if lacking := lacks_log_probs(case):
        return lacking
    return None if isinstance(case.policy, DiffusionPolicy) else "the policy is no denoiser: its steps have no sampler"


def lacks_denoiser_or_ratio(case: Case) -> str | None:
    return lacks_denoiser(case) or lacks_ratio(case)


def noise(case: Case) -> Outcome:
    """Whether every step that is learned from has something to choose."""
    deviation, learned = editing(case).ddim.deviation, learned_steps(case)
    certain = [left for left in learned if deviation[left - 1] == 0]
    measured: Measured = {
        "deviation by step": deviation.flip(0).tolist(),
        "steps without noise": int((deviation == 0).sum()),
        "of them learned from": len(certain),
    }
    if len(certain) == len(learned):
        return Outcome("fail", measured, "no step has noise, so nothing is chosen and nothing learned: raise env.eta")
    if certain:
        return Outcome(
            "warning",
            measured,
            f"{when(certain)} there is no noise: the policy takes the mean, its log-probability is 0 and nothing is "
            f"learned; {window_without(case, certain)} saves the cost",
        )
    return Outcome("ok", measured, "every step that is learned from has noise, so there is something to choose")


def sensitivity(case: Case) -> Outcome:
    """How strongly each step's log-probability answers to the denoiser: |d mean / d output| / deviation."""
    ddim = editing(case).ddim
    step = torch.arange(1, ddim.steps + 1, device=ddim.deviation.device)
    latent = torch.zeros(ddim.steps, 1, 1, 1, device=step.device)
    output = torch.zeros_like(latent, requires_grad=True)
    (slope,) = torch.autograd.grad(ddim.gaussian(output, latent, step)[0].sum(), output)
    felt = (slope.abs().flatten() / ddim.deviation).tolist()
    learned = [left for left in learned_steps(case) if ddim.deviation[left - 1] > 0]
    if not learned:
        return Outcome("fail", {}, "no step that is learned from has noise: raise env.eta, or env.ending for the last")
    weights = {left: felt[left - 1] for left in learned}
    measured: Measured = {
        "by step learned from": list(weights.values()),
        "largest / smallest": max(weights.values()) / min(weights.values()),
    }
    if heavy := [left for left, weight in weights.items() if weight > UNEVEN * median(weights.values())]:
        return Outcome(
            "warning",
            measured,
            f"{when(heavy)} the gradient is more than {UNEVEN:g} times that of the median step and drowns the others: "
            f"{window_without(case, heavy)} leaves that out",
        )
    return Outcome("ok", measured, "no step drowns the others in the gradient")


def learned_steps(case: Case) -> list[int]:
    """By how many are left, first to last."""
    left = case.rollout.obs["t"][:, 0].tolist()
    return sorted({left[row] for row in case.learned}, reverse=True)


def when(steps: list[int]) -> str:
    return f"with {' and '.join(map(str, steps))} {'steps' if steps[0] > 1 else 'step'} left"


def window_without(case: Case, unwanted: list[int]) -> str:
    """The setting by which the first steps of a rollout are learned from that are not ``unwanted``."""
    left = case.rollout.obs["t"][:, 0].tolist()
    wanted = [row for row in case.learned if left[row] not in unwanted]
    until = next(row for row in count(wanted[0]) if row not in wanted)
    return f"agent.window={wanted[0]},{until}"


def rounded_latents(case: Case) -> Outcome:
    """What it would do to the ratio to keep trajectories in half precision."""
    few = case.rollout[:, :FEW]
    exact = log_probs(case.policy, few)
    rounded = {name: replace(few, action=few.action.to(dtype).float()) for name, dtype in HALVES.items()}
    off = {name: log_probs(case.policy, path) - exact for name, path in rounded.items()}
    measured, beyond = against_clip(case, off)
    would = f"in {' or '.join(beyond)} they would break the clip range" if beyond else "half precision would do"
    return Outcome("ok", measured, f"trajectories are kept in float32; {would}")


def rounded_network(case: Case) -> Outcome:
    """What it does to the ratio if the denoiser samples in half precision and is trained in float32."""
    few, used = case.rollout[:, :FEW], case.plan.env["dtype"]
    exact = log_probs(at_precision(case, torch.float32), few)
    off = {name: log_probs(at_precision(case, dtype), few) - exact for name, dtype in HALVES.items()}
    measured, beyond = against_clip(case, off)
    if used in beyond:
        return Outcome(
            "warning",
            measured,
            f"the rounding of {used} is beyond the clip range, so two passes may differ by more than learning does: "
            "set env.dtype=float32",
        )
    would = f"{' or '.join(beyond)} in sampling alone would break the clip range" if beyond else "half would do"
    return Outcome("ok", measured, f"the denoiser samples and learns in {used}; {would}")


@torch.no_grad()
def agreement(case: Case) -> Outcome:
    """Whether the policy, played in the environment, makes the reference sampler's pictures of the same noise."""
    policy, task = denoiser(case), editing(case)
    measured = {
        "largest difference of pictures": difference(policy, task, task.ddim),
        "without exploring": difference(policy, task, still(task)),
    }
    if all(value <= GREY_LEVEL / 2 for value in measured.values()):
        return Outcome("ok", measured, "what is trained is what the reference sampler samples")
    if policy.cfg == "none" and task.scale != (1.0, 1.0):
        return Outcome(
            "warning",
            measured,
            f"policy.cfg=none leaves out the guidance that env.scale={task.scale} asks for, in acting too: "
            "set env.scale=1,1, or policy.cfg=full to train with it",
        )
    return Outcome(
        "fail",
        measured,
        "the policy is not the sampler that the editor is used with: compare their schedule, steps, eta and guidance, "
        "and the bounds of the latent",
    )


def difference(policy: DiffusionPolicy, task: ImageEdit, ddim: DDIM) -> float:
    """The largest, in [0, 1], between the pictures of ``policy`` in ``task`` and those that ``ddim`` samples."""
    rng, first, second = LaneRandom.seeded(range(FEW), task.device), generator(), generator()
    state = task.initial(rng, {})
    expected = sample(policy.denoiser, ddim, as_unit(state.source), state.instruction, task.scale, first)

    def draw() -> Tensor:
        return torch.randn(state.latent.shape, generator=second).to(task.device)

    state = replace(state, latent=draw())
    for _ in range(task.steps):
        step = policy(task.observe(state))[0]
        action = step.mean + step.deviation * draw() if ddim.noisy else step.mode
        state, _ = task.step(state, action, rng)
    return largest((task.image(state) - expected).abs())


def against_clip(case: Case, log_ratios: dict[str, Tensor]) -> tuple[dict[str, float | list[float]], list[str]]:
    """Of log-ratios ``[T, B]`` by precision: how far ratios are off 1, and which break the clip range."""
    by_step = {name: off_one(log_ratio).amax(1) for name, log_ratio in log_ratios.items()}
    largest_of = {name: largest(values) for name, values in by_step.items()}
    shown = {f"{name} by step": values.tolist() for name, values in by_step.items()}
    beyond = [name for name, value in largest_of.items() if not value <= case.config.clip]
    return largest_of | {"clip": case.config.clip} | shown, beyond


def at_precision(case: Case, dtype: torch.dtype) -> DiffusionPolicy:
    """A copy of the policy whose denoiser computes in ``dtype``."""
    policy = deepcopy(denoiser(case))
    policy.denoiser.to(dtype)
    return policy


def denoiser(case: Case) -> DiffusionPolicy:
    assert isinstance(case.policy, DiffusionPolicy)  # ``lacks_denoiser`` said so
    return case.policy


def editing(case: Case) -> ImageEdit:
    assert isinstance(case.task, ImageEdit)  # a denoiser plays no other
    return case.task


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


CHECKS = (
    Check("noise of the steps", lacks_denoiser, noise),
    Check("weight of the steps", lacks_denoiser, sensitivity),
    Check("rounded latents", lacks_denoiser_or_ratio, rounded_latents),
    Check("rounded network", lacks_denoiser_or_ratio, rounded_network),
    Check("sampler and trainer", lacks_denoiser, agreement),
)
