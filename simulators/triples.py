"""Editing problems on disk: a plain folder of (picture, mask, instruction) triples, and MagicBrush as published.

Readers list `Triple`s; `load` decodes them once, and what cannot be used is reported by name and skipped.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .datasets import hashed_split
from .images import IMAGE_SUFFIXES, Encoded, ImageError, fit, read_image, read_rgba
from .storage import pixel_bytes

PARTS = {"source": ".png", "mask": ".mask.png", "target": ".target.png", "text": ".txt"}  # of a folder, for messages
PUBLISHED_SPLITS = {"train": ("train",), "test": ("test", "dev"), "all": ("train", "dev", "test")}  # MagicBrush's names
COLUMNS = ("img_id", "turn_index", "source_img", "mask_img", "instruction", "target_img")
_AT_ONCE = 64  # triples that are decoded together


@dataclass(frozen=True)
class Triple:
    """One editing problem that has not been read yet."""

    name: str
    instruction: str
    source: Path | Encoded
    mask: Path | Encoded
    target: Path | Encoded | None = None
    caption: str = ""  # what the target shows


class Triples(NamedTuple):
    """Triples, one after the other, `total` of them."""

    total: int
    triples: Iterable[Triple]


class Loaded(NamedTuple):
    """Triples in memory."""

    instructions: list[str]
    captions: list[str]
    pixels: Tensor  # [N, 7, size, size] uint8: source, target (the source where there is none), mask


def load(listed: Triples, size: int) -> Loaded:
    """The triples that can be read, squared and resized; a warning names each one that cannot."""
    loaded = Loaded([], [], pixel_bytes((listed.total, 7, size, size)))
    remaining = iter(listed.triples)
    with ThreadPoolExecutor() as pool:
        while batch := list(islice(remaining, _AT_ONCE)):
            for triple, planes in zip(batch, pool.map(partial(_attempt, size=size), batch), strict=True):
                if isinstance(planes, ImageError):
                    warnings.warn(f"skipped {triple.name}: {planes}", stacklevel=3)
                    continue
                loaded.pixels[len(loaded.instructions)] = torch.from_numpy(planes)
                loaded.instructions.append(triple.instruction)
                loaded.captions.append(triple.caption or triple.instruction)
    return loaded._replace(pixels=loaded.pixels[: len(loaded.instructions)])


def folder(root: Path, split: str = "all") -> Triples:
    """`NAME.png`, `NAME.mask.png`, `NAME.txt` (the instruction) and, where there is one, `NAME.target.png`.

    Pictures may have any usual format, and lie in folders of any depth. A tenth of the names, chosen by a hash, is
    the test split. A warning names each NAME of which a part is missing.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")):
        if part := _part(path):
            stem = path.with_suffix("") if part in ("source", "text") else path.with_suffix("").with_suffix("")
            found.setdefault(stem.relative_to(root).as_posix(), {})[part] = path
    triples = [_triple(name, parts) for name, parts in found.items() if split in ("all", hashed_split(name))]
    complete = [triple for triple in triples if triple is not None]
    return Triples(len(complete), complete)


def magicbrush(root: Path, split: str = "all") -> Triples:
    """MagicBrush (Zhang et al., NeurIPS 2023, arXiv 2306.10012) in either of its published layouts.

    On the hub, tables of encoded pictures: `data/SPLIT-*.parquet` with the columns `img_id`, `turn_index`,
    `source_img`, `mask_img`, `instruction`, `target_img`; the splits are train and dev. In the archive, a folder for
    each split or a single one: `edit_turns.json` (a list of {input, mask, output, instruction}),
    `images/ID/ID-input.png`, `ID-mask1.png`, `ID-output1.png`, `ID-mask2.png` ..., and `local_descriptions.json`
    (ID -> picture -> what the edit shows). Every turn of a session is a problem of its own. The mask is the picture
    that is edited with the region cut out.

    `test` takes MagicBrush's test split, or dev where it is absent. Of an archive's split that was named alone, `train`
    and `test` take nine tenths and one tenth, by a hash of ID. Raises ValueError for a folder of neither layout.
    """
    if (root / "edit_turns.json").is_file():
        return _listed(turn for turn in _turns(root) if split in ("all", hashed_split(turn.name.partition("-")[0])))
    found = [triples for name in PUBLISHED_SPLITS[split] if (triples := _published(root, name))]
    if not found:
        raise ValueError(
            f"{root}: no split {split!r} of MagicBrush: expected data/*.parquet as on the hub, or "
            "edit_turns.json beside images/ as in its archive, here or in train, dev and test"
        )
    if split == "test":
        return found[0]
    return Triples(sum(triples.total for triples in found), chain.from_iterable(part.triples for part in found))


def region(mask: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where to edit, [H, W] uint8, by a mask [H, W, 4] for `source` [H, W, 3].

    Of a mask with transparency, what is transparent; of a grey one, what is white; of a copy of the source, what is
    painted over in plain white or black.
    """
    colour, alpha = mask[..., :3], mask[..., 3]
    if (alpha < 255).any():
        return 255 - alpha
    if (colour.max(2) - colour.min(2)).max() < 8:
        return colour[..., 1]
    plain = (colour == 255).all(2) | (colour == 0).all(2)
    changed = np.abs(colour.astype(np.int16) - source).max(2) > 16
    return np.where(plain & changed, 255, 0).astype(np.uint8)


def _attempt(triple: Triple, size: int) -> NDArray[np.uint8] | ImageError:
    """Source, target and mask as planes [7, size, size]."""
    try:
        source, mask = read_image(triple.source), read_rgba(triple.mask)
        target = source if triple.target is None else read_image(triple.target)
        for file, image in ((triple.mask, mask), (triple.target, target)):
            if abs(image.shape[0] * source.shape[1] / (image.shape[1] * source.shape[0]) - 1) > 0.02:
                raise ImageError(
                    f"{file}: {image.shape[1]} x {image.shape[0]} pixels do not fit a picture of "
                    f"{source.shape[1]} x {source.shape[0]}"
                )
        source, mask, target = fit(source, size), fit(mask, size), fit(target, size)
        where = region(mask, source)
        if where.max() < 128:
            raise ImageError(f"{triple.mask}: the mask marks nothing to edit (white or transparent is to be edited)")
        return np.concatenate([source, target, where[..., None]], 2).transpose(2, 0, 1)
    except ImageError as error:
        return error


def _part(path: Path) -> str | None:
    """What a file of a plain folder is, by its suffixes."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes[-1:] == [".txt"]:
        return "text"
    if not suffixes or suffixes[-1] not in IMAGE_SUFFIXES:
        return None
    return {".mask": "mask", ".target": "target"}.get(suffixes[0], "source")


def _triple(name: str, parts: dict[str, Path]) -> Triple | None:
    """The triple of a plain folder, or None, with a warning, where something is missing."""
    missing = [name + suffix for part, suffix in PARTS.items() if part != "target" and part not in parts]
    if missing:
        warnings.warn(f"skipped {name}: there is no {' and no '.join(missing)}", stacklevel=4)
        return None
    try:
        instruction = " ".join(parts["text"].read_text(encoding="utf-8").split())
    except UnicodeDecodeError:
        instruction = ""
    if not instruction:
        warnings.warn(f"skipped {name}: {parts['text']} holds no instruction", stacklevel=4)
        return None
    return Triple(name, instruction, parts["source"], parts["mask"], parts.get("target"))


def _published(root: Path, name: str) -> Triples | None:
    """A split of MagicBrush by its published name, or None where it is absent."""
    if (root / name / "edit_turns.json").is_file():
        return _listed(_turns(root / name))
    tables = sorted(root.rglob(f"{name}-*.parquet"))
    return _tables(tables) if tables else None


def _listed(triples: Iterable[Triple]) -> Triples:
    listed = list(triples)
    return Triples(len(listed), listed)


def _turns(root: Path) -> Iterator[Triple]:
    """The turns of one split of MagicBrush's archive."""
    descriptions = root / "local_descriptions.json"
    captions = _json(descriptions, dict) if descriptions.is_file() else {}
    for number, turn in enumerate(_json(root / "edit_turns.json", list)):
        try:
            source, mask, target, instruction = (turn[key] for key in ("input", "mask", "output", "instruction"))
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{root / 'edit_turns.json'}: entry {number} is {turn!r}, expected an object with input, "
                "mask, output and instruction"
            ) from error
        session = source.partition("-")[0]
        pictures = root / "images" / session
        caption = captions.get(session, {}).get(target, "")
        yield Triple(target, instruction, pictures / source, pictures / mask, pictures / target, caption)


def _json(path: Path, kind: type) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, found a {type(content).__name__}")
    return content


def _tables(paths: Sequence[Path]) -> Triples:
    """The rows of MagicBrush's tables, as few in memory as can be."""
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{paths[0]}: parquet files are read by pyarrow: pip install pyarrow") from error
    try:
        tables = [ParquetFile(path) for path in paths]
    except ArrowInvalid as error:
        raise ValueError(f"{paths[0].parent}: a damaged parquet file ({error})") from error
    for path, table in zip(paths, tables, strict=True):
        if lacking := set(COLUMNS) - set(table.schema_arrow.names):
            raise ValueError(f"{path}: no column {min(lacking)!r}: expected MagicBrush's {', '.join(COLUMNS)}")
    batches = (batch for table in tables for batch in table.iter_batches(_AT_ONCE, columns=list(COLUMNS)))
    return Triples(
        sum(table.metadata.num_rows for table in tables), (_row(row) for batch in batches for row in batch.to_pylist())
    )


def _row(row: dict[str, Any]) -> Triple:
    name = f"{row['img_id']}-{row['turn_index']}"
    source, mask, target = (
        Encoded(f"{name} {column}", (row[column] or {}).get("bytes") or b"")
        for column in ("source_img", "mask_img", "target_img")
    )
    return Triple(name, row["instruction"], source, mask, target)
