"""The embedded world of faces: drawn by a procedure, behind an entangled latent, and known exactly."""

import torch
from torch import Tensor

from ..backends import compiled, require_compiler
from .face_factors import FACTORS
from .face_fields import ENTANGLEMENT, StraightLines, load_fields
from .face_latent import FaceLatent, shown
from .face_networks import EMBEDDING, load_face_networks
from .face_renderer import FaceRenderer

BASES = ("field", "line")


class EmbeddedFaces:
    """Faces of `size` pixels, as `ExactFaces` of `simulators/faces.py`.

    `entanglement` is how far the latent's axes are turned about (0: every factor is a straight line); `base` is what
    a step of an edit follows: the trained semantic `field`, or the straight `line` of a regression. `judge` and
    `embed` look at pictures alone, through small networks. With `compile` torch.compile fuses the drawing, where nobody
    asks for its gradient: pictures are the same to rounding. Raises ValueError where it finds no compiler.
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
        self.base = (load_fields() if base == "field" else StraightLines(latent)).to(device)
        self.renderer = FaceRenderer(size).to(device)
        self.networks, self.others = (load_face_networks(name, device=device) for name in ("world", "evaluation"))

    def sample(self, noise: Tensor) -> Tensor:
        return noise

    def point(self, latent: Tensor) -> Tensor:
        return latent

    def move(self, latent: Tensor, edit: Tensor) -> Tensor:
        return latent + edit

    def synthesize(self, latent: Tensor) -> Tensor:
        quick = self.compile and not (latent.requires_grad and torch.is_grad_enabled())
        drawn = quick_portrait if quick else portrait
        return torch.cat([drawn(self.latent, self.renderer, part) for part in self.renderer.parts(latent)])

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
        return self.latent.factors(latent)

    def reach(self, latent: Tensor, degrees: Tensor) -> Tensor:
        return self.latent.reach(latent, degrees)


def portrait(latents: FaceLatent, renderer: FaceRenderer, latent: Tensor) -> Tensor:
    """The pictures ``[B, 3, size, size]`` of ``latent`` ``[B, 40]``."""
    return renderer.draw(latents.factors(latent))


@torch.no_grad()  # gradients would take minutes to compile
def quick_portrait(latents: FaceLatent, renderer: FaceRenderer, latent: Tensor) -> Tensor:
    """The same by torch.compile, once for all worlds of a size, whatever B is."""
    # one lane would be compiled for apart, and a view by what it is a view of
    own = torch.cat([latent, latent]) if len(latent) == 1 else latent.clone()
    return compiled(portrait)(latents, renderer, own)[: len(latent)]
