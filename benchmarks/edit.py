"""A picture edited as an instruction says, and what there is to see of it."""

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..rewards.attention import choose_tokens, token_map
from ..simulators.attention import AttentionRecorder, attention_size
from ..simulators.codec import PixelCodec
from ..simulators.ddim import DDIM
from ..simulators.edit_language import understand
from ..simulators.edit_scenes import SIZE
from ..simulators.edit_world import draw_problems
from ..simulators.editor import Editor, sample
from ..simulators.edits import EmbeddedEdits
from ..simulators.images import resize, write_image
from .paint import as_image, pixels
from .painters import find_photo
from .pictures import PAPER, Picture, filmstrip, sheet

SHOWN = 320  # pixels, at least, of the height of a picture in an overview
LETTER = 8  # pixels of width that a letter of a caption takes, about
FIRST = torch.tensor([0])  # place of the one problem in a collection of one


@dataclass(frozen=True)
class Subject:
    """A picture `[H, W, 3]` and what is to be done to it."""

    name: str
    picture: Picture
    instruction: str
    problem: EmbeddedEdits | None = None  # the one that the picture is of, where its answer is known


@dataclass(frozen=True)
class Sampling:
    """How a picture is sampled. Raises ValueError where the instruction would not be heard."""

    steps: int = 20
    guidance: tuple[float, float] = (1.0, 1.0)  # by the text and by the image
    eta: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.guidance[0] <= 0:
            raise ValueError(f"guidance must be above 0, or the instruction is not heard, got {self.guidance[0]:g}")


@dataclass(frozen=True)
class Edited:
    """What came of it: a picture `[H, W, 3]`, how much attention its parts got for the words of the instruction
    `[h, w]`, and the checker's verdict (`done`, `kept`), {} where there is none."""

    picture: Picture
    attention: NDArray[np.float32]
    verdict: dict[str, bool]


def find_subject(image: str, instruction: str | None = None) -> Subject:
    """`image`: a file, a photograph of scikit-image by name, or `embedded:N`, problem N of the embedded world's
    held-out ones, which brings its instruction. Raises ValueError for anything else, and without an instruction."""
    world, _, number = image.partition(":")
    if world == "embedded":
        if not number.isdecimal():
            raise ValueError(f"{image!r}: expected embedded:N with N = 0, 1, 2 ...")
        problem = EmbeddedEdits(draw_problems(1, split="test", first=int(number)))
        (own,) = problem.instructions
        return Subject(f"embedded-{number}", pixels(problem[FIRST].source / 255)[0], instruction or own, problem)
    if not instruction:
        raise ValueError(f'say what to do with {image}: retouch edit {image} "make the red circle blue"')
    name, photo = find_photo(image)
    return Subject(name, photo, instruction)


def is_embedded(editor: Editor) -> bool:
    """Whether this is an editor of the embedded world, which has one size and one language."""
    return isinstance(editor.codec, PixelCodec)


def wording(editor: Editor, instruction: str) -> str:
    """`instruction` as `editor` was trained to read it; ValueError where it could not."""
    return understand(instruction).text() if is_embedded(editor) else instruction


def is_own(editor: Editor, subject: Subject) -> bool:
    """Whether `subject` asks an editor of the embedded world for what its problem asks, in whatever words."""
    own = subject.problem.instructions[0] if subject.problem and is_embedded(editor) else None
    return own is not None and understand(own) == understand(subject.instruction)


def cut(picture: Picture, editor: Editor, size: int | None = None) -> Picture:
    """The middle of `picture` at a size that `editor` can work at.

    32 x 32 in the embedded world. For a pipeline the longest side is `size`, its own unless given, and both are
    rounded to what its networks can halve evenly: to multiples of 64 in Stable Diffusion. Raises ValueError for
    another size than 32 in the embedded world.
    """
    if is_embedded(editor):
        if size not in (None, SIZE):
            raise ValueError(f"this editor is of the embedded world, which is {SIZE} pixels, not {size}: give no size")
        return _middle(picture, SIZE, SIZE)
    config, factor = editor.unet.config, editor.codec.factor
    unit = factor * 2 ** (len(config.block_out_channels) - 1)
    scale = (size or config.sample_size * factor) / max(picture.shape[:2])
    height, width = (max(1, round(length * scale / unit)) * unit for length in picture.shape[:2])
    return _middle(picture, height, width)


def edit(
    editor: Editor, source: Picture, subject: Subject, sampling: Sampling, tell: Callable[[], None] = lambda: None
) -> Edited:
    """Edit `source`, the subject's picture as `cut`; calls `tell` after each step.

    The noise depends on the seed alone, whatever the device and the adapter. Raises ValueError for what the editor
    cannot read, for a sampler that cannot be, and where the editor answers with NaN.
    """
    device = editor.empty.device
    ddim = DDIM(editor.schedule, sampling.steps, sampling.eta).to(device)
    generator = torch.Generator().manual_seed(sampling.seed)
    tokens = editor.tokens([wording(editor, subject.instruction)])
    image = as_image(source).to(device)
    factor = editor.codec.factor
    size = attention_size(editor.unet, (source.shape[0] // factor, source.shape[1] // factor))
    with AttentionRecorder(editor.unet, size, slice(1)) as recorder, _told(editor.unet, tell):
        result = sample(editor, ddim, image, tokens, sampling.guidance, generator)
    if result.isnan().any():
        raise ValueError(f"the editor answers with NaN in {editor.unet.dtype}: try --dtype float32, or bfloat16")
    content = choose_tokens("content", tokens, editor.tokens([""]).unique().tolist())
    attention = token_map(recorder.mean(), content)[0, 0].cpu().numpy()
    verdict = subject.problem.check(result.cpu(), FIRST) if subject.problem and is_own(editor, subject) else {}
    return Edited(pixels(result)[0], attention, {name: bool(value) for name, value in verdict.items()})


def write_files(folder: Path, subject: Subject, source: Picture, edits: dict[str, Edited]) -> Iterator[Path]:
    """Write each of `edits` under its name and an overview of all; yields each path written."""
    for name, edited in edits.items():
        write_image(folder / f"{name}.png", edited.picture)
        yield folder / f"{name}.png"
    write_image(folder / "overview.png", overview(subject, source, edits))
    yield folder / "overview.png"


def overview(subject: Subject, source: Picture, edits: dict[str, Edited]) -> Picture:
    """Before, after, attention (of several edits on one scale), and the exact answer where the edits have a verdict;
    several edits are side by side. Beneath it what was asked."""
    height = source.shape[0] * _times(source)
    before = [_enlarged(source)]
    after = [_enlarged(edited.picture) for edited in edits.values()]
    looked = [heat_map(source, share) for share in on_one_scale([edited.attention for edited in edits.values()])]
    known = subject.problem is not None and any(edited.verdict for edited in edits.values())
    answer = [_enlarged(pixels(subject.problem[FIRST].target / 255)[0])] if subject.problem and known else []
    told = [": ".join([name, ", ".join(in_words(edited))]).rstrip(": ") for name, edited in edits.items()]
    if len(edits) == 1:
        captions = ["before", *told, "attention to the words (bright: most)", *["asked for"] * len(answer)]
        strip = filmstrip(before + after + looked + answer, captions, height)
    else:
        corner = answer or [np.full_like(before[0], PAPER)]
        below = ["asked for" * len(answer), *(f"attention, {name}" for name in edits)]
        strip = sheet([before + after, corner + looked], [["before", *told], below], height)
    title = textwrap.shorten(subject.instruction, strip.shape[1] // LETTER, placeholder=" \u2026")
    return sheet([[strip]], [[f"\u201c{title}\u201d"]], strip.shape[0])


def in_words(edited: Edited) -> list[str]:
    """The verdict: "done" or "not done", "kept" or "not kept"; nothing where there is none."""
    return [name if true else f"not {name}" for name, true in edited.verdict.items()]


def heat_map(picture: Picture, share: NDArray[np.float32]) -> Picture:
    """`picture` `[H, W, 3]` in grey, enlarged as in an overview, under the colours of `share` `[h, w]` in [0, 1]: from
    nearly black to bright yellow."""
    below = _enlarged(picture)
    height, width = below.shape[:2]
    smooth = np.clip(cv2.resize(share, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap((255 * smooth).round().astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = cv2.cvtColor(below, cv2.COLOR_RGB2GRAY)[..., None]
    return (0.4 * grey + 0.6 * colours).round().astype(np.uint8)


def on_one_scale(maps: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """`maps` from 0 where the least attention is to 1 where the most is: `[N, h, w]`."""
    found = np.stack(maps)
    return (found - found.min()) / max(np.ptp(found), np.finfo(np.float32).tiny)


def _middle(picture: Picture, height: int, width: int) -> Picture:
    """The largest part of that shape in the middle of `picture`, at that size."""
    scale = min(picture.shape[0] / height, picture.shape[1] / width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    return resize(picture[top : top + rows, left : left + columns], height, width)


def _times(picture: Picture) -> int:
    """How often each pixel is shown in an overview, along each side."""
    return -(-SHOWN // picture.shape[0])


def _enlarged(picture: Picture) -> Picture:
    """`picture` with its pixels as squares, where it is small."""
    times = _times(picture)
    return picture.repeat(times, 0).repeat(times, 1)


@contextmanager
def _told(unet: nn.Module, tell: Callable[[], None]) -> Iterator[None]:
    """`tell` is called whenever `unet` has run: once a step, for all branches of guidance are one batch."""
    hook = unet.register_forward_hook(lambda *_: tell())
    try:
        yield
    finally:
        hook.remove()
