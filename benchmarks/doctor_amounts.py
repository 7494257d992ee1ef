"""Checks of what a run rests on: how much it learns from at a time, how far it may go, whether rewards differ."""

from math import ceil

import torch
from torch import Tensor

from ..agents.ddpg import DDPGConfig
from ..agents.policies.diffusion import DiffusionPolicy
from ..agents.ppo import PPOConfig
from ..agents.returns import monte_carlo
from .doctor_case import Case, Check, Measured, Outcome, lacks_nothing, lacks_ratio

BITES = (0.01, 20.0)  # nats a step between which a clip range does its work
DDPO = 1.6  # its own, 1e-4 of 16,384 dimensions
ALIVE = 0.5  # of the groups


def optimiser_steps(case: Case) -> Outcome:
    """How many a rollout makes, and what each rests on."""
    run, config, horizon = case.plan.run, case.config, case.task.horizon
    if isinstance(config, DDPGConfig):
        return replayed(run.num_envs * run.rollout, config)
    if not case.learned:
        return Outcome(
            "fail", {"rollout": run.rollout}, "agent.window begins where the rollout has ended: nothing is learned"
        )
    lane = rows_per_lane(case)
    rows = lane * run.num_envs
    each, steps = rows, 1
    if isinstance(config, PPOConfig):
        each = min(rows, config.minibatch * config.accumulate)
        steps = config.epochs * ceil(ceil(rows / config.minibatch) / config.accumulate)
    whole_lanes = isinstance(config, PPOConfig) and config.by_episode
    measured: Measured = {
        "environments": run.num_envs,
        "steps learned from": rows,
        "optimiser steps a rollout": steps,
        "steps in each": each,
        "environments in each, up to": min(run.num_envs, ceil(each / lane) if whole_lanes else each),
    }
    if case.judges_episodes and horizon and run.rollout % horizon:
        told = f"rollout={run.rollout} cuts episodes of {horizon} steps, of which whole ones alone are learned from: "
        return Outcome(
            "warning" if run.rollout > horizon else "fail", measured, told + f"set rollout={horizon} or a multiple"
        )
    if 0 < rows % each < each / 2:
        return Outcome(
            "warning",
            measured,
            f"the last optimiser step of an epoch rests on {rows % each} steps and counts like the others: choose "
            f"agent.minibatch x agent.accumulate to divide {rows}",
        )
    return Outcome("ok", measured, "more environments make steps surer; a smaller minibatch makes more of them")


def rows_per_lane(case: Case) -> int:
    """Steps of an environment that an epoch learns from."""
    return max(1, int(len(case.learned) * case.config.share))


def replayed(played: int, config: DDPGConfig) -> Outcome:
    measured: Measured = {
        "steps played a rollout": played,
        "optimiser steps a rollout": config.updates,
        "steps in each": config.batch,
        "times each step is learned from": config.updates * config.batch / played,
    }
    return Outcome("ok", measured, "steps are drawn from the replay, for the actor and for the critic")


def groups(case: Case) -> Outcome:
    """How many episodes are compared with each other."""
    size = episodes(case)[1].unique(return_counts=True)[1]
    least, history = case.config.least, case.config.history
    measured: Measured = {"groups": len(size), "episodes in the smallest": int(size.min()), "largest": int(size.max())}
    if size.median() == 1 and least <= 1 and not history:
        return Outcome(
            "fail",
            measured,
            "episodes are alone in their groups, so no better than expected: their advantage is 0 and nothing is "
            "learned; set env.group, the environments that share a problem, to 4 or more",
        )
    if size.min() < least:
        return Outcome(
            "warning",
            measured,
            f"groups of fewer than agent.least={least} are judged by the whole rollout, hard problems beside easy ones"
            + f", until agent.history={history} has seen that many" * bool(history),
        )
    if size.min() < size.max():
        return Outcome("warning", measured, "groups are uneven: make num_envs and seed multiples of env.group")
    return Outcome("ok", measured, "an episode is judged by the others of its group")


def clip_range(case: Case) -> Outcome:
    """How far an update may go, in nats: log-probabilities of a denoiser are means over its dimensions."""
    clip = case.config.clip
    dimensions = case.rollout.action[0, 0].numel() if isinstance(case.policy, DiffusionPolicy) else 1
    nats = clip * dimensions
    measured: Measured = {
        "clip": clip,
        "dimensions averaged": dimensions,
        "nats a step": nats,
        "nats in the steps learned from": nats * len(case.learned),
    }
    if BITES[0] <= nats <= BITES[1]:
        return Outcome("ok", measured, "a step may become e to the power of these nats as likely before it is clipped")
    what = "hardly anything is ever clipped" if nats > BITES[1] else "everything is clipped at once"
    advice = f"{what}: agent.clip={DDPO / dimensions:.1e} would be DDPO's {DDPO:g} nats a step"
    return Outcome("warning", measured, advice)


def reward(case: Case) -> Outcome:
    """Whether there is anything to learn from."""
    returns, group = episodes(case)
    measured: Measured = {
        "episodes": len(returns),
        "mean return": returns.mean().item(),
        "deviation": returns.std(correction=0).item(),
        "least": returns.min().item(),
        "most": returns.max().item(),
    }
    if not case.rollout.reward.isfinite().all():
        return Outcome(
            "fail", measured, "a reward is infinite or no number, and would spoil every weight: find out which"
        )
    if measured["least"] == measured["most"]:
        return Outcome(
            "fail",
            measured,
            "all returns are equal, so no episode is better than another: more environments, or a reward that tells "
            "more of them apart",
        )
    if not case.grouped:
        return Outcome("ok", measured, "returns differ, so there is something to learn")
    alive = alive_share(returns, group)
    measured = {**measured, "groups alive": alive}
    if alive < ALIVE:
        return Outcome(
            "fail" if alive == 0 and case.config.least <= 1 else "warning",
            measured,
            "in the other groups all returns are equal and nothing is learned: larger groups, problems that are "
            "sometimes solved, or a reward that tells more apart",
        )
    return Outcome("ok", measured, "returns differ within groups, so there is something to learn")


def alive_share(returns: Tensor, group: Tensor) -> float:
    """Of groups, whose returns differ."""
    count = int(group.max()) + 1
    most, least = (
        returns.new_zeros(count).scatter_reduce(0, group, returns, how, include_self=False) for how in ("amax", "amin")
    )
    return (most > least).float().mean().item()


def episodes(case: Case) -> tuple[Tensor, Tensor]:
    """Of those that end within the rollout: return ``[E]`` and group, a number from 0, ``[E]``."""
    rollout = case.rollout
    returns, known = monte_carlo(rollout.reward, rollout.done, gamma=1.0)
    began = torch.cat([torch.ones_like(rollout.done[:1]), rollout.done[:-1]]) & known
    if not began.any():  # then there is no episode to speak of: lanes stand for them
        began[0] = True
    keys = case.config.group.split(",") if case.grouped and case.config.group else []
    seen = [rollout.obs[key][began].flatten(1).double() for key in keys]
    alike = torch.cat([torch.zeros_like(returns[began])[:, None].double(), *seen], 1)
    return returns[began], alike.unique(dim=0, return_inverse=True)[1]


def lacks_groups(case: Case) -> str | None:
    return None if case.grouped else "returns are not judged within groups"


CHECKS = (
    Check("optimiser steps", lacks_nothing, optimiser_steps),
    Check("groups", lacks_groups, groups),
    Check("clip range", lacks_ratio, clip_range),
    Check("reward", lacks_nothing, reward),
)
