"""A painting as data: its strokes, written as JSON, read back and replayed at any size."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from .files import whole
from .renderers import make_renderer

FORMAT, VERSION = "retouch-strokes", 1
DECIMALS = 5  # of a stroke's number: a hundredth of a pixel on a canvas of 1,000
NUMBERS = ("x0", "y0", "x1", "y1", "x2", "y2", "z0", "z2", "w0", "w2", "r", "g", "b")
ENDS = [0, 1, 4, 5]  # x0, y0, x2, y2; the control point is relative to them
RADII = [6, 7]
LIMIT = 16384  # pixels along a painting's longest side
RENDERERS = ("analytic", "analytic:bezier-opaque")
AREA = 2**29  # pixels times strokes painted in one go: bounds the memory of a large replay


class StrokesError(ValueError):
    """A file of strokes that cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Painting:
    """Strokes in the order in which they were laid on a square canvas whose top left part is the picture.

    A stroke's numbers are those of ``StrokePaint`` for the whole square, whose side is the picture's longest.
    """

    height: int  # of the picture, in the pixels that the strokes were made for
    width: int
    strokes: Tensor = field(default_factory=lambda: torch.empty(0, 13))  # [N, 13] in [0, 1]
    ground: tuple[float, float, float] = (0.0, 0.0, 0.0)  # RGB of the empty canvas
    renderer: str = "analytic"

    @property
    def canvas(self) -> int:
        """The side of the square in pixels."""
        return max(self.height, self.width)

    def __len__(self) -> int:
        return len(self.strokes)

    def add(self, strokes: Tensor) -> "Painting":
        """With ``strokes`` ``[K, 13]`` on top."""
        return replace(self, strokes=torch.cat([self.strokes, strokes]))

    def extent(self, size: int) -> tuple[int, int]:
        """Height and width of the picture whose longest side is ``size``."""
        return max(1, round(self.height * size / self.canvas)), max(1, round(self.width * size / self.canvas))


def moved(strokes: Tensor, made_for: int, scale: float, corner: tuple[float, float], size: int) -> Tensor:
    """Strokes ``[..., 13]`` made for a square of ``made_for`` pixels as those of another one of ``size`` pixels.

    The first square's pixels are scaled by ``scale``; the second one's top left ``corner`` lies there. Where a stroke
    reaches out of the second square, so do its numbers out of [0, 1]. (A coordinate of 1 is the centre of the last
    pixel but a quarter, and a radius of 0 a quarter pixel: see ``simulators/raster.py``.)
    """
    result = strokes.clone()
    offset = torch.tensor([*corner, *corner], device=strokes.device)
    result[..., ENDS] = (strokes[..., ENDS] * (made_for - 0.5) * scale - offset) / (size - 0.5)
    radius = (0.25 + strokes[..., RADII] * made_for / 4) * scale
    result[..., RADII] = (radius - 0.25) * 4 / size
    return result


def rounded(strokes: Tensor) -> Tensor:
    """``strokes`` inside [0, 1] and as ``write_strokes`` will write them, so that a replay repeats them exactly."""
    unit = 10**DECIMALS
    return ((strokes.double().clamp(0, 1) * unit).round() / unit).float()


@torch.no_grad()
def replay(
    painting: Painting, size: int, stops: Sequence[int] | None = None, device: str = "cpu"
) -> Iterator[Tensor]:
    """The picture ``[3, H, W]`` in [0, 1], its longest side ``size``, after each number of strokes in ``stops``.

    ``stops`` must not fall; by default there is one, the end.
    """
    side = 16 * math.ceil(size / 16)
    renderer = make_renderer(painting.renderer, side, device)
    strokes = moved(painting.strokes.to(device), painting.canvas, size / painting.canvas, (0, 0), side)[None]
    canvas = torch.tensor(painting.ground, device=device).view(1, 3, 1, 1).repeat(1, 1, side, side)
    height, width = painting.extent(size)
    done = 0
    for stop in [len(painting)] if stops is None else stops:
        for part in strokes[:, done:stop].split(max(1, AREA // side**2), 1):
            canvas = renderer.paint(canvas, part)
        done = stop
        yield canvas[0, :, :height, :width]


def write_strokes(path: str | Path, painting: Painting) -> None:
    """Write ``painting`` as JSON, whole or not at all, a line a stroke."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "renderer": painting.renderer,
        "height": painting.height,
        "width": painting.width,
        "ground": list(painting.ground),
        "numbers": NUMBERS,
    }
    rows = [
        json.dumps([round(number, DECIMALS) for number in stroke], separators=(",", ":"))
        for stroke in painting.strokes.double().tolist()
    ]
    text = json.dumps(head)[:-1] + ', "strokes": [\n' + ",\n".join(rows) + "\n]}\n"
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_strokes(path: str | Path) -> Painting:
    """The painting that ``write_strokes`` wrote. Raises StrokesError for what it cannot have written."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StrokesError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StrokesError(f"{path}: not JSON ({error})") from error
    try:
        return _parsed(data)
    except StrokesError as error:
        raise StrokesError(f"{path}: {error}") from None


def _parsed(data: object) -> Painting:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise StrokesError(f'not a painting: expected an object with "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise StrokesError(f"version {data.get('version')!r} is not the one that this program reads, {VERSION}")
    if data.get("renderer") not in RENDERERS:
        raise StrokesError(f"no renderer {data.get('renderer')!r}: expected one of {', '.join(RENDERERS)}")
    height, width = (_side(data, name) for name in ("height", "width"))
    ground = _unit_rows([data.get("ground")], 3, "ground")
    strokes = _unit_rows(data.get("strokes"), len(NUMBERS), "strokes")
    return Painting(height, width, strokes, tuple(ground[0].tolist()), data["renderer"])


def _side(data: dict, name: str) -> int:
    value = data.get(name)
    if type(value) is not int or not 1 <= value <= LIMIT:
        raise StrokesError(f"{name} must be a whole number in 1..{LIMIT}, got {value!r}")
    return value


def _unit_rows(rows: object, length: int, name: str) -> Tensor:
    """``[N, length]`` numbers in [0, 1]."""
    if not isinstance(rows, list):
        raise StrokesError(f"{name} must be a list, got {type(rows).__name__}")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != length:
            raise StrokesError(f"{name}[{number}] must be {length} numbers")
        for value in row:
            if type(value) not in (int, float) or not 0 <= value <= 1:  # NaN is in no range
                raise StrokesError(f"{name}[{number}] must lie in [0, 1], got {value!r}")
    return torch.tensor(rows, dtype=torch.float64).view(-1, length).float()
