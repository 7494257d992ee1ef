"""The semantic fields of the embedded faces: for each attribute, where a latent goes to have more of it."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .face_latent import SIZE, FaceLatent
from .faces import ATTRIBUTES
from .files import whole

WEIGHTS = Path(__file__).parent / "weights" / "face-fields.safetensors"
ENTANGLEMENT = 0.75  # at which the shipped fields were trained
SLOPE = 0.2
SAMPLES = 8000  # faces to which straight lines are fitted
LINE = 0.25  # of a degree: what a step along a straight line adds, by the linear fit


class SemanticFields(nn.Module):
    """One network for each attribute, of the layers and keys of the published fields; all of them asked at once."""

    def __init__(self, layers: int = 8, hidden: int = 128) -> None:
        super().__init__()
        widths = [SIZE, *[hidden] * (layers - 1), SIZE]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for before, after in zip(widths, widths[1:], strict=False):
            bound = before**-0.5
            self.weights.append(torch.empty(len(ATTRIBUTES), before, after).uniform_(-bound, bound))
            self.biases.append(torch.empty(len(ATTRIBUTES), 1, after).uniform_(-bound, bound))

    def forward(self, latent: Tensor) -> Tensor:
        """``[5, B, 40]``: a step of each field from latents ``[B, 40]``."""
        x = latent.expand(len(ATTRIBUTES), -1, -1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, F.leaky_relu(x, SLOPE) if layer else x, weight)
        return x

    def step(self, latent: Tensor, attribute: Tensor, direction: Tensor) -> Tensor:
        """``[B, 40]``: a step for more (``direction`` 1) or less (-1) of ``attribute`` ``[B]``."""
        return direction[:, None] * self(latent)[attribute, torch.arange(len(latent), device=latent.device)]


class StraightLines(nn.Module):
    """The same direction wherever a latent is: along the linear fit of a degree to latents, as in InterFaceGAN (Shen
    et al., CVPR 2020), so long that a step adds a quarter of a degree by that fit."""

    directions: Tensor

    def __init__(self, latent: FaceLatent) -> None:
        super().__init__()
        noise = torch.randn(SAMPLES, SIZE, generator=torch.Generator().manual_seed(0))
        system = torch.cat([noise, torch.ones(SAMPLES, 1)], 1)
        fit = torch.linalg.lstsq(system, latent.factors(noise)[:, : len(ATTRIBUTES)]).solution[:SIZE].T
        self.register_buffer("directions", LINE * fit / fit.square().sum(1, keepdim=True))

    def step(self, latent: Tensor, attribute: Tensor, direction: Tensor) -> Tensor:
        """``[B, 40]``, as of ``SemanticFields``."""
        return direction[:, None] * self.directions[attribute]


def save_fields(fields: SemanticFields, path: Path) -> None:
    """Write them as the published ones, ``field.LAYER.Linear.weight``, each under its attribute's name."""
    weights = {}
    for place, attribute in enumerate(ATTRIBUTES):
        for layer, (weight, bias) in enumerate(zip(fields.weights, fields.biases, strict=True)):
            weights[f"{attribute}.field.{layer}.Linear.weight"] = weight[place].T.contiguous()
            weights[f"{attribute}.field.{layer}.Linear.bias"] = bias[place, 0].contiguous()
    with whole(path) as partial:
        save_file(weights, partial)
        partial.chmod(0o644)  # safetensors writes for the owner alone


def load_fields(path: Path = WEIGHTS) -> SemanticFields:
    """The shipped fields, or those of a file that ``save_fields`` wrote, frozen.

    Raises FileNotFoundError and ValueError where there is no such file, or none of these fields in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no fields at {path}: make them by `retouch make-weights fields`")
    fields = SemanticFields()
    try:
        with safe_open(path, "pt") as file, torch.no_grad():
            for place, attribute in enumerate(ATTRIBUTES):
                for layer, (weight, bias) in enumerate(zip(fields.weights, fields.biases, strict=True)):
                    weight[place] = file.get_tensor(f"{attribute}.field.{layer}.Linear.weight").T
                    bias[place] = file.get_tensor(f"{attribute}.field.{layer}.Linear.bias")
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} holds no fields of the embedded faces ({error}): make them anew") from error
    return fields.requires_grad_(False).eval()
