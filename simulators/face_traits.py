"""What a face is drawn from, as one row of traits; every measure of the drawing is linear in them."""

import numpy as np
import torch
from torch import Tensor, nn

from .face_factors import NAMES
from .faces import ATTRIBUTES, DEGREES

STEPS = DEGREES - 1
PLAIN = NAMES[len(ATTRIBUTES) :]
COUNT = 1 + STEPS * len(ATTRIBUTES) + len(PLAIN)
SATURATION = 0.6  # of a factor, inside tanh: nobody is a monster


class Measure:
    """A number of the drawing, linear in the traits: measures and plain numbers can be added, and scaled."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights  # [COUNT]

    def __add__(self, other: "Measure | float") -> "Measure":
        return Measure(self.weights + measured(other).weights)

    def __sub__(self, other: "Measure | float") -> "Measure":
        return self + -1 * measured(other)

    def __mul__(self, scale: float) -> "Measure":
        return Measure(self.weights * scale)

    def __rsub__(self, other: float) -> "Measure":
        return -1 * self + other

    __radd__ = __add__
    __rmul__ = __mul__


def measured(value: Measure | float) -> Measure:
    """The measure itself, or the one that is this number for everybody."""
    return value if isinstance(value, Measure) else Measure(np.eye(COUNT)[0] * value)


def trait(name: str, weight: float = 1.0) -> Measure:
    """A factor of the person or of the circumstances, squashed into (-weight, weight)."""
    return Measure(np.eye(COUNT)[1 + STEPS * len(ATTRIBUTES) + PLAIN.index(name)] * weight)


def by_degree(attribute: str, *values: float) -> Measure:
    """The measure that takes six values at the six degrees of an attribute, and runs straight between them."""
    start = 1 + STEPS * ATTRIBUTES.index(attribute)
    weights = np.zeros(COUNT)
    weights[0] = values[0]
    weights[start : start + STEPS] = np.diff(values)
    return Measure(weights)


class Measures(nn.Module):
    """Named measures of a batch of faces, all of them by one matrix product."""

    matrix: Tensor  # [COUNT, N]
    steps: Tensor  # [STEPS]

    def __init__(self, **measures: Measure | float) -> None:
        super().__init__()
        self.names = tuple(measures)
        rows = [measured(value).weights for value in measures.values()]
        self.register_buffer("matrix", torch.tensor(np.stack(rows, 1), dtype=torch.float32), persistent=False)
        self.register_buffer("steps", torch.arange(STEPS, dtype=torch.float32), persistent=False)

    def forward(self, factors: Tensor) -> dict[str, Tensor]:
        """Factors ``[B, 40]`` to the measures, each ``[B, 1, 1]``."""
        degrees = factors[:, : len(ATTRIBUTES)].clamp(0, STEPS)
        ramps = (degrees[:, :, None] - self.steps).clamp(0, 1).flatten(1)
        plain = torch.tanh(factors[:, len(ATTRIBUTES) :] * SATURATION)
        values = torch.cat([torch.ones_like(plain[:, :1]), ramps, plain], 1) @ self.matrix
        return dict(zip(self.names, values.T[:, :, None, None].unbind(), strict=True))
