"""Semantic fields (Jiang et al., Talk-to-Edit, ICCV 2021): small steps that depend on where a latent is, and the walk
along them until a picture shows what was asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear

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
        self.layers = tuple(nn.Linear(*pair) for pair in pairwise(widths))
        self.field = nn.ModuleList(nn.ModuleDict({"Linear": layer}) for layer in self.layers)

    def forward(self, point: Tensor) -> Tensor:
        x = point
        for number, layer in enumerate(self.layers):
            x = linear(leaky_relu(x, SLOPE) if number else x, layer.weight, layer.bias)
        return x


def field_steps(
    field: Callable[[Tensor], Tensor], point: Tensor, edit: Tensor, direction: Tensor, count: int
) -> Tensor:
    """``[B, count, D]``: the edits that the next steps of a ``field`` of points lead to, from where ``edit`` has led.

    ``point`` and ``edit`` ``[B, D]``, ``direction`` ``[B]`` 1 or -1.
    """
    edits = []
    for _ in range(count):
        edit = edit + direction[:, None] * field(point + edit)
        edits.append(edit)
    return torch.stack(edits, 1)


def by_attribute(function: Callable[..., Tensor], attribute: Tensor, *batch: Tensor) -> Tensor:
    """``function(place, *batch)`` of the lanes ``[N, ...]`` of each attribute in turn, back in order ``[B, ...]``."""
    places = attribute.unique().tolist()  # asking the device costs less than four fields too many
    if len(places) == 1:
        return function(places[0], *batch)
    lanes = [(attribute == place).nonzero()[:, 0] for place in places]
    parts = [function(place, *(part[own] for part in batch)) for place, own in zip(places, lanes, strict=True)]
    return torch.cat(parts)[torch.cat(lanes).argsort()]


class SideBySide(nn.Module):
    """Fields of one layout, frozen as they are, as one function of points ``[A * M, size]``, M for each of A in turn.

    What takes a call of each layer of each field becomes one of each layer.
    """

    def __init__(self, fields: Sequence[FieldFunction]) -> None:
        super().__init__()
        self.count = len(fields)
        layers = list(zip(*(field.layers for field in fields), strict=True))
        with torch.no_grad():
            self.weights = nn.ParameterList(torch.stack([layer.weight.T for layer in same]) for same in layers)
            self.biases = nn.ParameterList(torch.stack([layer.bias[None] for layer in same]) for same in layers)
        self.requires_grad_(False)

    def forward(self, point: Tensor) -> Tensor:
        x = point.view(self.count, -1, point.shape[1])
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, leaky_relu(x, SLOPE) if number else x, weight)
        return x.flatten(0, 1)


def padded(function: Callable[..., Tensor], attribute: Tensor, count: int, *batch: Tensor) -> Tensor:
    """``function(*batch)`` of the lanes of each of ``count`` attributes in turn, back in order ``[B, ...]``.

    Of each there are as many, ``[count * M, ...]``, as of the one that has most, and two at least, since one would be
    compiled for apart: what is missing is filled up by zeros.
    """
    each = attribute.bincount(minlength=count)
    most, order = max(2, int(each.max())), attribute.argsort(stable=True)
    rank = torch.arange(len(order), device=order.device) - (each.cumsum(0) - each)[attribute[order]]
    slot = torch.empty_like(order).index_copy(0, order, attribute[order] * most + rank)
    return function(*(part.new_zeros(count * most, *part.shape[1:]).index_copy(0, slot, part) for part in batch))[slot]


@dataclass(frozen=True)
class FieldEdit:
    """Where walks along the fields have led."""

    edit: Tensor  # [B, D], zero where nothing was asked and with either exception
    already_there: Tensor  # [B] bool: the picture shows the target as it is
    cannot: Tensor  # [B] bool: no step changed the degree


@torch.no_grad()
def field_edit(
    world: Faces,
    latent: Tensor,
    attribute: Tensor,
    target: Tensor,
    judge: Judge,
    trials: int = TRIALS,
    ahead: int = 1,
    labels: Tensor | None = None,
) -> FieldEdit:
    """The published round: step along the field until the judged degree has passed the target, or is at its end.

    ``attribute`` ``[B]`` int64, -1 asks for nothing; ``target`` ``[B]``, its degree, rounded. The edit leads to the
    most confident sample of the last degree reached before the target was passed; where a single degree was jumped
    over, to the sample beyond it. A walk ends after ``trials`` steps in which the degree did not change. ``ahead``
    steps are judged together, which pays where a judge is quick; ``labels`` ``[B, 5]`` are those of ``latent``, where
    they have been judged before.
    """
    asked = attribute >= 0
    attribute, target = attribute.clamp(min=0), target.round().long().clamp(0, DEGREES - 1)
    labels = judge(latent)[0] if labels is None else labels
    degree = labels.gather(1, attribute[:, None])[:, 0].long()
    walk = _Walk.begin(torch.zeros_like(world.point(latent)), degree, target, trials)
    walks = asked & (degree != target)
    lanes = walks.nonzero()[:, 0]
    while len(lanes):
        here, own = latent[lanes], attribute[lanes]
        edits = world.steps(here, walk.here[lanes], own, walk.direction[lanes].to(walk.here.dtype), ahead)
        seen, confidence = judge(world.move(here.repeat_interleave(ahead, 0), edits.flatten(0, 1)))
        own = own.repeat_interleave(ahead)[:, None]
        seen, confidence = (judged.gather(1, own).view(-1, ahead) for judged in (seen.long(), confidence))
        lanes = lanes[walk.tread(lanes, edits, seen, confidence)]
    return FieldEdit(walk.kept, asked & ~walks, walks & ~walk.changed)


@dataclass
class _Walk:
    """Where all lanes are on their walks, and the sample that each of them keeps."""

    target: Tensor  # [B] int64
    direction: Tensor  # [B] int64, 1 or -1, towards it
    trials: int
    here: Tensor  # [B, D], the edit so far
    kept: Tensor  # [B, D]
    confidence: Tensor  # [B], of the kept one
    degree: Tensor  # [B] int64, last seen
    still: Tensor  # [B] int64, steps since it changed
    changed: Tensor  # [B] bool, whether it ever did

    @classmethod
    def begin(cls, nowhere: Tensor, degree: Tensor, target: Tensor, trials: int) -> "_Walk":
        return cls(
            target=target,
            direction=(target - degree).sign(),
            trials=trials,
            here=nowhere.clone(),
            kept=nowhere.clone(),
            confidence=nowhere.new_zeros(len(nowhere)),
            degree=degree.clone(),
            still=torch.zeros_like(degree),
            changed=torch.zeros_like(degree, dtype=torch.bool),
        )

    def tread(self, lanes: Tensor, edits: Tensor, degree: Tensor, confidence: Tensor) -> Tensor:
        """The next K steps of ``lanes`` ``[N]``, to ``edits`` ``[N, K, D]``, where ``degree`` ``[N, K]`` was seen.

        Those beyond the end of a walk were not taken. Returns which walks go on, ``[N]`` bool.
        """
        towards = self.direction[lanes, None]
        passed = (degree - self.target[lanes, None]) * towards > 0
        at_end = degree == torch.where(towards > 0, DEGREES - 1, 0)
        number = torch.arange(1, degree.shape[1] + 1, device=degree.device)
        fresh = degree != torch.cat([self.degree[lanes, None], degree[:, :-1]], 1)
        before, changes = self.changed[lanes, None], fresh.cumsum(1)
        latest = (fresh * number).cummax(1)[0]
        still = number - latest + self.still[lanes, None] * (latest == 0)
        over = passed | at_end | (still >= self.trials)
        taken = over.cumsum(1) - over.long() == 0
        changed = before | (changes > 0)
        usable = taken & changed & ~(passed & (before | (changes > 1)))  # beyond the target: only what leapt there
        opened = ((usable & fresh) * number).amax(1, keepdim=True)  # the first step of the last degree
        held = self.confidence[lanes, None].masked_fill(opened > 0, -torch.inf)
        offered = confidence.masked_fill(~usable | (number < opened), -torch.inf)
        surest, best = torch.cat([held, offered], 1).max(1)
        last = taken.sum(1, keepdim=True) - 1
        self.kept[lanes] = _row(torch.cat([self.kept[lanes, None], edits], 1), best)
        self.confidence[lanes] = surest
        self.here[lanes] = _row(edits, last[:, 0])
        for mine, theirs in ((self.degree, degree), (self.still, still), (self.changed, changed)):
            mine[lanes] = theirs.gather(1, last)[:, 0]
        return ~over.any(1)


def _row(table: Tensor, places: Tensor) -> Tensor:
    """``[N, D]`` of ``[N, K, D]``: at ``places`` ``[N]``."""
    return table[torch.arange(len(places), device=places.device), places]
