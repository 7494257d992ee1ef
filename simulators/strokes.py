"""A painting as data: its strokes, written as JSON, read back and replayed at any size."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from .renderers import Renderer, make_renderer

FORMAT, VERSION = "retouch-strokes", 1
DECIMALS = 5  # of a stroke's number: a hundredth of a pixel on a canvas of 1,000
NUMBERS = ("x0", "y0", "x1", "y1", "x2", "y2", "z0", "z2", "w0", "w2", "r", "g", "b")
ENDS = [0, 1, 4, 5]  # x0, y0, x2, y2; the control point is relative to them
RADII = [6, 7]
LIMIT = 16384  # pixels along a painting's longest side
RENDERERS = ("analytic", "analytic:bezier-opaque")


class StrokesError(ValueError):
    """A file of strokes that cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Painting:
    """Strokes in the order in which they were laid on a square canvas whose top left part is the picture.

    A stroke's numbers are those of ``StrokePaint`` for the whole square, whose side is the picture's longest. It
    leaves no paint outside its window: top, left, bottom, right in pixels of the square.
    """

    height: int  # of the picture, in the pixels that the strokes were made for
    width: int
    strokes: Tensor = field(default_factory=lambda: torch.empty(0, 13))  # [N, 13] in [0, 1]
    window: Tensor = field(default_factory=lambda: torch.empty(0, 4, dtype=torch.int64))  # [N, 4]
    ground: tuple[float, float, float] = (0.0, 0.0, 0.0)  # RGB of the empty canvas
    renderer: str = "analytic"

    @property
    def canvas(self) -> int:
        """The side of the square in pixels."""
        return max(self.height, self.width)

    def __len__(self) -> int:
        return len(self.strokes)

    def add(self, strokes: Tensor, window: Tensor) -> "Painting":
        """With ``strokes`` ``[K, 13]`` on top, inside ``window`` ``[K, 4]``."""
        return replace(self, strokes=torch.cat([self.strokes, strokes]), window=torch.cat([self.window, window]))

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


def lay(picture: Tensor, strokes: Tensor, window: Sequence[int], painting: Painting) -> None:
    """Lay ``strokes`` ``[K, 13]`` of ``painting`` on ``picture`` ``[3, H, W]``, in place, inside their ``window``."""
    height, width = picture.shape[1:]
    scale = max(height, width) / painting.canvas
    top, left, bottom, right = (round(edge * scale) for edge in window)
    bottom, right = min(bottom, height), min(right, width)
    if not len(strokes) or top >= bottom or left >= right:
        return
    side = 16 * math.ceil(max(bottom - top, right - left) / 16)
    renderer = _renderer(painting.renderer, side, str(picture.device))
    part = picture[:, top:bottom, left:right]
    square = picture.new_zeros(1, 3, side, side)
    square[0, :, : bottom - top, : right - left] = part
    there = moved(strokes, painting.canvas, scale, (top, left), side)
    part.copy_(renderer.paint(square, there[None])[0, :, : bottom - top, : right - left])


@torch.no_grad()
def replay(
    painting: Painting, size: int, stops: Sequence[int] | None = None, device: str = "cpu"
) -> Iterator[Tensor]:
    """The picture ``[3, H, W]`` in [0, 1], its longest side ``size``, after each number of strokes in ``stops``.

    ``stops`` must not fall; by default there is one, the end. Every picture is the same tensor, painted further.
    """
    ground = torch.tensor(painting.ground, device=device)
    picture = ground[:, None, None].repeat(1, *painting.extent(size))
    done = 0
    for stop in [len(painting)] if stops is None else stops:
        while done < stop:
            window = painting.window[done]
            same = (painting.window[done:stop] != window).any(1).nonzero()
            count = int(same[0]) if len(same) else stop - done
            lay(picture, painting.strokes[done : done + count].to(device), window.tolist(), painting)
            done += count
        yield picture


def write_strokes(path: str | Path, painting: Painting) -> None:
    """Write ``painting`` as JSON, whole or not at all: one line a stroke, its numbers and its window's index."""
    windows, index = torch.unique(painting.window, dim=0, return_inverse=True)
    head = {
        "format": FORMAT,
        "version": VERSION,
        "renderer": painting.renderer,
        "height": painting.height,
        "width": painting.width,
        "ground": list(painting.ground),
        "numbers": [*NUMBERS, "window"],
        "windows": windows.tolist(),
    }
    rows = [
        json.dumps([round(number, DECIMALS) for number in stroke] + [place], separators=(",", ":"))
        for stroke, place in zip(painting.strokes.double().tolist(), index.tolist(), strict=True)
    ]
    text = json.dumps(head)[:-1] + ', "strokes": [\n' + ",\n".join(rows) + "\n]}\n"
    write_text(path, text)


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


def write_text(path: str | Path, text: str) -> None:
    """Write ``text``, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@lru_cache(maxsize=16)
def _renderer(name: str, side: int, device: str) -> Renderer:
    return make_renderer(name, size=side, device=device)


def _parsed(data: object) -> Painting:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise StrokesError(f'not a painting: expected an object with "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise StrokesError(f"version {data.get('version')!r} is not the one that this program reads, {VERSION}")
    if data.get("renderer") not in RENDERERS:
        raise StrokesError(f"no renderer {data.get('renderer')!r}: expected one of {', '.join(RENDERERS)}")
    height, width = (_side(data, name) for name in ("height", "width"))
    ground = _unit_rows([data.get("ground")], 3, "ground")
    windows = _windows(data.get("windows"), max(height, width))
    rows = data.get("strokes")
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 14 for row in rows):
        raise StrokesError("strokes must be a list of rows of 14: 13 numbers and the index of a window")
    strokes = _unit_rows([row[:13] for row in rows], 13, "strokes")
    index = [row[13] for row in rows]
    for number, place in enumerate(index):
        if type(place) is not int or not 0 <= place < len(windows):
            raise StrokesError(f"stroke {number} lies in window {place!r}; there are {len(windows)}")
    window = torch.tensor([windows[place] for place in index], dtype=torch.int64).view(-1, 4)
    return Painting(height, width, strokes, window, tuple(ground[0].tolist()), data["renderer"])


def _side(data: dict, name: str) -> int:
    value = data.get(name)
    if type(value) is not int or not 1 <= value <= LIMIT:
        raise StrokesError(f"{name} must be a whole number in 1..{LIMIT}, got {value!r}")
    return value


def _windows(rows: object, canvas: int) -> list[list[int]]:
    if not isinstance(rows, list):
        raise StrokesError(f"windows must be a list, got {type(rows).__name__}")
    for row in rows:
        if not isinstance(row, list) or len(row) != 4 or not all(type(edge) is int for edge in row):
            raise StrokesError(f"a window must be 4 whole numbers (top, left, bottom, right), got {row}")
        if not (0 <= row[0] < row[2] <= canvas and 0 <= row[1] < row[3] <= canvas):
            raise StrokesError(f"the window {row} does not lie on the canvas of {canvas} pixels")
    return rows


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
