"""The latent behind the embedded faces: normal in every direction, and entangled, so that straight edits drift."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from .face_factors import FACTORS, NAMES
from .faces import ATTRIBUTES, DEGREES

WEIGHTS = Path(__file__).parent / "weights" / "face-latent.safetensors"
CENTRE = (1.0, 0.6, 0.3, 2.0, 2.2)  # degree = CENTRE + SPREAD * a standard normal score, cut to [0, 5]: 40 to 50 % have
SPREAD = (1.9, 2.0, 1.9, 1.6, 1.25)  # no bangs, no glasses, no beard
BIAS = (  # which factor of the data goes with which other, and how much: none follows one that follows it
    ("eyeglasses", "age", 0.45),
    ("beard", "masculinity", 0.8),
    ("bangs", "masculinity", -0.4),
    ("bangs", "age", -0.3),
    ("smiling", "masculinity", -0.2),
    ("hair_length", "masculinity", -0.5),
    ("brow_thickness", "masculinity", 0.3),
)


class FaceLatent(nn.Module):
    """Latents ``[B, 40]`` to factors ``[B, 40]`` and, exactly, back; both ways differentiable.

    A latent is mixed by orthogonal matrices and, between them, half of it is turned in planes, by angles that a small
    fixed network reads from the other half. Each of these steps maps the standard normal distribution to itself and
    can be undone, to the last digit of single precision, for it is computed in double. ``entanglement`` multiplies the
    angles: at 0 every factor is a linear function of the latent, at 1 straight lines explain a quarter of the variance
    of a degree.
    """

    mixes: Tensor  # [blocks + 1, 40, 40], orthogonal
    inward: Tensor  # [blocks, 20, H] and outward [blocks, H, 10]: weights of the networks of the angles
    offset: Tensor  # [blocks, H]
    outward: Tensor
    bias: Tensor  # [40, 40], unit rows: scores of the factors from independent ones; and back
    unbias: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, entanglement: float = 0.75, path: Path = WEIGHTS) -> None:
        super().__init__()
        if entanglement < 0:
            raise ValueError(f"entanglement is 0 or more, got {entanglement}")
        if not path.is_file():
            raise FileNotFoundError(f"no constants of the faces' latent at {path}: install the package anew")
        self.entanglement = entanglement
        with safe_open(path, "pt") as file:
            for name in file.keys():
                self.register_buffer(name, file.get_tensor(name).double())
        rest = FACTORS - len(ATTRIBUTES)
        self.register_buffer("bias", _bias())
        self.register_buffer("unbias", torch.linalg.inv(self.bias))
        self.register_buffer("centre", torch.tensor(CENTRE + (0.0,) * rest, dtype=torch.float64))
        self.register_buffer("spread", torch.tensor(SPREAD + (1.0,) * rest, dtype=torch.float64))

    def factors(self, latent: Tensor) -> Tensor:
        """The raw degrees, which may lie beyond [0, 5], then the person's and the circumstances' factors."""
        x = latent.double() @ self.mixes[0]
        for block, mix in enumerate(self.mixes[1:]):
            x = self._turn(x, block, 1.0) @ mix
        return (self.centre + self.spread * (x @ self.bias.T)).to(latent.dtype)

    def inverse(self, factors: Tensor) -> Tensor:
        """The latent of these factors."""
        x = (factors - self.centre) / self.spread @ self.unbias.T
        for block in reversed(range(len(self.mixes) - 1)):
            x = self._turn(x @ self.mixes[block + 1].T, block, -1.0)
        return (x @ self.mixes[0].T).to(factors.dtype)

    def degrees(self, latent: Tensor) -> Tensor:
        """``[B, 5]`` in [0, 5], as the picture shows them."""
        return shown(self.factors(latent))

    def reach(self, latent: Tensor, degrees: Tensor) -> Tensor:
        """The latent that differs in its degrees ``[B, 5]`` alone; what shows a degree already stays as it is."""
        factors = self.factors(latent)
        raw, rest = factors.split([len(ATTRIBUTES), FACTORS - len(ATTRIBUTES)], 1)
        there = torch.isclose(raw.clamp(0, DEGREES - 1), degrees, rtol=0, atol=1e-4)
        return self.inverse(torch.cat([torch.where(there, raw, degrees), rest], 1))

    def _turn(self, x: Tensor, block: int, sense: float) -> Tensor:
        """The second half turned by angles read from the first."""
        first, second = x.chunk(2, 1)
        hidden = torch.tanh(torch.addmm(self.offset[block], first, self.inward[block]))
        angle = sense * self.entanglement * (hidden @ self.outward[block])
        across, down = second.unflatten(1, (-1, 2)).unbind(2)
        cosine, sine = angle.cos(), angle.sin()
        turned = torch.stack([across * cosine - down * sine, across * sine + down * cosine], 2)
        return torch.cat([first, turned.flatten(1)], 1)


def shown(factors: Tensor) -> Tensor:
    """Of factors ``[B, 40]`` the degrees ``[B, 5]`` in [0, 5] that a picture shows."""
    return factors[:, : len(ATTRIBUTES)].clamp(0, DEGREES - 1)


def _bias() -> Tensor:
    place = {name: index for index, name in enumerate(NAMES)}
    bias = torch.eye(FACTORS, dtype=torch.float64)
    for factor, other, weight in BIAS:
        bias[place[factor], place[other]] = weight
    return bias / bias.norm(dim=1, keepdim=True)
