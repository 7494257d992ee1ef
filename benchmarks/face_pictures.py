"""The page of faces: what each attribute's degrees look like, and who else lives in the embedded world."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..simulators.face_factors import FACTORS
from ..simulators.face_renderer import FaceRenderer
from ..simulators.faces import ATTRIBUTES, DEGREES

STRANGERS = 2  # rows of them


def page_factors(seed: int = 5) -> torch.Tensor:
    """Factors ``[7 * 6, 40]``: a person over the six degrees of each attribute, a row each; then random people."""
    generator = torch.Generator().manual_seed(seed)
    people = torch.randn(len(ATTRIBUTES), FACTORS, generator=generator)
    people[:, : len(ATTRIBUTES)] = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0])
    people[ATTRIBUTES.index("beard"), len(ATTRIBUTES)] = 1.5  # a man
    rows = people[:, None].repeat(1, DEGREES, 1)
    for attribute in range(len(ATTRIBUTES)):
        rows[attribute, :, attribute] = torch.arange(float(DEGREES))
    strangers = torch.randn(STRANGERS * DEGREES, FACTORS, generator=generator)
    degrees = torch.rand(len(strangers), len(ATTRIBUTES), generator=generator)
    strangers[:, : len(ATTRIBUTES)] = degrees * (DEGREES + 0.5) - 1.5
    return torch.cat([rows.flatten(0, 1), strangers])


@torch.no_grad()
def faces_page(renderer: FaceRenderer) -> np.ndarray:
    """One row per attribute over its degrees, then rows of random people: ``[7 * size, 6 * size, 3]`` uint8."""
    faces = renderer(page_factors())
    size = renderer.size
    page = faces.view(-1, DEGREES, 3, size, size).permute(0, 3, 1, 4, 2).reshape(-1, DEGREES * size, 3)
    return (page * 255).round().byte().numpy()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    temporary = path.with_name(f"{path.stem}.part.png")
    Image.fromarray(faces_page(FaceRenderer(128))).save(temporary, optimize=True)
    temporary.replace(path)
