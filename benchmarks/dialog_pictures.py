"""The pictures of a dialog: one a round, and all of them in a strip with what was said."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..simulators.images import fit, resize, write_image
from .pictures import FONT, INK, PAPER, Font, Picture, sheet

SHOWN = 256  # pixels, at least, of a face that people look at
COLUMNS = 6  # faces side by side, at most
LINE, TEXT = FONT + 5, SHOWN - 8  # pixels from line to line, and of a line's width
LONGEST = 200  # letters of an utterance in the strip
SOFT, NOTED = (128, 118, 104), (150, 80, 40)  # inks of the editor's words and of what changed
Ink = tuple[int, int, int]


@dataclass
class Frame:
    """A face ``[H, W, 3]``, and what is written beneath it: (ink, text) each."""

    picture: Picture
    texts: list[tuple[Ink, str]] = field(default_factory=list)


class Album:
    """The pictures of a dialog in ``folder``: ``round_0.png``, ``round_1.png`` ..., the newest as ``now.png`` too.

    The strip of them all begins with the ``photo`` that they are drawn after, where there is one.
    """

    def __init__(self, folder: Path, photo: Picture | None = None):
        self.folder = folder
        self.frames = [] if photo is None else [Frame(fit(photo, SHOWN), [(NOTED, "the photo")])]
        self.files: list[Path] = []

    def add(self, picture: Picture) -> Path:
        """The next face; where it was written."""
        path = self.folder / f"round_{len(self.files)}.png"
        for file in (path, self.folder / "now.png"):
            write_image(file, enlarged(picture))
        self.frames.append(Frame(picture))
        self.files.append(path)
        return path

    def write(self, user: str, note: str, editor: str) -> None:
        """An exchange, to stand beneath the newest face: what the user said, what changed, what the editor said."""
        texts = self.frames[-1].texts
        if texts:
            texts.append((INK, ""))
        quoted = f"\u201c{shortened(user)}\u201d" if user else ""
        texts += [(ink, text) for ink, text in ((INK, quoted), (NOTED, note), (SOFT, editor)) if text]

    def close(self) -> Path:
        """Write the strip; where."""
        path = self.folder / "dialog.png"
        write_image(path, strip(self.frames))
        return path


def enlarged(picture: Picture) -> Picture:
    """``picture``, smoothly enlarged a whole number of times where it is small."""
    times = max(1, -(-SHOWN // picture.shape[0]))
    return resize(picture, times * picture.shape[0], times * picture.shape[1])


def strip(frames: Sequence[Frame]) -> Picture:
    """The faces in rows of about as many, beneath each what was said and what changed, wrapped."""
    rows = -(-len(frames) // COLUMNS)
    columns = -(-len(frames) // rows)
    parts = [frames[start : start + columns] for start in range(0, len(frames), columns)]
    return np.concatenate([_row(part, columns) for part in parts])


def wrap(text: str, font: Font, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` pixels; words that are wider are broken."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]


def shortened(text: str) -> str:
    """``text`` on one line, its end left out where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "\u2026"


def _row(frames: Sequence[Frame], columns: int) -> Picture:
    font = ImageFont.load_default(FONT)
    texts = [_lines(frame, font) for frame in frames]
    room = LINE * (max(map(len, texts)) + 1)
    cells = [_cell(frame.picture, lines, room, font) for frame, lines in zip(frames, texts, strict=True)]
    cells += [np.full_like(cells[0], PAPER)] * (columns - len(cells))
    return sheet([cells], [[""] * columns], SHOWN + room)


def _lines(frame: Frame, font: Font) -> list[tuple[Ink, str]]:
    """What is beneath a face in lines that fit; a blank one between exchanges."""
    return [(ink, line) for ink, text in frame.texts for line in wrap(text, font, TEXT) or [""]]


def _cell(picture: Picture, lines: Sequence[tuple[Ink, str]], room: int, font: Font) -> Picture:
    cell = Image.new("RGB", (SHOWN, SHOWN + room), PAPER)
    cell.paste(Image.fromarray(resize(picture, SHOWN, SHOWN)))
    draw = ImageDraw.Draw(cell)
    for number, (ink, text) in enumerate(lines):
        draw.text((0, SHOWN + LINE * (number + 0.6)), text, ink, font, anchor="lm")
    return np.asarray(cell)
