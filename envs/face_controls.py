"""The ways to act on a face: an action as an edit of the latent."""

import torch
from gymnasium.spaces import Box
from torch import Tensor

from ..simulators.faces import ATTRIBUTES, Faces
from .face_scores import FaceState
from .options import one_of

CONTROLS = ("residual", "latent", "fields")
LIMIT = 100.0  # of latents as they are observed, and of the published action
SCALE = 20.0  # the published policy's action is the edit times this
STRIDE = 4.0  # steps of a field, at most, in one action


class FaceControls:
    """Edits of a ``world`` by ``control``, as ``FaceDialog`` explains it; a round has ``micro_steps`` of them.

    ``space`` is that of the actions. Raises ValueError for a control that does not exist.
    """

    def __init__(self, world: Faces, control: str, radius: float, micro_steps: int):
        self.world, self.radius, self.micro_steps = world, radius, micro_steps
        self.control, width = one_of("control", control, CONTROLS), world.latent_shape[-1]
        self.space = {
            "residual": Box(-1.0, 1.0, (1 + width,)),
            "latent": Box(-LIMIT, LIMIT, (width,)),
            "fields": Box(-1.0, 1.0, (1 + len(ATTRIBUTES),)),
        }[control]

    def edit(self, state: FaceState, action: Tensor) -> Tensor:
        """``[B, D]``, what an ``action`` changes of the latent."""
        if self.control == "latent":
            return action / SCALE
        if self.control == "residual":
            left = self.micro_steps - state.step % self.micro_steps
            followed = (1 + action[:, :1]) / (2 * left[:, None])
            return followed * state.proposal + self.radius / self.micro_steps * action[:, 1:]
        one = torch.ones_like(state.step)
        along = [STRIDE * self.world.step(state.latent, place * one, one.float()) for place in range(len(ATTRIBUTES))]
        back = self.world.point(state.trace[:, 0]) - self.world.point(state.latent)
        return (action[:, :, None] * torch.stack([*along, back / self.micro_steps], 1)).sum(1)
