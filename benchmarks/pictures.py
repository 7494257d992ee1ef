"""Pictures for people: labelled strips and sheets of images, and films."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..simulators.files import whole
from ..simulators.images import resize

Picture = NDArray[np.uint8]  # [H, W, 3] RGB
PAPER, INK = (250, 249, 246), (70, 68, 64)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
GAP, FONT = 12, 15  # pixels
CODECS = ("VP80", "VP90")  # of WebM; VP8 first: as small here, and ten times faster to write


def filmstrip(pictures: Sequence[Picture], captions: Sequence[str], height: int = 240) -> Picture:
    """``pictures`` side by side, ``height`` pixels high, each with its caption underneath."""
    return sheet([pictures], [captions], height)


def sheet(rows: Sequence[Sequence[Picture]], captions: Sequence[Sequence[str]], height: int = 160) -> Picture:
    """Rows of pictures, ``height`` pixels high, each with its caption underneath ("": none).

    Raises ValueError where there are not as many captions as pictures.
    """
    font = ImageFont.load_default(FONT)
    strips = []
    for pictures, texts in zip(rows, captions, strict=True):
        room = 2 * FONT if any(texts) else 0
        strips.append([_cell(*cell, height, room, font) for cell in zip(pictures, texts, strict=True)])
    width = max(sum(cell.width + GAP for cell in strip) for strip in strips) + GAP
    page = Image.new("RGB", (width, sum(strip[0].height + GAP for strip in strips) + GAP), PAPER)
    top = GAP
    for strip in strips:
        left = GAP
        for cell in strip:
            page.paste(cell, (left, top))
            left += cell.width + GAP
        top += strip[0].height + GAP
    return np.asarray(page)


def write_film(path: str | Path, frames: Iterable[Picture], fps: int = 24) -> Path:
    """Write ``frames``, one or more of one shape, as a film that browsers play; the path of what was written.

    ``path`` ends in .webm; where this OpenCV can write neither of ``CODECS``, it is an animated .webp.
    An odd last row or column is dropped, as the codecs demand.
    """
    codec, path = _codec(), Path(path)
    path = path if codec else path.with_suffix(".webp")
    with whole(path) as temporary:
        if codec:
            _encode(temporary, map(_even, frames), fps, codec)
        else:
            first, *rest = (Image.fromarray(_even(frame)) for frame in frames)
            first.save(temporary, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
    return path


@cache
def _codec() -> str | None:
    """The first of ``CODECS`` that this OpenCV can write."""
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            with _quiet():
                writer = cv2.VideoWriter(f"{folder}/{codec}.webm", cv2.VideoWriter.fourcc(*codec), 24, (64, 64))
            if writer.isOpened():
                return codec
    return None


def _encode(path: Path, frames: Iterator[Picture], fps: int, codec: str) -> None:
    first = next(frames)
    with _quiet():
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (first.shape[1], first.shape[0]))
    for frame in chain([first], frames):
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


@contextmanager
def _quiet() -> Iterator[None]:
    """Standard error to nowhere: OpenCV's FFmpeg complains of the codec's tag there, and then uses the codec."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _even(picture: Picture) -> Picture:
    height, width = (length - length % 2 for length in picture.shape[:2])
    return picture[:height, :width]


def _cell(picture: Picture, text: str, height: int, room: int, font: Font) -> Image.Image:
    """``picture`` above its caption, for which there are ``room`` pixels."""
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    cell = Image.new("RGB", (width, height + room), PAPER)
    cell.paste(Image.fromarray(resize(picture, height, width)))
    ImageDraw.Draw(cell).text((width / 2, height + room / 2), text, INK, font, anchor="mm")
    return cell
