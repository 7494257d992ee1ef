"""The semantic fields of the embedded faces: for each attribute, where a latent goes to have more of it."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..backends import fused
from .face_factors import FACTORS
from .face_latent import FaceLatent
from .faces import ATTRIBUTES
from .files import whole
from .semantic_field import FieldFunction, SideBySide, field_steps, padded

WEIGHTS = Path(__file__).parent / "weights" / "face-fields.safetensors"
ENTANGLEMENT = 0.75  # at which the shipped fields were trained
SAMPLES = 8000  # faces to which straight lines are fitted
STEP = 0.3  # of a degree: what a step adds on average


class Directions(ABC):
    """Where latents ``[B, 40]`` go for more (``direction`` ``[B]`` 1) or less (-1) of ``attribute`` ``[B]`` int64."""

    @abstractmethod
    def steps(self, latent: Tensor, edit: Tensor, attribute: Tensor, direction: Tensor, count: int) -> Tensor:
        """``[B, count, 40]``: the edits that the next steps lead to, from where ``edit`` ``[B, 40]`` has led."""

    def step(self, latent: Tensor, attribute: Tensor, direction: Tensor) -> Tensor:
        """``[B, 40]``, a single step."""
        return self.steps(latent, torch.zeros_like(latent), attribute, direction, 1)[:, 0]


class SemanticFields(nn.ModuleDict):
    """A published field for each attribute; the published mapping M is the identity here, where latents are flat."""

    def __init__(self, layers: int = 8, hidden: int = 128) -> None:
        functions = tuple(FieldFunction(FACTORS, layers, hidden) for _ in ATTRIBUTES)
        super().__init__(dict(zip(ATTRIBUTES, functions, strict=True)))
        self.functions = functions

    def forward(self, latent: Tensor) -> Tensor:
        """``[5, B, 40]``: a step of each field from latents ``[B, 40]``."""
        return torch.stack([field(latent) for field in self.values()])

    def linear_layers(self) -> list[list[nn.Linear]]:
        """Those of each field, from the first to the last."""
        return [list(field.layers) for field in self.functions]


class FrozenFields(Directions, nn.Module):
    """The steps along `fields` that learn no more.

    With `compile` torch.compile fuses the steps, as `backends.fused` does.
    """

    def __init__(self, fields: SemanticFields, compile: bool = False) -> None:
        super().__init__()
        self.fields, self.fuses = fields.requires_grad_(False), compile
        self.together = SideBySide(fields.functions)

    def steps(self, latent: Tensor, edit: Tensor, attribute: Tensor, direction: Tensor, count: int) -> Tensor:
        alone = bool((attribute == attribute[0]).all())
        field = self.fields.functions[int(attribute[0])] if alone else self.together

        def along(*walk: Tensor) -> Tensor:
            return fused(self.fuses, field_steps, field, *walk, count)

        if alone:
            return along(latent, edit, direction)
        return padded(along, attribute, len(ATTRIBUTES), latent, edit, direction)


class StraightLines(nn.Module, Directions):
    """The same direction wherever a latent is: along the linear fit of a degree to latents, as in InterFaceGAN (Shen
    et al., CVPR 2020), so long that a step adds `STEP` of a degree by that fit."""

    directions: Tensor

    def __init__(self, latent: FaceLatent) -> None:
        super().__init__()
        noise = torch.randn(SAMPLES, FACTORS, generator=torch.Generator().manual_seed(0))
        system = torch.cat([noise, torch.ones(SAMPLES, 1)], 1)
        fit = torch.linalg.lstsq(system, latent.factors(noise)[:, : len(ATTRIBUTES)]).solution[:FACTORS].T
        self.register_buffer("directions", STEP * fit / fit.square().sum(1, keepdim=True))

    def steps(self, latent: Tensor, edit: Tensor, attribute: Tensor, direction: Tensor, count: int) -> Tensor:
        return field_steps(lambda _: self.directions[attribute], latent, edit, direction, count)


def save_fields(fields: SemanticFields, path: Path) -> None:
    """Write them with the published keys, ``field.LAYER.Linear.weight``, under the attributes' names."""
    with whole(path) as partial:
        save_file(fields.state_dict(), partial)
        partial.chmod(0o644)  # safetensors writes for the owner alone


def load_fields(path: Path = WEIGHTS) -> SemanticFields:
    """The shipped fields, or those of a file that ``save_fields`` wrote, frozen.

    Raises FileNotFoundError and ValueError where there is no such file, or none of these fields in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no fields at {path}: make them by `retouch make-weights fields`")
    fields = SemanticFields()
    try:
        fields.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} holds no fields of the embedded faces ({error}): make them anew") from error
    return fields.requires_grad_(False).eval()
