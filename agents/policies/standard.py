"""Networks for any dictionary of boxes, discrete numbers and uint8 images, of the sizes that are usual."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from gymnasium.spaces import Box, Dict, Discrete, Space
from torch import Tensor, nn
from torch.distributions import Distribution

from ..heads import head_for
from ..rollout import Obs


class StandardPolicy(nn.Module):
    """A distribution over actions and a value ``[B]``: separate multi-layer perceptrons over one encoder."""

    def __init__(
        self, observation_space: Dict, action_space: Space, widths: Sequence[int] = (64, 64), log_std: float = 0.0
    ):
        super().__init__()
        self.encoder = Encoder(observation_space)
        self.body, self.value_body = (mlp((self.encoder.features, *widths), nn.Tanh) for _ in range(2))
        self.head, self.value_head = head_for(action_space, widths[-1], log_std), nn.Linear(widths[-1], 1)
        orthogonal(self.body, math.sqrt(2))
        orthogonal(self.value_body, math.sqrt(2))
        orthogonal(self.head, 0.01)  # nearly the same distribution everywhere, to begin with
        orthogonal(self.value_head, 1.0)

    def forward(self, obs: Obs) -> tuple[Distribution, Tensor]:
        features = self.encoder(obs)
        return self.head(self.body(features)), self.value_head(self.value_body(features)).squeeze(-1)


class StandardActor(nn.Module):
    """Actions ``[B, *shape]`` inside a finite box."""

    def __init__(self, observation_space: Dict, action_space: Space, widths: Sequence[int] = (400, 300)):
        super().__init__()
        self.encoder, self.box = Encoder(observation_space), Centred(action_space)
        size = self.box.centre.numel()
        self.body = nn.Sequential(mlp((self.encoder.features, *widths), nn.ReLU), nn.Linear(widths[-1], size))

    def forward(self, obs: Obs) -> Tensor:
        return self.box.stretch(torch.tanh(self.body(self.encoder(obs))))


class StandardCritic(nn.Module):
    """The value ``[B]`` of an action in a state, or, without ``action_space``, of a state."""

    def __init__(self, observation_space: Dict, action_space: Space | None = None, widths: Sequence[int] = (400, 300)):
        super().__init__()
        self.encoder = Encoder(observation_space)
        self.box = None if action_space is None else Centred(action_space)
        size = self.encoder.features + (0 if self.box is None else self.box.centre.numel())
        self.body = nn.Sequential(mlp((size, *widths), nn.ReLU), nn.Linear(widths[-1], 1))

    def forward(self, obs: Obs, action: Tensor | None = None) -> Tensor:
        features = self.encoder(obs)
        if self.box is not None and action is not None:
            features = torch.cat([features, self.box.shrink(action)], 1)
        return self.body(features).squeeze(-1)


class Encoder(nn.Module):
    """Every observation as one vector ``[B, features]``.

    Images, ``Box`` of uint8 ``[C, H, W]``, are stacked and go through a small convolutional network; one that comes
    as floats is taken to lie in [0, 1] already, as imagined canvases do. ``Discrete`` is scaled to [0, 1].
    Raises ValueError for other spaces, and for images of several sizes.
    """

    def __init__(self, space: Dict):
        super().__init__()
        self.images = [key for key, part in space.items() if is_image(part)]
        self.vectors = [key for key in space if key not in self.images]
        self.scales = {key: scale(key, space[key]) for key in self.vectors}
        self.features = sum(math.prod(space[key].shape or (1,)) for key in self.vectors)
        if self.images:
            self.convolutions = Convolutions([tuple(space[key].shape or ()) for key in self.images])
            self.features += self.convolutions.features

    def forward(self, obs: Obs) -> Tensor:
        parts = [obs[key].float().view(len(obs[key]), -1) * self.scales[key] for key in self.vectors]
        if self.images:
            parts.append(self.convolutions(stacked([obs[key] for key in self.images])))
        return torch.cat(parts, 1)


class Convolutions(nn.Module):
    """Halves images until at most 4 pixels a side are left, then one layer: ``[B, C, H, W]`` -> ``[B, features]``."""

    def __init__(self, shapes: list[tuple[int, ...]], features: int = 256):
        super().__init__()
        sizes = {shape[1:] for shape in shapes}
        if len(sizes) > 1:
            raise ValueError(f"images must be of one size to be stacked, got {sorted(sizes)}")
        height, width = sizes.pop()
        halvings = max(1, math.ceil(math.log2(max(height, width) / 4)))
        widths = [sum(shape[0] for shape in shapes), *(min(16 * 2**i, 64) for i in range(halvings))]
        layers: list[nn.Module] = []
        for wide, wider in pairwise(widths):
            layers += [nn.Conv2d(wide, wider, 3, 2, 1), nn.ReLU(inplace=True)]
        left = math.ceil(height / 2**halvings) * math.ceil(width / 2**halvings)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * left, features), nn.ReLU())
        self.features = features

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class Centred(nn.Module):
    """A finite box as [-1, 1]. Raises ValueError for any other space."""

    centre: Tensor
    reach: Tensor

    def __init__(self, space: Space):
        super().__init__()
        if not (isinstance(space, Box) and space.is_bounded()):
            raise ValueError(f"a deterministic actor needs a finite Box of actions, got {space}")
        low, high = torch.as_tensor(space.low), torch.as_tensor(space.high)
        self.register_buffer("centre", (low + high) / 2)
        self.register_buffer("reach", (high - low) / 2)

    def stretch(self, x: Tensor) -> Tensor:
        """``[B, A]`` in [-1, 1] -> ``[B, *shape]`` in the box."""
        return self.centre + self.reach * x.view(-1, *self.centre.shape)

    def shrink(self, action: Tensor) -> Tensor:
        """``[B, *shape]`` in the box -> ``[B, A]`` in [-1, 1]."""
        return ((action - self.centre) / self.reach).flatten(1)


def mlp(widths: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide, wider in pairwise(widths):
        layers += [nn.Linear(wide, wider), activation()]
    return nn.Sequential(*layers)


def orthogonal(module: nn.Module, gain: float) -> None:
    """Orthogonal weights and no bias in every linear layer, as is usual for on-policy agents."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)


def is_image(space: Space) -> bool:
    return isinstance(space, Box) and space.dtype == "uint8" and len(space.shape) == 3


def stacked(images: list[Tensor]) -> Tensor:
    """``[B, C, H, W]`` float in [0, 1] of images as ``as_unit`` takes them, their channels one after the other.

    In memory a pixel's channels lie side by side, which convolutions on a CPU are half as long with; while they are
    bytes they are moved at a quarter of the cost.
    """
    if any(image.dtype != torch.uint8 for image in images):
        images = [as_unit(image) for image in images]
    return as_unit(torch.cat(images, 1).contiguous(memory_format=torch.channels_last))


def as_unit(image: Tensor) -> Tensor:
    """uint8 in {0, ..., 255} as float in [0, 1]; a float stays as it is."""
    return image.float().div_(255) if image.dtype == torch.uint8 else image


def scale(key: str, space: Space) -> float:
    """What an observation is multiplied with. Raises ValueError for one that is neither Box nor Discrete."""
    match space:
        case Discrete(start=0):
            return 1 / max(1, int(space.n) - 1)
        case Box():
            return 1.0
    raise ValueError(f"no network for the observation {key!r}: expected Box or Discrete from 0, got {space}")
