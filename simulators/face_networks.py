"""Small networks that look at embedded faces: how much of each attribute, who it is, how likely a face it is."""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .faces import ATTRIBUTES, DEGREES
from .files import whole

FOLDER = Path(__file__).parent / "weights"
WEIGHTS = {  # those of the world, which rewards may use, and others, trained apart from them, to evaluate with
    "world": FOLDER / "face-networks.safetensors",
    "evaluation": FOLDER / "face-networks-evaluation.safetensors",
}
SIZE = 64  # pixels that the networks see, whatever the picture's
EMBEDDING = 32


class FaceReader(nn.Module):
    """Pictures ``[B, 3, S, S]`` in [0, 1] to numbers ``[B, outputs]``, by four strided convolutions and two layers."""

    WIDTHS = (3, 16, 32, 64, 96)
    HIDDEN = 128

    def __init__(self, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(self.WIDTHS):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        cells = (SIZE >> (len(self.WIDTHS) - 1)) ** 2
        layers += [nn.Flatten(), nn.Linear(self.WIDTHS[-1] * cells, self.HIDDEN, bias=False)]
        layers += [nn.BatchNorm1d(self.HIDDEN), nn.ReLU(), nn.Linear(self.HIDDEN, outputs)]
        self.layers = nn.Sequential(*layers)
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)  # twice as fast on a processor

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] != SIZE:
            image = F.interpolate(image, SIZE, mode="area")
        return self.layers(2 * image - 1)


class FaceNetworks(nn.Module):
    """The predictor, the network for identity and the discriminator."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = FaceReader(len(ATTRIBUTES) * DEGREES)
        self.identity = FaceReader(EMBEDDING)
        self.discriminator = FaceReader(1)

    def degrees(self, image: Tensor) -> Tensor:
        """``[B, 5, 6]`` logits of the degrees."""
        return self.predictor(image).unflatten(1, (len(ATTRIBUTES), DEGREES))

    def embed(self, image: Tensor) -> Tensor:
        """``[B, 32]`` of unit length: near to one another for pictures of one person."""
        return F.normalize(self.identity(image), dim=1)

    def likely(self, image: Tensor) -> Tensor:
        """``[B]`` logits of the latent being one of the prior, not one that edits have driven off."""
        return self.discriminator(image)[:, 0]


def save_face_networks(networks: FaceNetworks, path: Path) -> None:
    """Write them in half precision."""
    weights = {
        name: value.half() if value.is_floating_point() else value for name, value in networks.state_dict().items()
    }
    with whole(path) as partial:
        save_file({name: value.contiguous() for name, value in weights.items()}, partial)
        partial.chmod(0o644)  # safetensors writes for the owner alone


def load_face_networks(name: str = "world", device: torch.device | str = "cpu") -> FaceNetworks:
    """The shipped networks, frozen: ``world`` or ``evaluation``, or those of a ``.safetensors`` file.

    Raises FileNotFoundError and ValueError where there is no such file, or none of these networks.
    """
    path = WEIGHTS.get(name, Path(name))
    if not path.is_file():
        raise FileNotFoundError(f"no networks of faces at {path}: make them by `retouch make-weights face-networks`")
    networks = FaceNetworks()
    try:
        networks.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} holds no networks of faces ({error}): make them anew") from error
    return networks.requires_grad_(False).eval().to(device)
