"""Strips, sheets and films."""

import cv2
import numpy as np
import pytest
from PIL import Image

from retouch.benchmarks import pictures
from retouch.benchmarks.pictures import GAP, PAPER, filmstrip, sheet, write_film


def plain(height, width, colour):
    return np.full((height, width, 3), colour, np.uint8)


def film(count, height=50, width=71):
    return [plain(height, width, (8 * i, 255 - 8 * i, 0)) for i in range(count)]


def test_a_filmstrip_holds_the_pictures_with_room_for_captions():
    strip = filmstrip([plain(30, 20, (200, 0, 0)), plain(60, 80, (0, 0, 200))], ["one", "two"], height=60)
    assert strip.shape[1] == 3 * GAP + 40 + 80
    assert (strip[GAP + 30, GAP + 20] == (200, 0, 0)).all() and (strip[GAP + 30, 2 * GAP + 80] == (0, 0, 200)).all()
    assert (strip[0] == PAPER).all() and (strip[:, GAP + 40 + GAP // 2] == PAPER).all()
    below = strip[GAP + 60 : -GAP]
    assert (below[:, GAP : GAP + 40] < 128).any() and (below[:, 2 * GAP + 40 :] < 128).any()  # ink


def test_a_sheet_stacks_rows_of_any_length():
    page = sheet([[plain(10, 10, 0)] * 3, [plain(10, 10, 90)]], [["", "", ""], [""]], height=20)
    assert page.shape == (3 * GAP + 40, 4 * GAP + 60, 3)
    assert (page[2 * GAP + 30, GAP + 10] == 90).all() and (page[2 * GAP + 30, 2 * GAP + 30] == PAPER).all()


def test_a_caption_too_few_is_refused():
    with pytest.raises(ValueError, match="zip"):
        filmstrip([plain(9, 9, 0)] * 2, ["one"])


def test_a_film_opens_again_with_all_its_frames(tmp_path):
    path = write_film(tmp_path / "films" / "film.webm", iter(film(30)), fps=24)
    assert path == tmp_path / "films" / "film.webm" and [p.name for p in path.parent.iterdir()] == ["film.webm"]
    assert path.read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML: WebM
    reader = cv2.VideoCapture(str(path))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(24)
    frames = []
    while (read := reader.read())[0]:
        frames.append(read[1])
    assert len(frames) == 30 and frames[0].shape == (50, 70, 3)
    assert np.abs(frames[29].mean((0, 1)) - (0, 23, 232)).max() < 12  # BGR


def test_without_a_video_codec_a_film_is_an_animation(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_codec", lambda: None)
    path = write_film(tmp_path / "film.webm", film(5), fps=10)
    assert path == tmp_path / "film.webp"
    with Image.open(path) as animation:
        assert (animation.n_frames, animation.size) == (5, (70, 50))


def test_an_interrupted_film_leaves_nothing(tmp_path):
    def frames():
        yield from film(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / "film.webm", frames())
    assert list(tmp_path.iterdir()) == []
