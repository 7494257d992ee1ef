"""Checks of an update: where it begins, what it reaches, and how far one step of the optimiser goes."""

import torch
from torch import nn

from .doctor_case import Case, Check, Measured, Outcome, lacks_log_probs, lacks_ratio, largest, log_probs, off_one

TOLERATED = 0.1  # of the clip range, by which rounding may move a ratio off 1
CLIPPED = 0.5  # of the ratios, beyond the clip range after one optimiser step: the rest of an update is idle


def on_policy_ratio(case: Case) -> Outcome:
    """Whether an update begins with ratios of 1."""
    now = log_probs(case.policy, case.rollout, case.config.minibatch)
    off, clip = largest(off_one(now - case.rollout.extras["log_prob"])), case.config.clip
    measured: Measured = {"largest |ratio - 1|": off, "clip": clip}
    if off <= TOLERATED * clip:
        return Outcome("ok", measured, "an update begins where its rollout was")
    if off <= clip:
        return Outcome("warning", measured, "rounding uses up the clip range: compute in float32, or widen agent.clip")
    return Outcome(
        "fail",
        measured,
        "an update finds other log-probabilities than its rollout stored, and clips before it has learned: look for "
        "dropout, layers that mix a batch, half precision, and weights changed in between",
    )


def gradients(case: Case) -> Outcome:
    """Whether they reach what is to be trained, and nothing else."""
    if not trained(case.policy):
        return Outcome(
            "fail", {"weights trained": 0}, "every weight is frozen: give the policy an adapter, or policy.full=true"
        )
    policy = case.stepped.policy
    learned, frozen = trained(policy), [p for p in policy.parameters() if not p.requires_grad]
    reached = [p.grad for p in learned if p.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in reached]).norm().item() if reached else 0.0
    measured: Measured = {
        "weights trained": sum(p.numel() for p in learned),
        "frozen": sum(p.numel() for p in frozen),
        "gradient norm": norm,
        "tensors not reached": len(learned) - len(reached),
        "frozen but reached": sum(p.grad is not None for p in frozen),
    }
    if not 0 < norm < torch.inf:
        return Outcome(
            "fail", measured, "the loss does not reach the weights, or not in finite numbers: nothing is learned"
        )
    if measured["frozen but reached"]:
        return Outcome(
            "fail", measured, "weights that are to stay as they are get gradients, which cost memory and time"
        )
    return Outcome("ok", measured, "gradients reach what is to be trained, and nothing else")


def one_step(case: Case) -> Outcome:
    """How far the first optimiser step goes in the steps that are learned from, rewarding every second environment."""
    log_ratio = case.stepped.log_ratio[list(case.learned)]
    off, gain = off_one(log_ratio), (log_ratio[:, ::2].mean() - log_ratio[:, 1::2].mean()).item()
    measured: Measured = {
        "lr": case.config.lr,
        "KL": (log_ratio.expm1() - log_ratio).mean().item(),  # Schulman's k3 estimator
        "largest |ratio - 1|": largest(off),
        "rewarded above others, in log-probability": gain,
    }
    if not measured["largest |ratio - 1|"]:
        return Outcome("fail", measured, "a step of the optimiser does not change the policy: raise agent.lr")
    if not gain > 0:
        return Outcome("fail", measured, "the step made what was rewarded less likely than the rest: lower agent.lr")
    if lacks_ratio(case):
        return Outcome("ok", measured, "the step made what was rewarded more likely")
    beyond = (off > case.config.clip).float().mean().item()
    measured = {**measured, "clip": case.config.clip, "ratios beyond it": beyond}
    if beyond > CLIPPED:
        return Outcome(
            "warning",
            measured,
            "after one optimiser step most ratios are beyond the clip range, so the rest of the update learns from "
            "few: lower agent.lr, or widen agent.clip",
        )
    return Outcome("ok", measured, "the step made what was rewarded more likely, and left room for the next")


def trained(policy: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in policy.parameters() if parameter.requires_grad]


def lacks_episodes(case: Case) -> str | None:
    if lacking := lacks_log_probs(case):
        return lacking
    if case.judges_episodes and not case.rollout.done.any():
        return "no episode ends within the rollout, so there would be no update"
    return None if case.rollout.reward.shape[1] > 1 else "num_envs=1 has no other environment to compare with"


def lacks_weights(case: Case) -> str | None:
    return lacks_episodes(case) or (None if trained(case.policy) else "no weight is trained")


CHECKS = (
    Check("on-policy ratio", lacks_ratio, on_policy_ratio),
    Check("gradients", lacks_episodes, gradients),
    Check("one optimiser step", lacks_weights, one_step),
)
