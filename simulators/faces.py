"""What a world of faces offers, embedded or real: faces behind a latent, judged, recognised and edited."""

from typing import Protocol, runtime_checkable

from torch import Tensor

ATTRIBUTES = ("bangs", "eyeglasses", "beard", "smiling", "age")
DEGREES = 6  # of each attribute, 0 to 5: none to most


class Faces(Protocol):
    """Latents are ``[B, *latent_shape]``, pictures ``[B, 3, size, size]`` float in [0, 1]."""

    size: int  # pixels
    latent_shape: tuple[int, ...]
    noise_size: int
    embedding_size: int

    def sample(self, noise: Tensor) -> Tensor:
        """Latents of faces from standard normal numbers ``[B, noise_size]``."""
        ...

    def point(self, latent: Tensor) -> Tensor:
        """``[B, D]``, the part of a latent that edits change, where distances are measured."""
        ...

    def move(self, latent: Tensor, edit: Tensor) -> Tensor:
        """The latent after an edit ``[B, D]``."""
        ...

    def synthesize(self, latent: Tensor) -> Tensor:
        """The pictures."""
        ...

    def step(self, latent: Tensor, attribute: Tensor, direction: Tensor) -> Tensor:
        """One step of the semantic field, ``[B, D]``: ``attribute`` ``[B]`` int64, ``direction`` ``[B]`` 1 or -1."""
        ...

    def steps(self, latent: Tensor, edit: Tensor, attribute: Tensor, direction: Tensor, count: int) -> Tensor:
        """``[B, count, D]``: the edits that its next steps lead to, from where ``edit`` ``[B, D]`` has led."""
        ...

    def judge(self, image: Tensor) -> Tensor:
        """``[B, 5, 6]``, how probable each degree of each attribute is, as the predictor sees it."""
        ...

    def embed(self, image: Tensor) -> Tensor:
        """``[B, embedding_size]`` of unit length: who it is, as the network for identity sees it."""
        ...

    def witness(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """What ``judge`` and ``embed`` say, by other networks where there are any: to measure with, never a reward."""
        ...


@runtime_checkable
class ExactFaces(Faces, Protocol):
    """The embedded world knows what its pictures show."""

    def degrees(self, latent: Tensor) -> Tensor:
        """``[B, 5]`` in [0, 5]."""
        ...

    def factors(self, latent: Tensor) -> Tensor:
        """``[B, 40]``: the raw degrees, 23 numbers of the person, 12 of the circumstances."""
        ...

    def reach(self, latent: Tensor, degrees: Tensor) -> Tensor:
        """The same person in the same circumstances with ``degrees`` ``[B, 5]``."""
        ...
