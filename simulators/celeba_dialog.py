"""The files of CelebA-Dialog (Jiang et al., ICCV 2021): degrees, captions and requests for the faces of CelebA(-HQ).

The data set is not ours to give, and for research that is not commercial.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .face_heads import HEADS, UNLABELLED
from .faces import ATTRIBUTES, DEGREES

PUBLISHED = HEADS["attribute"]  # its names of ATTRIBUTES, in the same order


class Labels(NamedTuple):
    names: list[str]  # of the picture files
    degrees: Tensor  # [N, 5] int64, 0 to 5


class Caption(NamedTuple):
    overall: str
    attributes: dict[str, str]  # by ATTRIBUTES, those that it has a sentence for


class AnnotatedRequest(NamedTuple):
    text: str
    labels: Tensor  # [9] int64, classes of HEADS; UNLABELLED where nothing is said, as by the heads of system modes


def read_labels(path: str | Path) -> Labels:
    """`combined_annotation.txt` or `combined_annotation_hq.txt`: a header, then lines of a name and five degrees.

    Raises ValueError with the number of the first line that is something else.
    """
    names, degrees = [], []
    for number, line in enumerate(_text(path).splitlines()[1:], 2):
        if not (parts := line.split()):
            continue
        row = [int(part) for part in parts[1:] if part.isdecimal() and int(part) < DEGREES]
        if len(row) != len(ATTRIBUTES) or len(parts) != len(row) + 1:
            raise ValueError(f"{path}, line {number}: {line!r}, expected a name and five degrees from 0 to 5")
        names.append(parts[0])
        degrees.append(row)
    return Labels(names, torch.tensor(degrees, dtype=torch.int64).view(-1, len(ATTRIBUTES)))


def read_captions(path: str | Path) -> dict[str, Caption]:
    """`captions.json` or `captions_hq.json`, by the names of the pictures. Raises ValueError for anything else."""
    captions = {}
    for name, entry in _object(path).items():
        parts = entry.get("attribute_wise_captions") if isinstance(entry, dict) else None
        if not isinstance(parts, dict) or not isinstance(entry.get("overall_caption"), str):
            raise ValueError(f"{path}, {name}: expected an overall_caption and attribute_wise_captions")
        said = {ours: parts.get(theirs) for ours, theirs in zip(ATTRIBUTES, PUBLISHED, strict=True)}
        captions[name] = Caption(entry["overall_caption"], {part: text for part, text in said.items() if text})
    return captions


def read_requests(path: str | Path) -> dict[str, str]:
    """`request_hq.txt` (lines of a name, a tab and a sentence) or `request_hq.json`, by the names of the pictures.

    Raises ValueError for anything else.
    """
    if Path(path).suffix == ".json":
        requests = _object(path)
        if wrong := [name for name, text in requests.items() if not isinstance(text, str)]:
            raise ValueError(f"{path}, {wrong[0]}: expected a sentence")
        return requests
    requests = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        name, tab, text = line.partition("\t")
        if not tab and line.strip():
            raise ValueError(f"{path}, line {number}: {line!r}, expected a name, a tab and a sentence")
        if tab:
            requests[name.strip()] = text.strip()
    return requests


def read_annotated_requests(path: str | Path) -> dict[str, AnnotatedRequest]:
    """`request_annotated_hq.json`, by the names of the pictures: what the language encoder can be trained on.

    Raises ValueError for anything else.
    """
    return {name: _annotated(entry, f"{path}, {name}") for name, entry in _object(path).items()}


def _annotated(entry: Any, place: str) -> AnnotatedRequest:
    if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
        raise ValueError(f"{place}: expected an object with a text and its annotation")
    labels = torch.full((len(HEADS),), UNLABELLED)
    for number, (head, classes) in enumerate(HEADS.items()):
        if (value := entry.get(head)) is None:
            continue
        if str(value) not in classes:
            raise ValueError(f"{place}: {head} is {value!r}, expected one of {', '.join(classes)}")
        labels[number] = classes.index(str(value))
    return AnnotatedRequest(entry["text"], labels)


def _text(path: str | Path) -> str:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of CelebA-Dialog at {path}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text") from error


def _object(path: str | Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no json ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a {type(content).__name__}, expected names of pictures and what is said of them"
        )
    return content
