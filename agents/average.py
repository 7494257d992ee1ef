"""A running average of weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter


class Average:
    """The exponential moving average of ``parameters``; with a decay of 0 there is none, and nothing is kept."""

    def __init__(self, parameters: list[Parameter], decay: float):
        self.parameters, self.decay = parameters, decay
        self.mean = [parameter.detach().clone() for parameter in parameters] if decay else []

    @torch.no_grad()
    def follow(self) -> None:
        """``mean <- decay mean + (1 - decay) parameters``."""
        for mean, parameter in zip(self.mean, self.parameters, strict=bool(self.decay)):
            mean.lerp_(parameter, 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the averaged weights are in place of the others."""
        own = [parameter.data for parameter in self.parameters]
        for mean, parameter in zip(self.mean, self.parameters, strict=bool(self.decay)):
            parameter.data = mean
        try:
            yield
        finally:
            for data, parameter in zip(own, self.parameters, strict=True):
                parameter.data = data

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"mean": self.mean}

    def load_state_dict(self, saved: dict[str, list[Tensor]]) -> None:
        for mean, kept in zip(self.mean, saved["mean"], strict=True):
            mean.copy_(kept)
