"""What an update tells of itself."""

import torch
from torch import Tensor

from .rollout import Metrics


def averages(steps: list[dict[str, Tensor]]) -> Metrics:
    """The mean of each metric over gradient steps, read off the device once."""
    names = list(steps[0])
    table = torch.stack([step[name].detach().float() for step in steps for name in names]).view(len(steps), -1)
    return dict(zip(names, table.mean(0).tolist(), strict=True))
