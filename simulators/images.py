"""One image file, read and written robustly."""
from __future__ import annotations

import os
import struct
import warnings
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


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The picture in `path` as RGB [H, W, 3] uint8, upright as its EXIF says.

    Grey, palette, CMYK and 16-bit pictures become 8-bit RGB, transparent ones are laid on white, and of an
    animation the first frame is taken. Raises ImageError for what is missing, empty, truncated, no image, or
    larger than `max_pixels`.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `max_pixels` is the stricter guard
            with Image.open(path) as picture:
                _refuse_huge(path, picture.size, max_pixels)
                return np.asarray(_rgb(ImageOps.exif_transpose(picture)))
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image, or of a format that Pillow does not read") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too large ({error})") from error
    except ImageError:
        raise
    except _DECODER_ERRORS as error:
        raise ImageError(f"{path}: damaged or truncated ({error})") from error


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
    return resize(image[top:top + side, left:left + side], size, size)


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


def _refuse_huge(path: Path, extent: tuple[int, int], max_pixels: int) -> None:
    width, height = extent
    if width * height > max_pixels:
        raise ImageError(f"{path}: {width} x {height} pixels are more than the limit of {max_pixels}: shrink it first")


def _rgb(picture: Image.Image) -> Image.Image:
    """`picture` in mode RGB."""
    if picture.mode.startswith(("I", "F")):
        return _stretched(picture).convert("RGB")
    if picture.mode in _TRANSPARENT or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _stretched(picture: Image.Image) -> Image.Image:
    """A picture of 16 or 32 bits as 8 bits: integers by their full scale, floats by their range in [0, 1]."""
    values = np.asarray(picture, dtype=np.float64)
    scale = 1.0 if picture.mode == "F" and values.max(initial=0) <= 1 else 65535.0
    return Image.fromarray(np.round(255 * np.clip(values / scale, 0, 1)).astype(np.uint8))
