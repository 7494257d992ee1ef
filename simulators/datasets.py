"""Pictures on disk: a folder of any shape, CUB-200-2011 and Stanford Cars in their published layouts.

Each reader lists `Entry`s; `load` decodes them once, and a file that cannot be used is reported and skipped.
"""
from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .images import IMAGE_SUFFIXES, ImageError, fit, read_image, resize
from .saliency import contrast_focus, object_mask
from .storage import Picture, PictureStore, window_of

Box = Sequence[float]  # x, y, width, height in pixels
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png",
               "hubble_deep_field.jpg", "retina.jpg", "ihc.png")


@dataclass(frozen=True)
class Entry:
    """One picture that has not been read yet."""

    name: str
    read: Callable[[int], Picture]  # at a size; raises ImageError


def load(entries: Sequence[Entry], size: int) -> tuple[list[str], PictureStore]:
    """Names and pictures of all `entries` that can be read; a warning names each one that cannot."""
    names: list[str] = []
    store = PictureStore(len(entries), size)
    with ThreadPoolExecutor() as pool:
        for entry, picture in zip(entries, pool.map(lambda entry: _attempt(entry, size), entries), strict=True):
            if isinstance(picture, ImageError):
                warnings.warn(f"skipped {picture}", stacklevel=3)
            else:
                store.write(len(names), picture)
                names.append(entry.name)
    return names, store


def folder(root: Path, split: str = "all", guided: bool = False) -> list[Entry]:
    """The images under `root`, class folders included, by their relative names.

    A tenth of them, chosen by a hash of the name, is the test split: it stays the same when others come and go.
    With `guided`, mask, window and focus map are computed; without, they are the whole picture.
    """
    paths = sorted(path for path in _existing(root).rglob("*")
                   if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."))
    names = [path.relative_to(root).as_posix() for path in paths]
    return [Entry(name, _plain(path, guided)) for name, path in zip(names, paths, strict=True)
            if split in ("all", hashed_split(name))]


def hashed_split(name: str) -> str:
    """`test` for a tenth of all names, `train` for the others, for ever."""
    return "test" if hashlib.sha256(name.encode()).digest()[0] < 26 else "train"


def photographs(guided: bool = False) -> list[Entry]:
    """The colour photographs in scikit-image's wheel, for evaluation."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the photographs lie in scikit-image: pip install 'retouch[photos]'")
    data = Path(package.origin).parent / "data"
    return [Entry(Path(name).stem, _plain(data / name, guided)) for name in PHOTOGRAPHS]


def cub(root: Path, split: str = "all") -> list[Entry]:
    """CUB-200-2011, resized to a square as Semantic Guidance does, with its own split.

    The guidance maps are those of Semantic Guidance (`segmentations_pred`, `gbp_global`,
    `bounding_boxes_pred.txt`; `retouch prepare-cub` makes them) where they exist. Else the mask is the
    dataset's segmentation or the whole picture, the window the dataset's box, and the focus map the mask.
    """
    names = cub_names(root)
    training = _by_number(root / "train_test_split.txt")
    boxes = _by_number(root / "bounding_boxes.txt")
    if incomplete := names.keys() - (training.keys() & boxes.keys()):
        raise ValueError(f"{root}: train_test_split.txt or bounding_boxes.txt lacks image {min(incomplete)}")
    predicted = predicted_boxes(root)
    entries = []
    for position, (number, name) in enumerate(names.items()):
        if split in ("all", "train" if training[number] == ["1"] else "test"):
            box = predicted.get(position) or [float(value) for value in boxes[number]]
            entries.append(Entry(name, _with_maps(root, name, box)))
    return entries


def cub_names(root: Path) -> dict[str, str]:
    """`images.txt`: image number to relative name, in order."""
    return {number: values[0] for number, values in _by_number(_existing(root) / "images.txt").items()}


def predicted_boxes(root: Path) -> dict[int, list[float]]:
    """`bounding_boxes_pred.txt` as pandas writes it (header ` x y w h`, rows from 0); {} where there is none.
    Rows of zeros, for pictures without a detection, are left out."""
    path = root / "bounding_boxes_pred.txt"
    if not path.is_file():
        return {}
    rows = [line.split() for line in path.read_text().splitlines()[1:]]
    boxes = {int(number): [float(value) for value in box] for number, *box in rows}
    return {number: box for number, box in boxes.items() if box[2] > 0 and box[3] > 0}


def cars(root: Path, split: str = "all") -> list[Entry]:
    """Stanford Cars (`devkit/`, `cars_train/`, `cars_test/`), resized to a square, the box as window and mask."""
    entries = []
    for part in ("train", "test"):
        if split in ("all", part):
            for name, box in _car_boxes(_existing(root) / "devkit" / f"cars_{part}_annos.mat"):
                path = root / f"cars_{part}" / name
                entries.append(Entry(f"cars_{part}/{name}", partial(_boxed, path, box)))
    return entries


def _attempt(entry: Entry, size: int) -> Picture | ImageError:
    try:
        return entry.read(size)
    except ImageError as error:
        return error


def _plain(path: Path, guided: bool) -> Callable[[int], Picture]:
    def read(size: int) -> Picture:
        image = fit(read_image(path), size)
        if not guided:
            everything = np.full((size, size), 255, np.uint8)
            return Picture(image, everything, everything, window_of(everything))
        mask = object_mask(image)
        return Picture(image, mask, contrast_focus(image, mask), window_of(mask))

    return read


def _with_maps(root: Path, name: str, box: Box) -> Callable[[int], Picture]:
    segmentation = Path("segmentations", name).with_suffix(".png")

    def read(size: int) -> Picture:
        image = read_image(root / "images" / name)
        mask = _map(root, (Path("segmentations_pred", name), segmentation), size)
        focus = _map(root, (Path("gbp_global", name),), size)
        mask = np.full((size, size), 255, np.uint8) if mask is None else mask
        window = _relative(box, *image.shape[:2])
        return Picture(resize(image, size, size), mask, mask if focus is None else focus, window)

    return read


def _map(root: Path, candidates: Sequence[Path], size: int) -> NDArray[np.uint8] | None:
    """The first of the grey maps that exists, at `size`."""
    for path in candidates:
        if (root / path).is_file():
            return resize(read_image(root / path)[..., 0], size, size)
    return None


def _boxed(path: Path, box: Box, size: int) -> Picture:
    image = read_image(path)
    window = _relative(box, *image.shape[:2])
    left, top, width, height = (round(float(value) * size) for value in window)
    mask = np.zeros((size, size), np.uint8)
    mask[top:top + max(height, 1), left:left + max(width, 1)] = 255
    return Picture(resize(image, size, size), mask, mask, window)


def _relative(box: Box, height: int, width: int) -> NDArray[np.float32]:
    """`box` in pixels as shares of the picture, cut to it."""
    left, top = np.clip(box[0] / width, 0, 1), np.clip(box[1] / height, 0, 1)
    right, bottom = np.clip((box[0] + box[2]) / width, 0, 1), np.clip((box[1] + box[3]) / height, 0, 1)
    return np.array([left, top, right - left, bottom - top], np.float32)


def _car_boxes(annotations: Path) -> Iterator[tuple[str, list[float]]]:
    """File name and box of each row of a devkit file, whose corners count from 1."""
    if not annotations.is_file():
        raise FileNotFoundError(f"{annotations}: not found: expected Stanford Cars with its devkit unpacked beside "
                                "cars_train and cars_test")
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the annotations of Stanford Cars are .mat files: pip install scipy") from error
    for row in np.atleast_1d(loadmat(annotations, squeeze_me=True)["annotations"]):
        left, top, right, bottom = (float(row[f"bbox_{corner}"]) for corner in ("x1", "y1", "x2", "y2"))
        yield str(row["fname"]), [left - 1, top - 1, right - left + 1, bottom - top + 1]


def _by_number(path: Path) -> dict[str, list[str]]:
    """A table of CUB: `number value ...` a line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found: expected CUB-200-2011 as published (images.txt, "
                                "train_test_split.txt, bounding_boxes.txt, images/)")
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    return {number: values for number, *values in rows}


def _existing(root: Path) -> Path:
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: there is no such folder")
    return root
