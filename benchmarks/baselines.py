"""What a native batch is measured beside: Gymnasium's own vector environments, over single environments of a task."""

from functools import partial
from multiprocessing import current_process

import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from ..envs.core import Task
from ..envs.single import SingleEnv

PROCESSES = 96  # at most, of an AsyncVectorEnv


def gymnasiums(task: Task, num_envs: int) -> dict[str, VectorEnv]:
    """Its vector environments over single ones of ``task``.

    Processes neither on an accelerator, nor too many, nor where each would compile for itself.
    """
    makers = [partial(single_env, task)] * num_envs
    sides: dict[str, VectorEnv] = {"sync": SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)}
    if task.device.type == "cpu" and num_envs <= PROCESSES and not task.compile:
        sides["async"] = AsyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    return sides


def single_env(task: Task) -> SingleEnv:
    if current_process().name != "MainProcess":
        torch.set_num_threads(1)  # the cores belong to all processes
    return SingleEnv(task)
