"""The policy of the published dialog editor's extension by REINFORCE: it watches what the semantic field proposes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from ..rollout import Obs

LEAST, MOST = -2.0, 20.0  # of the logarithm of the deviation, as published


class EditTracker(nn.Module):
    """A recurrent Gaussian over edits of a latent of ``size`` numbers, and a value ``[B]``.

    It sees ``proposals`` ``[B, rounds, size]``, what the field proposed in each round so far, and which ``round``
    ``[B]`` it is; neither the face nor the request. The published one has two layers of 512.
    """

    def __init__(self, size: int = 512, layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(size, size, layers, batch_first=True)
        self.mean, self.log_std = nn.Linear(size, size), nn.Linear(size, size)
        self.value = nn.Linear(size, 1)

    def forward(self, obs: Obs) -> tuple[Distribution, Tensor]:
        proposals = obs["proposals"]
        features, _ = self.lstm(proposals)
        now = obs["round"].clamp_max(proposals.shape[1] - 1)
        feature = features[torch.arange(len(now), device=now.device), now]
        deviation = self.log_std(feature).clamp(LEAST, MOST).exp()
        normal = Normal(self.mean(feature), deviation, validate_args=False)
        return Independent(normal, 1, validate_args=False), self.value(feature).squeeze(-1)

    def load_published(self, path: Path) -> None:
        """Read ``policy_network.pth``: an LSTM and two linear layers, of which the one named after ``std`` is that of
        the deviation; the value keeps its weights. Raises ValueError for a file of anything else."""
        found = torch.load(path, map_location="cpu", weights_only=True)
        tensors = found if isinstance(found, Mapping) else {}
        own, read = self.state_dict(), {}
        for name, tensor in tensors.items():
            part = "lstm" if "_l" in name.rpartition(".")[2] else "log_std" if "std" in name else "mean"
            read[f"{part}.{name.rpartition('.')[2]}"] = tensor
        wanted = {name: value.shape for name, value in own.items() if not name.startswith("value.")}
        given = {name: getattr(value, "shape", None) for name, value in read.items()}
        if given != wanted or len(read) != len(tensors):
            shapes = {name: list(getattr(value, "shape", ())) for name, value in tensors.items()}
            raise ValueError(
                f"{path} is no policy_network.pth for latents of {self.mean.in_features} numbers: expected an LSTM of "
                f"{self.lstm.num_layers} layers and two linear layers, one of them with 'std' in its name, got {shapes}"
            )
        self.load_state_dict(read, strict=False)
