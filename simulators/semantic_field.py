"""Semantic fields (Jiang et al., Talk-to-Edit, ICCV 2021): small steps that depend on where a latent is, and the walk
along them until a picture shows what was asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .faces import DEGREES, Faces

SLOPE = 0.2
TRIALS = 100  # steps without a change of degree, after which a walk gives up

Judge = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Latents ``[B, ...]`` -> the degrees seen in their pictures ``[B, 5]``, how confidently each ``[B, 5]``."""


class FieldFunction(nn.Module):
    """The field of one attribute: ``[B, size]`` -> ``[B, size]``, with the published keys ``field.N.Linear.weight``."""

    def __init__(self, size: int = 512, layers: int = 8, hidden: int = 512) -> None:
        super().__init__()
        widths = [size, *[hidden] * (layers - 1), size]
        self.field = nn.ModuleList(nn.ModuleDict({"Linear": nn.Linear(*pair)}) for pair in pairwise(widths))

    def forward(self, point: Tensor) -> Tensor:
        x = point
        for number, layer in enumerate(self.field):
            x = layer.get_submodule("Linear")(leaky_relu(x, SLOPE) if number else x)
        return x


def field_step(
    fields: Sequence[nn.Module] | nn.ModuleList,
    mapping: Callable[[Tensor], Tensor],
    point: Tensor,
    attribute: Tensor,
    direction: Tensor,
) -> Tensor:
    """One published step ``[B, D]``, ``M(F(w)) - M(0)``, of every lane along the field of its own attribute.

    ``fields``: one for each attribute; ``mapping``: StyleGAN's M without its normalisation; ``point`` ``[B, D]``,
    ``attribute`` ``[B]`` int64, ``direction`` ``[B]`` 1 or -1.
    """
    asked = torch.empty_like(point)
    for place in attribute.unique().tolist():  # asking the device costs less than four fields too many
        lanes = (attribute == place).nonzero()[:, 0]
        asked = asked.index_copy(0, lanes, fields[place](point[lanes]))
    return direction[:, None] * (mapping(asked) - mapping(torch.zeros_like(point[:1])))


@dataclass(frozen=True)
class FieldEdit:
    """Where walks along the fields have led."""

    edit: Tensor  # [B, D], zero where nothing was asked and with either exception
    already_there: Tensor  # [B] bool: the picture shows the target as it is
    cannot: Tensor  # [B] bool: no step changed the degree


@torch.no_grad()
def field_edit(
    world: Faces, latent: Tensor, attribute: Tensor, target: Tensor, judge: Judge, trials: int = TRIALS
) -> FieldEdit:
    """The published round: step along the field until the judged degree has passed the target, or is at its end.

    ``attribute`` ``[B]`` int64, -1 asks for nothing; ``target`` ``[B]``, its degree, rounded. The edit leads to the
    most confident sample of the last degree reached before the target was passed; where a single degree was jumped
    over, to the sample beyond it. A walk ends after ``trials`` steps in which the degree did not change.
    """
    asked = attribute >= 0
    attribute, target = attribute.clamp(min=0), target.round().long().clamp(0, DEGREES - 1)
    degree, _ = _seen(judge, latent, attribute)
    walk = _Walk.begin(torch.zeros_like(world.point(latent)), degree)
    direction = (target - degree).sign()
    lanes = (asked & (direction != 0)).nonzero()[:, 0]
    while len(lanes):
        here, towards = latent[lanes], direction[lanes]
        moved = world.move(here, walk.here[lanes])
        edit = walk.here[lanes] + world.step(moved, attribute[lanes], towards.to(walk.here.dtype))
        seen, confidence = _seen(judge, world.move(here, edit), attribute[lanes])
        passed = (seen - target[lanes]) * towards > 0
        walk.tread(lanes, edit, seen, confidence, passed)
        at_end = seen == torch.where(towards > 0, DEGREES - 1, 0)
        lanes = lanes[~(passed | at_end | (walk.still[lanes] >= trials))]
    return FieldEdit(walk.kept, asked & (direction == 0), asked & (direction != 0) & ~walk.changed)


@dataclass
class _Walk:
    """Where all lanes are on their walks, and the sample that each of them keeps."""

    here: Tensor  # [B, D], the edit so far
    kept: Tensor  # [B, D]
    confidence: Tensor  # [B], of the kept one
    degree: Tensor  # [B] int64, last seen
    still: Tensor  # [B] int64, steps since it changed
    changed: Tensor  # [B] bool, whether it ever did

    @classmethod
    def begin(cls, nowhere: Tensor, degree: Tensor) -> "_Walk":
        confidence, never = nowhere.new_zeros(len(nowhere)), torch.zeros_like(degree, dtype=torch.bool)
        return cls(nowhere.clone(), nowhere.clone(), confidence, degree.clone(), torch.zeros_like(degree), never)

    def tread(self, lanes: Tensor, edit: Tensor, degree: Tensor, confidence: Tensor, passed: Tensor) -> None:
        """One step of ``lanes`` ``[N]``, to ``edit`` ``[N, D]``, where ``degree`` ``[N]`` was seen."""
        fresh = degree != self.degree[lanes]
        better = self.changed[lanes] & (confidence > self.confidence[lanes])
        keep = torch.where(passed, ~self.changed[lanes], fresh | better)
        self.here[lanes] = edit
        self.kept[lanes] = torch.where(keep[:, None], edit, self.kept[lanes])
        self.confidence[lanes] = torch.where(keep, confidence, self.confidence[lanes])
        self.degree[lanes] = degree
        self.still[lanes] = torch.where(fresh, 0, self.still[lanes] + 1)
        self.changed[lanes] |= fresh


def _seen(judge: Judge, latent: Tensor, attribute: Tensor) -> tuple[Tensor, Tensor]:
    """The degree ``[B]`` int64 of each lane's own attribute, and how confidently."""
    labels, confidence = judge(latent)
    own = attribute[:, None]
    return labels.gather(1, own)[:, 0].long(), confidence.gather(1, own)[:, 0]
