"""Reading one image file: what is handled, and what is refused by name."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from retouch.simulators.images import ImageError, fit, read_image, resize, write_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(path, array):
    Image.fromarray(array).save(path)
    return path


def two_colours(height=4, width=6):
    """The left half red, the right half blue."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = RED, BLUE
    return image


def test_rgb_png_comes_back_as_it_was(tmp_path):
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", image)), image)


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", grey)), np.stack([grey] * 3, 2))


def test_palette(tmp_path):
    Image.fromarray(two_colours()).convert("P").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), two_colours())


def test_transparent_pixels_lie_on_white(tmp_path):
    image = np.zeros((1, 3, 4), np.uint8)
    image[0, 0], image[0, 1], image[0, 2] = (*RED, 255), (*RED, 0), (*RED, 51)  # opaque, clear, a fifth
    read = read_image(saved(tmp_path / "a.png", image))
    np.testing.assert_array_equal(read[0], [RED, (255, 255, 255), (255, 204, 204)])


def test_a_palette_with_a_transparent_colour_lies_on_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putdata([0, 1])
    picture.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], [RED, (255, 255, 255)])


def test_cmyk(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[4, 4], RED, atol=3)


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    grey = np.array([[0, 257, 32768, 65535]], np.uint16)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", grey))[0, :, 0], [0, 1, 128, 255])


def test_float_tiff(tmp_path):
    grey = np.array([[0.0, 0.5, 1.0]], np.float32)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.tiff", grey))[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize("orientation, turned", [
    (3, lambda image: image[::-1, ::-1]),
    (6, lambda image: np.rot90(image, -1)),  # the camera was held on its side: turn clockwise
    (8, lambda image: np.rot90(image, 1)),
])
def test_exif_rotation(tmp_path, orientation, turned):
    picture = Image.fromarray(two_colours())
    exif = picture.getexif()
    exif[274] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), turned(two_colours()))


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif")[0, 0], RED)


@pytest.mark.parametrize("content, reason", [(b"", "empty"), (b"no image at all", "not an image")])
def test_what_is_no_image_is_refused_by_name(tmp_path, content, reason):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=f"bad.jpg.*{reason}"):
        read_image(tmp_path / "bad.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "gif"])
def test_a_truncated_file_is_refused_by_name(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = saved(tmp_path / f"whole.{suffix}", noise).read_bytes()
    (tmp_path / f"half.{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=f"half.{suffix}"):
        read_image(tmp_path / f"half.{suffix}")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match="gone.png: there is no such file"):
        read_image(tmp_path / "gone.png")


def claims_to_be(path, width, height):
    """A PNG of one pixel whose header claims another size."""
    content = bytearray(saved(path, np.zeros((1, 1, 3), np.uint8)).read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path):
    claims_to_be(tmp_path / "huge.png", 20_000, 6_000)
    with pytest.raises(ImageError, match="huge.png: 20000 x 6000 pixels are more than the limit of 100000000"):
        read_image(tmp_path / "huge.png")
    claims_to_be(tmp_path / "bomb.png", 40_000, 10_000)
    with pytest.raises(ImageError, match="bomb.png: too large"):
        read_image(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match="more than the limit of 3"):
        read_image(saved(tmp_path / "small.png", np.zeros((2, 2, 3), np.uint8)), max_pixels=3)


def test_image_error_is_a_value_error():
    assert issubclass(ImageError, ValueError)


@pytest.mark.filterwarnings("ignore")  # Pillow's own, on what it reads of a damaged file
def test_damaged_files_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (24, 20, 3), np.uint8)
    refused = 0
    for suffix in ("jpg", "png", "gif", "tiff", "webp", "bmp"):
        whole = np.frombuffer(saved(tmp_path / f"whole.{suffix}", source).read_bytes(), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 12)] = rng.integers(0, 256, 12)
            path = tmp_path / f"damaged.{suffix}"
            path.write_bytes(damaged.tobytes())
            try:
                assert read_image(path).shape[2] == 3
            except ImageError:
                refused += 1
    assert refused > 20


def test_fit_takes_the_middle_square():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 200
    np.testing.assert_array_equal(fit(image, 2), np.full((2, 2, 3), 200))
    np.testing.assert_array_equal(fit(image.transpose(1, 0, 2), 2), np.full((2, 2, 3), 200))


def test_resize_averages_instead_of_skipping():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200
    np.testing.assert_array_equal(resize(stripes, 8, 8), np.full((8, 8), 100))


def test_write_replaces_whole_files_only(tmp_path):
    write_image(tmp_path / "new" / "a.png", two_colours())
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), two_colours())
    with pytest.raises(TypeError):
        write_image(tmp_path / "new" / "a.png", np.zeros((2, 2, 7)))
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), two_colours())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
