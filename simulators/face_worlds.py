"""The worlds of faces, by what a user names them."""

from pathlib import Path

import torch

from .face_world import EmbeddedFaces
from .faces import Faces
from .published_faces import PublishedFaces


def make_faces(
    name: str = "embedded",
    size: int | None = None,
    entanglement: float | None = None,
    base: str = "field",
    plus: bool = False,
    device: torch.device | str = "cpu",
    compile: bool = False,
) -> Faces:
    """``embedded``, or a folder with the published files.

    ``size`` in pixels (None: 64, or 128 of the published); ``entanglement``, ``base`` and ``compile`` of the embedded
    world alone, ``plus`` (W+ latents) of the published one. Raises ValueError for a world that does not exist or has no
    such choice, and where torch.compile finds no compiler.
    """
    if name == "embedded":
        if plus:
            raise ValueError("plus=True is of StyleGAN2's latents: the embedded world has none, name a folder")
        turned = {} if entanglement is None else {"entanglement": entanglement}
        return EmbeddedFaces(64 if size is None else size, base=base, device=device, compile=compile, **turned)
    if compile:
        raise ValueError(f"compile=True is for the embedded world, not for the faces in {name!r}: leave compile=False")
    if entanglement is not None or base != "field":
        raise ValueError(f"entanglement and base='line' are of the embedded world, not of the faces in {name!r}")
    if not Path(name).is_dir():
        raise ValueError(f"no faces {name!r}: expected 'embedded' or a folder with the published files")
    return PublishedFaces(name, 128 if size is None else size, plus, device=device)
