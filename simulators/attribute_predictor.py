"""The published predictor of degrees (Jiang et al., Talk-to-Edit, ICCV 2021): a ResNet-50 with a head an attribute."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import backends
from .faces import ATTRIBUTES, DEGREES

SIZE = 128  # pixels that it sees, whatever the picture's
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours
STEM, HIDDEN = 512, 256
LAYOUT = '{"attr_info": {"6": {"name": "Bangs", "value": [0, 1, 2, 3, 4, 5]}, ...}}'  # of a file of attributes


class Attribute(NamedTuple):
    """What the published files call an attribute. Degrees grow with more beard and more age, whatever the name."""

    number: int  # among CelebA's forty
    name: str

    @property
    def head(self) -> str:
        """The key of its classifier."""
        return f"classifier{self.number:02}{self.name}"


PUBLISHED = (
    Attribute(6, "Bangs"),
    Attribute(16, "Eyeglasses"),
    Attribute(25, "No_Beard"),
    Attribute(32, "Smiling"),
    Attribute(40, "Young"),
)


class AttributePredictor(nn.Module):
    """Pictures ``[B, 3, S, S]`` in [0, 1] -> logits of degrees ``[B, 5, 6]``."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, attributes: Sequence[Attribute] = PUBLISHED) -> None:
        super().__init__()
        backbone = backends.torchvision().models.resnet50(weights=None)
        self.trunk = [name for name, _ in backbone.named_children() if name != "fc"]
        for name in self.trunk:
            self.add_module(name, backbone.get_submodule(name))
        self.stem = dense(backbone.fc.in_features, STEM)
        self.heads = [attribute.head for attribute in attributes]
        for name in self.heads:
            self.add_module(name, nn.Sequential(dense(STEM, HIDDEN), nn.Linear(HIDDEN, DEGREES)))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] != SIZE:
            image = F.interpolate(image, (SIZE, SIZE), mode="area")
        x = (image - self.mean) / self.deviation
        for name in self.trunk:
            x = self.get_submodule(name)(x)
        x = self.stem(x.flatten(1))
        return torch.stack([self.get_submodule(name)(x) for name in self.heads], 1)


def dense(wide: int, wider: int) -> nn.Sequential:
    """A batch-normalised linear layer with the published keys."""
    return nn.Sequential(OrderedDict(fc=nn.Linear(wide, wider), bn=nn.BatchNorm1d(wider), relu=nn.ReLU()))


def read_attributes(path: Path) -> tuple[Attribute, ...]:
    """The attributes of a predictor of one's own from a file like the published ``attributes_5.json``.

    Raises ValueError unless it names five of six degrees each, in the order of ``ATTRIBUTES``, their meaning.
    """
    try:
        entries = json.loads(path.read_text())["attr_info"]
        attributes = tuple(Attribute(int(number), entry["name"]) for number, entry in entries.items())
        degrees = {len(entry["value"]) for entry in entries.values()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: expected a table like {LAYOUT}") from error
    if len(attributes) != len(ATTRIBUTES) or degrees != {DEGREES}:
        raise ValueError(
            f"{path}: expected five attributes, for {', '.join(ATTRIBUTES)}, of {DEGREES} degrees each, "
            f"got {len(attributes)} of {sorted(degrees)}"
        )
    return attributes
