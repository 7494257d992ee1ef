"""A photograph painted: how strokes are spent, what is measured, and the command."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from retouch.benchmarks import painters
from retouch.benchmarks.paint import Budget, Painter, Session, measure, pixels, starts
from retouch.benchmarks.paint_command import paint
from retouch.benchmarks.paint_files import moments
from retouch.simulators.images import resize
from retouch.simulators.strokes import read_strokes, replay

SIZE = 32


def dabs(target, canvas, count):
    """A stand-in: discs of the target's colour where the error is largest, one after another."""
    lanes = torch.arange(len(target))
    canvas = canvas.clone()
    for _ in range(count):
        error = torch.nn.functional.avg_pool2d((target - canvas).square().sum(1), 4)
        worst = error.flatten(1).argmax(1)
        row, column = 4 * (worst // (SIZE // 4)) + 2, 4 * (worst % (SIZE // 4)) + 2
        colour = target[lanes, :, row, column]
        y, x = row / SIZE, column / SIZE
        half, radius = torch.full_like(y, 0.5), torch.full_like(y, 0.4)
        shape = torch.stack([y, x, half, half, y, x, radius, radius, 1 + 0 * y, 1 + 0 * y], 1)
        for lane, top, left in zip(lanes.tolist(), (row - 2).tolist(), (column - 2).tolist(), strict=True):
            canvas[lane, :, top : top + 5, left : left + 5] = colour[lane, :, None, None]
        yield torch.cat([shape, colour], 1)[:, None]


PAINTER = Painter(dabs, SIZE)


@pytest.fixture(scope="module")
def photo():
    """A bright square with a fine pattern in a corner of a smooth picture, 90 x 120."""
    rows, columns = np.mgrid[:90, :120]
    picture = np.stack([rows * 2, columns, 128 + 0 * rows], 2)
    picture[60:, 90:] = 255 * ((rows // 10 + columns // 10) % 2)[60:, 90:, None]
    return picture.astype(np.uint8)


def painted(photo, **budget):
    session = Session(photo, PAINTER, Budget(**budget))
    counts = list(session.run())
    return session, counts


@pytest.mark.parametrize(("total", "grid"), [(7, 1), (50, 1), (25, 2), (103, 2), (137, 4), (500, 5)])
def test_exactly_the_strokes_asked_for_are_laid(photo, total, grid):
    session, counts = painted(photo, total=total, grid=grid)
    assert len(session.painting) == counts[-1] == total
    assert counts == sorted(set(counts))


def test_the_picture_keeps_its_shape(photo):
    session, _ = painted(photo, total=30, grid=2)
    assert (session.painting.height, session.painting.width) == (48, 64)
    assert next(replay(session.painting, 120)).shape == (3, 90, 120)


def test_the_canvas_is_the_replay_of_the_strokes(photo):
    session, _ = painted(photo, total=150, grid=4)
    picture = next(replay(session.painting, 128))
    torch.testing.assert_close(session.canvas[0, :, :96], picture, rtol=0, atol=1e-5)
    assert session.l2() == pytest.approx(measure(pixels(picture), photo)["l2"], abs=1e-4)


def test_windows_bring_detail(photo):
    coarse, _ = painted(photo, total=600, grid=1)
    fine, _ = painted(photo, total=600, grid=4)
    errors = [measure(pixels(next(replay(session.painting, 120))), photo)["l2"] for session in (coarse, fine)]
    assert errors[1] < 0.5 * errors[0]


def test_windows_go_where_the_error_is(photo):
    session = Session(photo, PAINTER, Budget(500, 4))
    session.canvas = session.target.clone()
    session.canvas[..., 60:80, 50:70] = 0
    [(top, left)] = session._worst_windows(10)
    assert top <= 60 and top + SIZE >= 80 and left <= 50 and left + SIZE >= 70


def test_windows_of_a_round_do_not_overlap_and_lie_on_the_picture(photo):
    session = Session(photo, PAINTER, Budget(500, 5, keep=0.0))
    corners = session._worst_windows(100)
    assert len(corners) >= 8 and len(set(corners)) == len(corners)
    for i, (top, left) in enumerate(corners):
        assert 0 <= top <= 120 - SIZE and 0 <= left <= 160 - SIZE
        assert all(abs(top - t) >= SIZE or abs(left - x) >= SIZE for t, x in corners[:i])


def test_windows_start_everywhere_and_end_at_the_end():
    assert starts(100, 32).tolist() == [0, 8, 16, 24, 32, 40, 48, 56, 64, 68]
    assert starts(32, 32).tolist() == starts(5, 32).tolist() == [0]


@pytest.mark.parametrize("shape", [(4, 400), (400, 3), (1, 1), (33, 32)])
def test_photographs_of_odd_shapes_are_painted(shape):
    picture = np.full((*shape, 3), 180, np.uint8)
    session, _ = painted(picture, total=150, grid=2)
    assert max(session.painting.height, session.painting.width) == 64
    assert session.l2() < 0.5 * (180 / 255) ** 2  # of the empty canvas


def test_an_agent_plays_on_from_the_canvas(photo):
    """Through the task: strokes in its bundles, the last one cut short, on the canvas as it was."""
    painter = painters.make_painter("best-colour")
    target = torch.full((2, 3, 128, 128), 0.5)
    target[1] = 0.25
    bundles = list(painter.paint(target, torch.zeros_like(target), 8))
    assert [tuple(bundle.shape) for bundle in bundles] == [(2, 5, 13), (2, 3, 13)]
    assert (bundles[0][0, :, 10:] == 128 / 255).all() and (bundles[0][1, :, 10:] == 64 / 255).all()


def test_measures_of_a_known_difference():
    black, grey = np.zeros((20, 30, 3), np.uint8), np.full((40, 60, 3), 51, np.uint8)
    result = measure(black, grey)
    assert result["l2"] == pytest.approx(0.04) and result["psnr"] == pytest.approx(13.979, abs=1e-3)
    assert measure(black, black)["ssim"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("budget", "message"),
    [((100, 9), "grid must be 1"), ((100, 0), "grid must be 1"), ((84, 4), "at least 85"), ((0, 1), "at least 1,")],
)
def test_budgets_that_cannot_be_are_explained(budget, message):
    with pytest.raises(ValueError, match=message):
        Budget(*budget)


def test_moments_rise_to_the_end():
    assert moments(1000, 4, 2.0) == [63, 250, 563, 1000]
    assert moments(3, 10, 1.5) == [1, 2, 3]
    assert moments(0, 5, 2.0) == [0]


@pytest.fixture
def run(monkeypatch, photo, tmp_path):
    """The command on the photograph, with the stand-in for a painter."""
    monkeypatch.setattr(painters, "make_painter", lambda name, seed: PAINTER)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    app = typer.Typer()
    app.command()(paint)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_the_command_writes_what_it_says(run, tmp_path, photo):
    result = run("photo.png", "--strokes", "60", "--grid", "2", "--video", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert set(told) == {"l2", "psnr", "ssim", "strokes", "seconds", "files"}
    names = ["painting.png", "filmstrip.png", "strokes.json", "painting.svg", "painting.webm"]
    assert told["files"] == [f"paintings/photo/{name}" for name in names]
    assert sorted(path.name for path in (tmp_path / "paintings" / "photo").iterdir()) == sorted(names)
    picture = np.asarray(Image.open(tmp_path / "paintings/photo/painting.png"))
    assert picture.shape == (90, 120, 3) and told["strokes"] == 60
    assert told["l2"] == pytest.approx(((picture / 255.0 - photo / 255.0) ** 2).mean(), rel=1e-4)


def test_strokes_are_painted_again_at_another_size(run, tmp_path):
    first = json.loads(run("photo.png", "--strokes", "60", "--grid", "2", "--json").stdout)
    result = run("--replay", "paintings/photo/strokes.json", "--size", "300", "--out", "large", "--json")
    told = json.loads(result.stdout)
    assert told["l2"] is None and told["strokes"] == 60
    large = np.asarray(Image.open("large/painting.png"))
    assert large.shape == (225, 300, 3)
    small = np.asarray(Image.open("paintings/photo/painting.png"))
    assert np.abs(resize(large, 90, 120).astype(float) - small).mean() < 3
    again = json.loads(run("photo.png", "--replay", "paintings/photo/strokes.json", "--json").stdout)
    assert [again[name] for name in ("l2", "psnr", "ssim")] == [first[name] for name in ("l2", "psnr", "ssim")]
    assert (np.asarray(Image.open("paintings/photo-replay/painting.png")) == small).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.png"], "none.png: there is no such file"),
        (["strokes.json"], "strokes.json: not an image"),
        (["photo.png", "--grid", "9"], "grid must be 1"),
        (["photo.png", "--strokes", "20"], "at least 85"),
        (["--replay", "photo.png"], "photo.png: not JSON"),
    ],
)
def test_what_cannot_be_painted_is_refused_by_name(run, tmp_path, words, message):
    (tmp_path / "strokes.json").write_text("{}")
    result = run(*words)
    assert isinstance(result.exception, ValueError) and message in str(result.exception)
    assert not (tmp_path / "paintings").exists()


def test_with_nothing_to_paint_the_command_says_what_it_wants(run):
    result = run()
    assert result.exit_code == 2 and "--replay" in result.output


def test_an_interrupted_painting_is_kept(run, monkeypatch, tmp_path):
    def tiring(target, canvas, count):
        for number, bundle in enumerate(dabs(target, canvas, count)):
            if number == 7:
                raise KeyboardInterrupt
            yield bundle

    monkeypatch.setattr(painters, "make_painter", lambda name, seed: Painter(tiring, SIZE))
    result = run("photo.png", "--strokes", "60", "--grid", "1", "--json")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["strokes"] == len(read_strokes("paintings/photo/strokes.json")) == 7
    assert (tmp_path / "paintings/photo/painting.png").exists()
