"""The real world of faces: the published networks of Talk-to-Edit (Jiang et al., ICCV 2021), from a folder of files."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .arcface import EMBEDDING, ArcFace
from .attribute_predictor import PUBLISHED, Attribute, AttributePredictor, read_attributes
from .published_weights import load_published, read_checkpoint
from .semantic_field import FieldFunction, by_attribute, field_steps
from .stylegan2 import STYLE, Discriminator, Generator

SOURCE = "the Google Drive that the README of github.com/yumingj/Talk-to-Edit links to"
EVALUATION_FILE = "eval_predictor.pth.tar"  # with which edits were measured; the predictor itself, where it is not
ATTRIBUTE_FILE = "attributes_5.json"  # of a predictor of one's own; the published attributes need none
ARCFACE_FILE = "arcface_resnet18_110.pth"


class PublishedFaces:
    """Faces of ``resolution`` pixels, as ``Faces`` of ``simulators/faces.py``, drawn by StyleGAN2.

    ``folder`` is the published ``pretrained_models``: the generator, a predictor, five fields (see ``files``) and
    ArcFace. Latents are W, or with ``plus`` W+, as published: then edits move the ``editable`` first layers alone,
    8 of them up to 128 px and 10 beyond, so that colours stay. Published are 128 and 1024 px; files of other sizes,
    by the same names, work as well. Raises FileNotFoundError and ValueError for files that are missing or wrong.
    """

    noise_size = STYLE
    embedding_size = EMBEDDING

    def __init__(
        self,
        folder: str | Path,
        resolution: int = 128,
        plus: bool = False,
        editable: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        folder = Path(folder)
        attributes = attributes_in(folder)
        paths = files(folder, resolution, attributes)
        missing = [str(path.relative_to(folder)) for path in paths.values() if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}: put them there from {SOURCE}")
        generator = Generator(resolution, multiplier(resolution))
        self.generator = load_published(generator, paths["generator"], "g_ema").to(device)
        self.predictor = load_predictor(paths["predictor"], attributes).to(device)
        own = folder / EVALUATION_FILE
        self.second = load_predictor(own, attributes).to(device) if own.is_file() else self.predictor
        self.arcface = load_published(ArcFace(), paths["arcface"]).to(device)
        fields = [load_published(FieldFunction(), paths[attribute.name]) for attribute in attributes]
        self.fields = nn.ModuleList(fields).to(device)
        self.size, self.plus = resolution, plus
        self.latent_shape: tuple[int, ...] = (generator.layers, STYLE) if plus else (STYLE,)
        self.editable = (8 if resolution <= 128 else 10) if editable is None else editable

    def sample(self, noise: Tensor) -> Tensor:
        latent = self.generator.sample(noise)
        return latent[:, None].repeat(1, self.generator.layers, 1) if self.plus else latent

    def point(self, latent: Tensor) -> Tensor:
        return latent[:, 0] if self.plus else latent

    def move(self, latent: Tensor, edit: Tensor) -> Tensor:
        if not self.plus:
            return latent + edit
        layers = torch.arange(latent.shape[1], device=latent.device) < self.editable
        return latent + edit[:, None] * layers[:, None]

    def synthesize(self, latent: Tensor) -> Tensor:
        image = (self.generator(latent) + 1) / 2
        clipped = image.detach().clamp(0, 1)
        return clipped + (image - image.detach())  # which adds nothing but the gradient, for inversion to come back

    def step(self, latent: Tensor, attribute: Tensor, direction: Tensor) -> Tensor:
        return self.steps(latent, torch.zeros_like(self.point(latent)), attribute, direction, 1)[:, 0]

    def steps(self, latent: Tensor, edit: Tensor, attribute: Tensor, direction: Tensor, count: int) -> Tensor:
        mapping = self.generator.mapping  # StyleGAN's M without its normalisation
        nowhere = mapping(torch.zeros_like(edit[:1]))

        def along(place: int, point: Tensor, edit: Tensor, direction: Tensor) -> Tensor:
            return field_steps(lambda w: mapping(self.fields[place](w)) - nowhere, point, edit, direction, count)

        return by_attribute(along, attribute, self.point(latent), edit, direction)

    def judge(self, image: Tensor) -> Tensor:
        return self.predictor(image).softmax(2)

    def embed(self, image: Tensor) -> Tensor:
        return F.normalize(self.arcface(image), dim=1)

    def witness(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.second(image).softmax(2), self.embed(image)

    def with_own_generator(self) -> "PublishedFaces":
        """The same world but for a generator that may be tuned without changing this one's."""
        mine = copy.copy(self)
        mine.generator = copy.deepcopy(self.generator)
        return mine

    def read_latents(self, path: str | Path) -> Tensor:
        """Latents ``[N, *latent_shape]`` of real pictures that e4e or pSp encoded: W+ by ``torch.save``.

        Raises FileNotFoundError where there is no such file, ValueError where it fits no world of this size and kind.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no latents at {path}: give the .pt file that an encoder of pictures wrote")
        latent = read_checkpoint(Path(path))
        if isinstance(latent, Tensor) and latent.shape == self.latent_shape:
            latent = latent[None]
        if not isinstance(latent, Tensor) or latent.shape[1:] != self.latent_shape:
            got = tuple(latent.shape) if isinstance(latent, Tensor) else type(latent).__name__
            space = "W+ (plus=True)" if self.plus else "W (plus=False)"
            raise ValueError(f"{path}: faces of {self.size} px in {space} are (N, *{self.latent_shape}), got {got}")
        return latent.float().to(self.generator.input.input.device)


def files(folder: Path, resolution: int, attributes: Sequence[Attribute] = PUBLISHED) -> dict[str, Path]:
    """Where the published files of a world lie: generator, predictor, arcface, and a field by each attribute's name."""
    flat = folder / f"stylegan2_{resolution}.pth"  # as at 1024 px
    whole = folder / f"stylegan2_{resolution}.pt"  # as at 128 px, with the discriminator
    fields = {it.name: folder / f"{resolution}_field" / f"{it.name}.pth" for it in attributes}
    return {
        "generator": flat if flat.is_file() or (resolution > 128 and not whole.is_file()) else whole,
        "predictor": folder / f"predictor_{resolution}.pth.tar",
        "arcface": folder / ARCFACE_FILE,
        **fields,
    }


def attributes_in(folder: Path) -> tuple[Attribute, ...]:
    """Those of the folder's own ``attributes_5.json``, else the published ones."""
    path = folder / ATTRIBUTE_FILE
    return read_attributes(path) if path.is_file() else PUBLISHED


def multiplier(resolution: int) -> int:
    """The published channel multiplier."""
    return 1 if resolution <= 128 else 2


def load_predictor(path: Path, attributes: Sequence[Attribute] = PUBLISHED) -> AttributePredictor:
    """A predictor, also the published ``eval_predictor.pth.tar``, with which edits were evaluated."""
    return load_published(AttributePredictor(attributes), path, "state_dict")


def load_discriminator(path: Path, resolution: int) -> Discriminator:
    """The discriminator: of ``stylegan2_128.pt``, or ``StyleGAN2_FFHQ1024_discriminator.pth``."""
    return load_published(Discriminator(resolution, multiplier(resolution)), path, "d")
