"""A painting as data: written, read, refused, replayed at any size, drawn as SVG."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from retouch.simulators.renderers import make_renderer
from retouch.simulators.strokes import Painting, StrokesError, moved, read_strokes, replay, rounded, write_strokes
from retouch.simulators.svg import capsule, svg


def random_painting(height=96, width=64, count=12):
    return Painting(height, width).add(rounded(torch.rand(count, 13, generator=torch.Generator().manual_seed(0))))


def end(painting, size):
    return next(replay(painting, size)).clone()


def test_a_square_painting_replays_as_its_renderer_paints():
    painting = random_painting(128, 128)
    expected = make_renderer("analytic", 128).paint(torch.zeros(1, 3, 128, 128), painting.strokes[None])[0]
    torch.testing.assert_close(end(painting, 128), expected, rtol=0, atol=1e-5)


def test_strokes_made_in_a_window_look_there_as_they_were_made():
    strokes = torch.rand(20, 13, generator=torch.Generator().manual_seed(1))
    small = make_renderer("analytic", 64).paint(torch.zeros(1, 3, 64, 64), strokes[None])[0]
    whole = end(Painting(256, 256).add(moved(strokes, 64, 1.0, (-96, -32), 256)), 256)
    torch.testing.assert_close(whole[:, 96:160, 32:96], small, rtol=0, atol=1e-4)


def test_moving_there_and_back_changes_nothing():
    strokes = torch.rand(50, 13)
    there = moved(strokes, 64, 1.5, (-10.0, -30.0), 256)
    torch.testing.assert_close(moved(there, 256, 1 / 1.5, (10 / 1.5, 30 / 1.5), 64), strokes, rtol=0, atol=1e-5)


def test_a_larger_replay_shrunk_is_the_painting():
    painting = random_painting(128, 128)
    large = end(painting, 512)
    assert large.shape == (3, 512, 512)
    shrunk = torch.nn.functional.avg_pool2d(large[None], 4)[0]
    assert (shrunk - end(painting, 128)).square().mean() < 1e-4


@pytest.mark.parametrize(("size", "shape"), [(96, (96, 64)), (48, (48, 32)), (200, (200, 133)), (17, (17, 11))])
def test_the_picture_keeps_its_shape_at_any_size(size, shape):
    assert end(random_painting(), size).shape == (3, *shape)


def test_a_stop_on_the_way_is_the_painting_of_the_strokes_so_far():
    painting = random_painting()
    stops = [0, 1, 5, 5, 12]
    pictures = [picture.clone() for picture in replay(painting, 96, stops)]
    for stop, picture in zip(stops, pictures, strict=True):
        part = Painting(96, 64, painting.strokes[:stop])
        torch.testing.assert_close(picture, end(part, 96), rtol=0, atol=1e-6)
    assert pictures[0].abs().max() == 0


def test_the_ground_is_the_empty_canvas():
    picture = end(Painting(32, 48, ground=(0.25, 0.5, 1.0)), 48)
    assert picture.mean((1, 2)).tolist() == [0.25, 0.5, 1.0]


def test_reading_gives_what_was_written(tmp_path):
    painting = random_painting()
    write_strokes(tmp_path / "new" / "strokes.json", painting)
    again = read_strokes(tmp_path / "new" / "strokes.json")
    assert torch.equal(again.strokes, painting.strokes)
    assert (again.height, again.width, again.ground, again.renderer) == (96, 64, (0.0, 0.0, 0.0), "analytic")
    assert torch.equal(end(again, 96), end(painting, 96))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["strokes.json"]
    assert (tmp_path / "new" / "strokes.json").stat().st_size < 12 * 110 + 300


def test_an_empty_painting_is_written_and_read(tmp_path):
    write_strokes(tmp_path / "strokes.json", Painting(10, 20))
    assert len(read_strokes(tmp_path / "strokes.json")) == 0


BROKEN = {
    "format": (lambda d: d.update(format="svg"), "not a painting"),
    "version": (lambda d: d.update(version=2), "version 2"),
    "renderer": (lambda d: d.update(renderer="oil"), "no renderer 'oil'"),
    "height": (lambda d: d.update(height=0), "height must be"),
    "huge": (lambda d: d.update(width=10**9), "width must be"),
    "nan": (lambda d: d["strokes"][3].__setitem__(0, float("nan")), r"strokes\[3\] must lie in \[0, 1\], got nan"),
    "range": (lambda d: d["strokes"][0].__setitem__(12, 1.5), r"strokes\[0\] must lie in \[0, 1\], got 1.5"),
    "text": (lambda d: d["strokes"][0].__setitem__(1, "0.5"), "got '0.5'"),
    "short": (lambda d: d["strokes"][5].pop(), r"strokes\[5\] must be 13 numbers"),
    "ground": (lambda d: d.pop("ground"), "ground"),
    "strokes": (lambda d: d.pop("strokes"), "strokes must be a list"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_we_cannot_have_written_is_refused_by_name(tmp_path, case):
    spoil, message = BROKEN[case]
    path = tmp_path / "strokes.json"
    write_strokes(path, random_painting())
    data = json.loads(path.read_text())
    spoil(data)
    path.write_text(json.dumps(data))
    with pytest.raises(StrokesError, match=message) as error:
        read_strokes(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"[1, 2", b"[" * 100_000, b"null"])
def test_what_is_no_painting_is_refused(tmp_path, content):
    path = tmp_path / "strokes.json"
    path.write_bytes(content)
    with pytest.raises(StrokesError, match="strokes.json: not"):
        read_strokes(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(StrokesError, match="No such file"):
        read_strokes(tmp_path / "none.json")


def test_svg_has_a_shape_for_every_stroke():
    drawing = ElementTree.fromstring(svg(random_painting()))
    space = "{http://www.w3.org/2000/svg}"
    assert drawing.attrib["viewBox"] == "0 0 666.7 1000.0"
    assert len(list(drawing.iter(f"{space}path"))) == 12


def test_svg_of_a_straight_even_stroke_is_exact():
    """A horizontal stroke from column 25 % to 75 %, radius 1/8 of the side, half opaque, red."""
    row, radius = 0.5, 0.5 - 1 / 100
    stroke = torch.tensor([[row, 0.25, 0.5, 0.5, row, 0.75, radius, radius, 0.5, 0.5, 1, 0, 0]])
    text = svg(Painting(100, 100).add(stroke))
    assert 'fill="#ff0000" fill-opacity="0.500"' in text
    path = re.search(r'<path [^>]*d="([^"]*)"', text).group(1)
    assert path == "M248.8 622.5A125.0 125.0 0 0 1 248.8 372.5L741.3 372.5A125.0 125.0 0 0 1 741.3 622.5z"


def test_the_hull_of_a_disc_in_a_disc_is_the_larger_disc():
    assert capsule((5, 5, 1), (5, 6, 4)) == "M1.0 6.0a4.0 4.0 0 1 1 8.0 0a4.0 4.0 0 1 1 -8.0 0z"
