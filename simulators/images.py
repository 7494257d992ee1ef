"""One image file, read and written robustly."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000
IMAGE_SUFFIXES = frozenset(".jpg .jpeg .jfif .png .webp .avif .heic .bmp .gif .tif .tiff .ppm .pgm".split())
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error)  # Pillow's, as fuzzed
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")


class ImageError(ValueError):
    """An image file that cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Encoded:
    """An image file that lies in memory, as a table holds it."""

    name: str  # for messages
    data: bytes

    def __str__(self) -> str:
        return self.name


def read_image(file: str | Path | Encoded, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The picture in `file` as RGB [H, W, 3] uint8, upright as its EXIF says.

    Grey, palette, CMYK and 16-bit pictures become 8-bit RGB, transparent ones are laid on white, and of an
    animation the first frame is taken. Raises ImageError for what is missing, empty, truncated, no image, or
    larger than `max_pixels`.
    """
    return _decoded(file, max_pixels, _rgb)


def read_rgba(file: str | Path | Encoded, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """As `read_image`, but transparent pictures keep their transparency: [H, W, 4] uint8, 255 is opaque."""
    return _decoded(file, max_pixels, _rgba)


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """`image` [H, W] or [H, W, 3] at another size, without aliasing."""
    shrinks = image.shape[0] * image.shape[1] >= height * width
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)


def fit(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The largest square in the middle of `image` [H, W] or [H, W, 3], resized to `size`."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(image[top : top + side, left : left + side], size, size)


def write_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write RGB [H, W, 3] or grey [H, W] uint8 in the format of the suffix, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        Image.fromarray(image).save(temporary, quality=95)  # only the lossy formats look at it
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _decoded(
    file: str | Path | Encoded, max_pixels: int, convert: Callable[[Image.Image], Image.Image]
) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `max_pixels` is the stricter guard
            with Image.open(_opened(file)) as picture:
                _refuse_huge(file, picture.size, max_pixels)
                return np.asarray(convert(ImageOps.exif_transpose(picture)))
    except UnidentifiedImageError as error:
        raise ImageError(f"{file}: not an image, or of a format that Pillow does not read") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{file}: too large ({error})") from error
    except ImageError:
        raise
    except _DECODER_ERRORS as error:
        raise ImageError(f"{file}: damaged or truncated ({error})") from error


def _opened(file: str | Path | Encoded) -> Path | BytesIO:
    """What Pillow opens; raises ImageError for a file that is missing or empty."""
    if isinstance(file, Encoded):
        if not file.data:
            raise ImageError(f"{file}: the file is empty")
        return BytesIO(file.data)
    path = Path(file)
    if not path.is_file():
        raise ImageError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty")
    return path


def _refuse_huge(file: str | Path | Encoded, extent: tuple[int, int], max_pixels: int) -> None:
    width, height = extent
    if width * height > max_pixels:
        raise ImageError(f"{file}: {width} x {height} pixels are more than the limit of {max_pixels}: shrink it first")


def _rgb(picture: Image.Image) -> Image.Image:
    """`picture` in mode RGB."""
    if picture.mode.startswith(("I", "F")):
        return _stretched(picture).convert("RGB")
    if picture.mode in _TRANSPARENT or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _rgba(picture: Image.Image) -> Image.Image:
    """`picture` in mode RGBA."""
    transparent = picture.mode in _TRANSPARENT or "transparency" in picture.info
    return (picture if transparent else _rgb(picture)).convert("RGBA")


def _stretched(picture: Image.Image) -> Image.Image:
    """A picture of 16 or 32 bits as 8 bits: integers by their full scale, floats by their range in [0, 1]."""
    values = np.asarray(picture, dtype=np.float64)
    scale = 1.0 if picture.mode == "F" and values.max(initial=0) <= 1 else 65535.0
    return Image.fromarray(np.round(255 * np.clip(values / scale, 0, 1)).astype(np.uint8))
