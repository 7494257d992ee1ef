"""What a painting leaves on disk: the picture, how it came about, and its strokes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..simulators.files import whole
from ..simulators.images import resize, write_image
from ..simulators.strokes import Painting, replay, write_strokes
from ..simulators.svg import svg
from .paint import pixels
from .pictures import Picture, filmstrip, write_film

STRIP, MOMENTS = 240, 6  # height of a filmstrip's pictures, and how many of them show the painting
FILM, FPS = 512, 24  # longest side of a film in pixels, and its pace
FRAMES, REST = 240, 36  # frames in which a film paints, at most, and those that show the end


def paint_picture(painting: Painting, size: int) -> Picture:
    """The painting with a longest side of ``size``."""
    return pixels(next(replay(painting, size)))


def write_files(
    folder: Path, painting: Painting, picture: Picture, photo: Picture | None, video: bool
) -> Iterator[Path]:
    """Write all that there is to show of ``painting``, of which ``picture`` is the end; yields each path written."""
    write_image(folder / "painting.png", picture)
    yield folder / "painting.png"
    write_image(folder / "filmstrip.png", story(painting, photo))
    yield folder / "filmstrip.png"
    write_strokes(folder / "strokes.json", painting)
    yield folder / "strokes.json"
    with whole(folder / "painting.svg") as temporary:
        temporary.write_text(svg(painting), encoding="utf-8")
    yield folder / "painting.svg"
    if video:
        yield write_film(folder / "painting.webm", frames(painting), FPS)


def story(painting: Painting, photo: Picture | None) -> Picture:
    """The painting after ever more strokes, and the photograph that it was made after."""
    stops = moments(len(painting), MOMENTS, 2.5)
    size = round(STRIP * painting.canvas / painting.height)
    pictures = [pixels(picture) for picture in replay(painting, size, stops)]
    captions = [f"{stop:,} stroke{'s' * (stop != 1)}" for stop in stops]
    if photo is not None:
        pictures.append(resize(photo, *pictures[0].shape[:2]))
        captions.append("photograph")
    return filmstrip(pictures, captions, STRIP)


def frames(painting: Painting) -> Iterator[Picture]:
    """A film: the first strokes one by one, the later ones ever faster, and the end for a while."""
    stops = moments(len(painting), FRAMES, 1.5)
    for picture in replay(painting, FILM, stops + stops[-1:] * REST):
        yield pixels(picture)


def moments(strokes: int, count: int, haste: float) -> list[int]:
    """At most ``count`` rising numbers of strokes, the last of them all; with ``haste`` > 1 ever further apart.

    An empty painting has the one moment 0.
    """
    share = (np.arange(1, count + 1) / count) ** haste
    return np.unique(np.ceil(share * strokes).astype(int)).tolist()
