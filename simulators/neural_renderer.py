"""Stroke renderers that are trained networks: the published architecture, and a small convolutional one."""

import pickle
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from .brushes import LAST_T, Curve
from .renderer import Renderer

AnyRenderer = TypeVar("AnyRenderer", bound=Renderer)
WEIGHTS = Path(__file__).parent / "weights" / "renderer.safetensors"


class NeuralRenderer(Renderer):
    """Convolutions over a coarse map of the stroke's geometry; `size` any multiple of 16, trained at 128.

    A cell of 4 x 4 pixels is told its signed distance to each of 8 discs along the curve, and how opaque that disc
    is there; three convolutions then draw its 16 pixels. It has no fully connected layer, which in the published
    network do most of the work only to find out where the stroke lies.
    """

    CELL = 4
    DISCS = 8

    def __init__(self, size: int = 128, channels: int = 24) -> None:
        super().__init__(size)
        if size <= 0 or size % 16:
            raise ValueError(f"the neural renderer needs a size that is a multiple of 16, got {size}")
        self.layers = nn.Sequential(
            nn.Conv2d(2 * self.DISCS, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, self.CELL**2, 3, padding=1),
        )

    def forward(self, shape: Tensor) -> Tensor:
        return torch.sigmoid(F.pixel_shuffle(self.layers(self._discs(shape)), self.CELL)[:, 0])

    def _discs(self, shape: Tensor) -> Tensor:
        """`[N, 2 * DISCS, size / CELL, size / CELL]`: signed distances in cells, opacities."""
        t = torch.linspace(0, LAST_T, self.DISCS, device=shape.device)[:, None]
        x, y, radius, opacity = (value.t()[..., None, None] for value in Curve().discs(shape, self.size, t))
        centre = torch.arange(self.size // self.CELL, device=shape.device) * self.CELL + (self.CELL - 1) / 2
        distance = torch.sqrt((x - centre[:, None]).square() + (y - centre).square() + 1e-4)
        distance = (distance - radius) / self.CELL
        return torch.cat([distance.clamp(-3, 3), torch.sigmoid(-2 * distance) * opacity], 1)


class PublishedRenderer(Renderer):
    """The network of Learning to Paint (Huang et al., ICCV 2019, `renderer.pkl`): 10 -> 4096 numbers by four fully
    connected layers, seen as 16 maps of 16 x 16, then drawn by pairs of convolutions, each pair followed by a pixel
    shuffle. At 256 px it is the wider one of Semantic Guidance (Singh et al., CVPR 2021). Keys as published.
    """

    CHANNELS = {  # of each pair: in, between, out; the pixel shuffle then divides by 4
        128: ((16, 32, 32), (8, 16, 16), (4, 8, 4)),
        256: ((16, 64, 64), (16, 32, 32), (8, 16, 16), (4, 8, 4)),
    }

    def __init__(self, size: int = 128) -> None:
        super().__init__(size)
        if size not in self.CHANNELS:
            raise ValueError(f"the published renderer exists at sizes {list(self.CHANNELS)}, got {size}")
        widths = (self.num_params, 512, 1024, 2048, 4096)
        for i in range(4):
            self.add_module(f"fc{i + 1}", nn.Linear(widths[i], widths[i + 1]))
        for i, (first, between, last) in enumerate(self.CHANNELS[size]):
            self.add_module(f"conv{2 * i + 1}", nn.Conv2d(first, between, 3, padding=1))
            self.add_module(f"conv{2 * i + 2}", nn.Conv2d(between, last, 3, padding=1))

    def forward(self, shape: Tensor) -> Tensor:
        layer = dict(self.named_children())
        x = shape
        for i in range(4):
            x = torch.relu(layer[f"fc{i + 1}"](x))
        x = x.view(-1, 16, 16, 16)
        for i in range(len(self.CHANNELS[self.size])):
            x = torch.relu(layer[f"conv{2 * i + 1}"](x))
            x = F.pixel_shuffle(layer[f"conv{2 * i + 2}"](x), 2)
        return 1 - torch.sigmoid(x[:, 0])


def load_neural(size: int, path: Path = WEIGHTS) -> NeuralRenderer:
    """The trained small renderer, frozen: gradients flow to the strokes only."""
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: make them by `retouch make-weights renderer`")
    return _frozen(NeuralRenderer(size), load_file(path))


def load_published(size: int, path: Path) -> PublishedRenderer:
    """A published `renderer.pkl` (a state dict saved by torch), frozen."""
    if not path.is_file():
        raise FileNotFoundError(f"no renderer at {path}: give the path of a published renderer.pkl")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"{path} is no file of weights saved by torch") from error
    renderer = PublishedRenderer(size)
    expected = {key: value.shape for key, value in renderer.state_dict().items()}
    if not isinstance(state, dict) or {key: getattr(value, "shape", None) for key, value in state.items()} != expected:
        raise ValueError(
            f"{path} is no renderer of {size} px: expected the weights of fc1 to fc4 and conv1 to "
            f"conv{2 * len(renderer.CHANNELS[size])} as published; sizes are {list(renderer.CHANNELS)}"
        )
    return _frozen(renderer, state)


def _frozen(renderer: AnyRenderer, state: dict[str, Tensor]) -> AnyRenderer:
    renderer.load_state_dict(state)
    return renderer.requires_grad_(False).eval()
