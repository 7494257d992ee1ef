"""The embedded world of faces: drawn by a procedure, behind an entangled latent, and known exactly."""

import torch
from torch import Tensor

from ..backends import fused, require_compiler
from .face_factors import FACTORS
from .face_fields import ENTANGLEMENT, FrozenFields, StraightLines, load_fields
from .face_latent import FaceLatent, shown
from .face_networks import EMBEDDING, load_face_networks
from .face_renderer import FaceRenderer

BASES = ("field", "line")


class EmbeddedFaces:
    """Faces of `size` pixels, as `ExactFaces` of `simulators/faces.py`.

    `entanglement` is how far the latent's axes are turned about (0: every factor is a straight line); `base` is what
    a step of an edit follows: the trained semantic `field`, or the straight `line` of a regression. `judge` and
    `embed` look at pictures alone, through small networks. With `compile` torch.compile fuses the drawing, the factors
    and the steps of the field, where nobody asks for a gradient: the same to rounding. Raises ValueError where it finds
    no compiler.
    """

    noise_size = FACTORS
    latent_shape: tuple[int, ...] = (FACTORS,)
    embedding_size = EMBEDDING

    def __init__(
        self,
        size: int = 64,
        entanglement: float = ENTANGLEMENT,
        base: str = "field",
        device: torch.device | str = "cpu",
        compile: bool = False,
    ) -> None:
        if compile:
            require_compiler(torch.device(device))
        if base not in BASES:
            raise ValueError(f"edits follow a {' or a '.join(BASES)}, got base {base!r}")
        if base == "field" and entanglement != ENTANGLEMENT:
            raise ValueError(
                f"the fields were trained at entanglement {ENTANGLEMENT}, got {entanglement}: choose base 'line'"
            )
        self.size, self.compile = size, compile
        latent = FaceLatent(entanglement)
        self.latent = latent.to(device)
        lines = StraightLines(latent) if base == "line" else FrozenFields(load_fields(), compile)
        self.base = lines.to(device)
        self.renderer = FaceRenderer(size).to(device)
        self.networks, self.others = (load_face_networks(name, device=device) for name in ("world", "evaluation"))

    def sample(self, noise: Tensor) -> Tensor:
        return noise

    def point(self, latent: Tensor) -> Tensor:
        return latent

    def move(self, latent: Tensor, edit: Tensor) -> Tensor:
        return latent + edit

    def synthesize(self, latent: Tensor) -> Tensor:
        parts = self.renderer.parts(latent)
        return torch.cat([fused(self.compile, portrait, self.latent, self.renderer, part) for part in parts])

    def step(self, latent: Tensor, attribute: Tensor, direction: Tensor) -> Tensor:
        return self.base.step(latent, attribute, direction)

    def steps(self, latent: Tensor, edit: Tensor, attribute: Tensor, direction: Tensor, count: int) -> Tensor:
        return self.base.steps(latent, edit, attribute, direction, count)

    def judge(self, image: Tensor) -> Tensor:
        return self.networks.degrees(image).softmax(2)

    def embed(self, image: Tensor) -> Tensor:
        return self.networks.embed(image)

    def witness(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.others.degrees(image).softmax(2), self.others.embed(image)

    def degrees(self, latent: Tensor) -> Tensor:
        return shown(self.factors(latent))

    def factors(self, latent: Tensor) -> Tensor:
        return fused(self.compile, FaceLatent.factors, self.latent, latent)

    def reach(self, latent: Tensor, degrees: Tensor) -> Tensor:
        return self.latent.reach(latent, degrees)


def portrait(latents: FaceLatent, renderer: FaceRenderer, latent: Tensor) -> Tensor:
    """The pictures ``[B, 3, size, size]`` of ``latent`` ``[B, 40]``."""
    return renderer.draw(latents.factors(latent))
