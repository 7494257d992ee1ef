"""The preprocessing of Semantic Guidance for CUB-200-2011: masks, boxes and focus maps of every image.

Written where `simulators.datasets.cub`, like the published code, reads them: `segmentations_pred/CLASS/IMAGE.jpg`,
`gbp_global/CLASS/IMAGE.jpg` and `bounding_boxes_pred.txt`. The published script stops at the first image without
a detection and starts anew when started again; here such images are reported, and finished ones kept.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..simulators.datasets import Box, cub_names
from ..simulators.detectors import DEFAULT_NETWORK, load_network, make_detector
from ..simulators.images import ImageError, read_image, write_image
from ..simulators.saliency import Bytes, Detector, Focus, contrast_focus, gradient_focus, object_mask
from ..simulators.storage import window_of

MASKS, FOCUS_MAPS, BOXES = "segmentations_pred", "gbp_global", "bounding_boxes_pred.txt"
_UNFINISHED = "bounding_boxes_pred.partial"  # a row for each image whose maps are written
_NO_BOX = (0, 0, 0, 0)


@dataclass
class Report:
    """What `prepare_cub` did."""

    prepared: int = 0
    kept: int = 0  # prepared by an earlier call
    undetected: list[str] = field(default_factory=list)  # took the mask of `object_mask` instead
    unreadable: list[str] = field(default_factory=list)  # have no maps and a box of zeros; with the reason


def prepare_cub(
    folder: str | Path,
    detector: str | Detector = "cv2",
    classifier: str | nn.Module | None = None,
    detector_network: str = DEFAULT_NETWORK,
    classifier_network: str = "resnet50",
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Write masks, boxes and focus maps of the CUB-200-2011 in `folder`; what is there already is kept.

    `detector` and `classifier` are networks, files of weights or names of torchvision's weights. `cv2` stands for
    a detector without weights, and without a classifier the focus map is the object's local contrast. The box is
    that of the mask. `progress` is called with the number of finished images and of all.
    """
    root = Path(folder)
    names = list(cub_names(root).values())
    detect = make_detector(detector, detector_network, device) if isinstance(detector, str) else detector
    focus = _focus(classifier, classifier_network, device)
    boxes = _finished(root, names)
    report = Report(kept=len(boxes))
    _write_boxes(root / _UNFINISHED, boxes)
    with open(root / _UNFINISHED, "a", encoding="utf-8") as rows:
        for index, name in enumerate(names):
            if index not in boxes:
                boxes[index] = _prepare(root, name, detect, focus, report)
                rows.write(_row(index, boxes[index]))
                rows.flush()
            progress(index + 1, len(names))
    _write_boxes(root / BOXES, boxes)
    (root / _UNFINISHED).unlink()
    return report


def _focus(classifier: str | nn.Module | None, network: str, device: torch.device | str) -> Focus:
    if classifier is None:
        return contrast_focus
    return gradient_focus(load_network(network, classifier) if isinstance(classifier, str) else classifier,
                          device=device)


def _prepare(root: Path, name: str, detect: Detector, focus: Focus, report: Report) -> Box:
    """Write the maps of one image and return its box in pixels."""
    try:
        image = read_image(root / "images" / name)
    except ImageError as error:
        report.unreadable.append(str(error))
        return _NO_BOX
    mask = detect(image)
    if mask is None:
        report.undetected.append(name)
        mask = object_mask(image)
    write_image(root / MASKS / name, mask)
    write_image(root / FOCUS_MAPS / name, focus(image, mask))
    report.prepared += 1
    return _pixel_box(mask)


def _pixel_box(mask: Bytes) -> list[int]:
    height, width = mask.shape
    return np.round(window_of(mask) * (width, height, width, height)).astype(int).tolist()


def _finished(root: Path, names: list[str]) -> dict[int, Box]:
    """Boxes of the images that an earlier call prepared and whose maps are there."""
    boxes: dict[int, Box] = {}
    for path in (root / BOXES, root / _UNFINISHED):
        for line in path.read_text().splitlines(keepends=True) if path.is_file() else []:
            number, *box = line.split() or [""]
            if len(box) == 4 and number.isdecimal() and line.endswith("\n"):  # no header, no torn last line
                boxes[int(number)] = [float(value) for value in box]
    return {index: box for index, box in boxes.items() if index < len(names) and box[2] > 0
            and all((root / maps / names[index]).is_file() for maps in (MASKS, FOCUS_MAPS))}


def _write_boxes(path: Path, boxes: Mapping[int, Box]) -> None:
    """The boxes as pandas' to_csv(sep=" ") writes them."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(" x y w h\n" + "".join(_row(index, boxes[index]) for index in sorted(boxes)))
    os.replace(temporary, path)


def _row(index: int, box: Box) -> str:
    return " ".join([str(index), *(f"{float(value):g}" for value in box)]) + "\n"
