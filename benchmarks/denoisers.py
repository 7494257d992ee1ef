"""Who edits pictures by denoising: the policies of ``ImageEdit`` that are made of its own editor."""

import copy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..agents.average import Average
from ..agents.policies.diffusion import CONTROLS, DiffusionPolicy
from ..agents.policies.standard import as_unit
from ..agents.rollout import Agent, Obs
from ..envs.core import Task
from ..envs.image_edit import ImageEdit
from ..simulators.adapters import add_adapter, has_adapter, save_adapter, without_adapter
from ..simulators.ddim import DDIM
from ..simulators.editors import SHIPPED


class Reference(Agent):
    """The task's editor as it is, sampled as it usually is: noisily where the task's ``eta`` says so."""

    def __init__(self, task: Task):
        assert isinstance(task, ImageEdit)  # it is among the ``EDITORS``
        self.shape, self.control = task.action_space.shape or (), task.control
        self.sampler = (
            DiffusionPolicy(task.editor, task.ddim, still(task), task.scale) if task.control == "latent" else None
        )

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        if self.sampler is not None:
            return self.sampler(obs)[0].sample(), {}
        shape = len(obs["latent"]), *self.shape
        draw = torch.randn if self.control == "noise" else torch.zeros
        return draw(shape, device=obs["latent"].device), {}


class Copy(Agent):
    """Returns the input. Raises ValueError where an action is not the next latent itself."""

    def __init__(self, task: Task):
        assert isinstance(task, ImageEdit)  # it is among the ``EDITORS``
        if task.control != "latent":
            raise ValueError(f"copy acts by env.control=latent, not by {task.control}")
        self.codec = task.editor.codec

    @torch.no_grad()
    def act(self, obs: Obs, explore: bool = True) -> tuple[Tensor, dict[str, Tensor]]:
        return self.codec.noiseless(as_unit(obs["source"])), {}


def lacks(task: Task) -> str | None:
    """What a task lacks for a policy that is a denoiser, if anything."""
    if not isinstance(task, ImageEdit):
        return "it denoises: it plays ImageEdit alone"
    return None if task.control in CONTROLS else f"it acts by env.control={' or '.join(CONTROLS)}, not {task.control}"


def policy(task: Task, rank: int, alpha: float, full: bool, cfg: str) -> DiffusionPolicy:
    """The task's editor as a policy, to be trained by an adapter or in ``full``.

    Under ``control="latent"`` it is the very editor that the task watches for its attention; under ``noise`` a copy,
    since the task's is what the actions are relative to.
    """
    assert isinstance(task, ImageEdit)  # ``lacks`` said so
    editor = task.editor if task.control == "latent" else copy.deepcopy(task.editor)
    if full:
        learned = list(editor.unet.requires_grad_(True).parameters())
        unadapted = Average(learned, decay=1.0).applied  # which stays as it is now
    else:
        add_adapter(editor, rank, alpha or None, seed=int(torch.randint(2**31, ())))
        unadapted = partial(without_adapter, editor)
    return DiffusionPolicy(editor, task.ddim, still(task), task.scale, cfg, task.control, unadapted)


def rate(model: str) -> float:
    """The learning rate for adapters of ``model``: DDPO's for pipelines; the embedded editors are small."""
    return 1e-2 if model in SHIPPED or model.endswith(".safetensors") else 3e-4


def still(task: ImageEdit) -> DDIM:
    """The task's sampler without noise."""
    return DDIM(task.editor.schedule, task.steps, eta=0.0).to(task.device)


def export(network: nn.Module, folder: Path) -> None:
    """Write the adapter of a ``DiffusionPolicy``, if ``network`` is one, into ``folder``, for diffusers to read."""
    if isinstance(network, DiffusionPolicy) and has_adapter(network.denoiser):
        save_adapter(network.denoiser, folder)
