"""The head's shape, and what is behind and below the face."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .face_hair import HairField
from .face_layers import Canvas, Measured


@dataclass(frozen=True)
class Head:
    """All ``[B, size, size]``, in head units."""

    x: Tensor
    y: Tensor
    width: Tensor  # half the face's, at this height
    depth: Tensor  # 1 in the middle of the face, 0 at its outline: the face is a paraboloid
    distance: Tensor  # into the face


def head_shape(m: Measured, x: Tensor, y: Tensor) -> Head:
    """The face: an ellipse that tapers to the chin, fuller or squarer as the person is."""
    ry = y / m["height"]
    below = ry.clamp(0, 1.3)
    width = m["width"] * (1 + below * (m["fullness"] - m["taper"] * below))
    square = ry * ry
    rest = 1 - (x / width) ** 2 - square * (1 - m["square"] + m["square"] * square)
    return Head(x, y, width, torch.relu(rest), rest * 0.25)


def draw_scene(canvas: Canvas, m: Measured, head: Head, hair: HairField) -> None:
    """Background, hair behind, neck, clothes, ears and the bare face."""
    x, y = head.x, head.y
    beyond = torch.sigmoid(2.2 * (x * m["back_across"] + y * m["back_down"]))
    sides = x.abs()
    neck = torch.minimum(m["neck"] + 0.25 * torch.relu(y - 0.5) - sides, y - 0.2)
    shoulders = y - 0.69 - 0.55 * sides * sides - torch.relu(0.13 - 0.8 * x * x)
    ear_x = (sides - m["width"] * 0.985 + 0.3 * m["yaw"] * x) / 0.075
    ear = (1 - ear_x * ear_x - ((y + 0.01) / 0.135) ** 2) * 0.04
    face = canvas.inside(head.distance)
    slope = m["light"] * x / head.width - 0.12 * y
    shade = (0.42 - 0.55 * head.depth - slope).clamp(0, 0.7) * face
    shine = (0.55 * (head.depth - 0.55) + slope).clamp(0, 0.5) * face * 0.7
    back = canvas.inside(hair.behind)
    under_chin = torch.relu(1 - ((y - 0.62) / 0.3) ** 2) * 0.6
    folds = (0.9 * sides).clamp(0, 1)
    neck = canvas.inside(neck)
    clothes = canvas.inside(shoulders)
    canvas.paint(
        [
            ("back", torch.ones_like(x)), ("beyond", beyond), ("back_hair", back), ("back_strand", back * hair.tone),
            ("neck", neck), ("shade", neck * under_chin), ("cloth", clothes), ("cloth_shade", clothes * folds),
            ("ear", canvas.inside(ear)), ("skin", face), ("shade", shade), ("shine", shine),
        ]
    )  # fmt: skip
