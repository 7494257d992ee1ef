"""The exact checker of the embedded world: was done what was asked, and was the rest kept?

A cell shows an object if of all that it could show (every shape in every colour, larger or smaller, here or there, or
nothing) the object is nearest to its pixels, and nothing else is to be seen in it: averaged over any 3 x 3 pixels, the
picture lies within TOLERANCE of that object in every channel. Soft edges and a little noise pass, a blend does not.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .edit_language import SHAPES
from .edit_scenes import BACKGROUNDS, CELL, EMPTY, PALETTE, cells_of, silhouettes
from .edit_world import Problems

TOLERANCE = 0.2  # of the range of a channel
SURE = 0.015  # of it: perfect pictures are surer, nearly all edits of the shipped editor less
_RADII = (4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0)
_OFFSETS = tuple((row, column) for row in range(-2, 3) for column in range(-2, 3))


def check(image: Tensor, problems: Problems) -> dict[str, Tensor]:
    """Whether `image` [B, 3, 32, 32] in [0, 1] solves its problem: {"done": [B], "kept": [B]}, 0 or 1 as float.

    `done`: the edited cell shows what was asked, of any size and a little out of place. `kept`: every other cell still
    shows what it did, as the source has it, within TOLERANCE. NaN is neither.
    """
    cells = cells_of(image.float().clamp(0, 1))
    shape, colour, nearest = _read(cells, problems.source.background)
    target = problems.target
    right = (shape == target.shape) & ((shape == EMPTY) | (colour == target.colour))
    good = right & (_farthest(cells - _expected(nearest, problems)) <= TOLERANCE)
    return {"done": (good & problems.edited).any(1).float(), "kept": (good | problems.edited).all(1).float()}


def margin(image: Tensor, problems: Problems) -> Tensor:
    """How surely `image` [B, 3, 32, 32] in [0, 1] solves its problem: [B] in [-1, 1], below 0 where it does not.

    In SURE root mean squares of a channel, how much its least sure cell must change at least to show something else,
    which is half of how much farther all else is than what it should show, or to leave TOLERANCE.
    """
    cells = cells_of(image.float().clamp(0, 1))
    distance = _distances(cells, problems.source.background)
    wanted = problems.target.look[..., None]
    reading = (distance.scatter(2, wanted, torch.inf).amin(2) - distance.gather(2, wanted)[..., 0]) / 2
    nearest = _read(cells, problems.source.background)[2]
    spare = TOLERANCE - _farthest(cells - _expected(nearest, problems))
    least = torch.minimum(reading, spare * (3 * 3 / (3 * CELL**2)) ** 0.5)  # it takes 3 x 3 pixels of one channel
    return (least.amin(1) / SURE).clamp(-1, 1)


def _expected(nearest: Tensor, problems: Problems) -> Tensor:
    """What cells must be like, all [B, 4, 3, CELL, CELL]: where edited, what is `nearest` to them, else the source."""
    return torch.where(problems.edited[:, :, None, None, None], nearest, cells_of(problems.source.image()))


@cache
def _templates(device: torch.device) -> Tensor:
    """Opacity of all that a cell can show: [M, CELL, CELL], a shape's all together."""
    return silhouettes(_RADII, _OFFSETS).flatten(0, 2).to(device)


def _farthest(difference: Tensor) -> Tensor:
    """The largest mean over 3 x 3 pixels of [B, 4, 3, CELL, CELL], by cell: [B, 4]."""
    return F.avg_pool2d(difference.flatten(0, 2), 3, 1).abs().amax((1, 2)).unflatten(0, difference.shape[:3]).amax(2)


def _distances(cells: Tensor, background: Tensor) -> Tensor:
    """How far `cells` [B, 4, 3, CELL, CELL] are from the nearest of each of LOOKS, root mean squares: [B, 4, LOOKS]."""
    ground = (BACKGROUNDS.to(cells) / 255)[background]
    nothing = (cells - ground[:, None, :, None, None]).square().sum((2, 3, 4))[..., None]
    objects = _against_nothing(cells, background).unflatten(3, (len(SHAPES), -1)).amin(4).mT.flatten(2)
    return ((torch.cat([objects, torch.zeros_like(nothing)], 2) + nothing) / (3 * CELL**2)).clamp_min(0).sqrt()


def _against_nothing(cells: Tensor, background: Tensor) -> Tensor:
    """How much farther each template in each colour is from `cells` than an empty one, squared: [B, 4, COLOURS, M].

    With y the pixels less the background, m a template and c a colour less the background, |y - c m|^2 is
    |y|^2 - 2 c.(y m) + |c|^2 |m|^2, of which the first term is an empty cell's.
    """
    templates, palette = _templates(cells.device), PALETTE.to(cells) / 255
    ground = (BACKGROUNDS.to(cells) / 255)[background]  # [B, 3]
    contrast = palette - ground[:, None]  # [B, COLOURS, 3]
    inner = (cells - ground[:, None, :, None, None]).flatten(3) @ templates.flatten(1).T  # [B, 4, 3, M]
    energy = contrast.square().sum(2)[..., None] * templates.square().sum((1, 2))  # [B, COLOURS, M]
    return energy[:, None] - 2 * contrast[:, None] @ inner


def _read(cells: Tensor, background: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is nearest to `cells` [B, 4, 3, CELL, CELL]: its shape and colour [B, 4], and how it would look."""
    templates, palette = _templates(cells.device), PALETTE.to(cells) / 255
    least, place = _against_nothing(cells, background).flatten(2).min(2)
    colour, template = place // len(templates), place % len(templates)
    empty = least >= 0
    shape = torch.where(empty, EMPTY, template // (len(templates) // len(SHAPES)))
    opacity = torch.where(empty[:, :, None, None], 0, templates[template])
    ground = (BACKGROUNDS.to(cells) / 255)[background]
    look = torch.lerp(ground[:, None, :, None, None], palette[colour][..., None, None], opacity[:, :, None])
    return shape, colour, look
