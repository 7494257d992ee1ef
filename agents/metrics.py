"""What an update tells of itself."""

import torch
from torch import Tensor

from .rollout import Metrics


def averages(steps: list[dict[str, Tensor]]) -> Metrics:
    """The mean of each metric over gradient steps, read off the device once."""
    names = list(steps[0])
    table = torch.stack([torch.stack([step[name].detach().float() for name in names]) for step in steps])
    return dict(zip(names, table.mean(0).tolist(), strict=True))
