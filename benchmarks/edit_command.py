"""``retouch edit``: a picture is edited as an instruction says."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # the list of commands must not wait for torch
    from ..simulators.editor import Editor
    from .edit import Edited, Sampling, Subject
    from .pictures import Picture

DTYPES = ("float32", "float16", "bfloat16")
EMBEDDED = {"guidance": (1.0, 1.0), "eta": 1.0}  # as the shipped editor is measured
PIPELINE = {"guidance": (7.5, 1.5), "eta": 0.0}  # as diffusers has it

Image = Annotated[
    str, typer.Argument(help="A file, a photograph of scikit-image by name, or embedded:N: held-out problem N.")
]
Instruction = Annotated[
    str | None, typer.Argument(help="What to do [default: what the problem asks for].", show_default=False)
]
Model = Annotated[
    str,
    typer.Option(help="shipped, a .safetensors file, or an InstructPix2Pix pipeline: its name on the hub, a folder."),
]
Lora = Annotated[Path | None, typer.Option(help="A folder with an adapter, as `retouch train` and diffusers save it.")]
Compare = Annotated[bool, typer.Option("--compare", help="With --lora: also edit without, from the same noise.")]
Guidance = Annotated[
    float | None,
    typer.Option("--guidance", "--guidance-scale", help="By the text [default: 1, of a pipeline 7.5]."),
]
ImageGuidance = Annotated[
    float | None,
    typer.Option("--image-guidance", "--image-guidance-scale", help="By IMAGE [default: 1, of a pipeline 1.5]."),
]
Eta = Annotated[float | None, typer.Option(min=0, max=1, help="Noise of the sampler [default: 1, of a pipeline 0].")]
Size = Annotated[int | None, typer.Option(min=8, help="Longest side for a pipeline, pixels [default: its own].")]
Slicing = Annotated[bool, typer.Option("--attention-slicing", help="Of a pipeline: in less memory, slower.")]
Checker = Annotated[bool, typer.Option("--safety-checker", help="The pipeline's own; flagged pictures come out black.")]


def edit(
    image: Image,
    instruction: Instruction = None,
    model: Model = "shipped",
    lora: Lora = None,
    compare: Compare = False,
    steps: Annotated[int, typer.Option(min=1, help="Of denoising.")] = 20,
    guidance: Guidance = None,
    image_guidance: ImageGuidance = None,
    eta: Eta = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the noise.")] = 0,
    size: Size = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write to [default: edits/NAME].")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the accelerator where there is one.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "float32",
    attention_slicing: Slicing = False,
    safety_checker: Checker = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")] = False,
) -> None:
    """Edit IMAGE as INSTRUCTION says.

    Writes the edited picture, and an overview: before, after, and where the editor looked for the words of the
    instruction. The embedded editor works at 32 x 32 pixels and in a language of its own: anything else says what can
    be said. A pipeline keeps IMAGE's shape, cut a little at the sides where its networks need even numbers.

        retouch edit embedded:3

        retouch edit shapes.png "make the red circle blue" --lora runs/ImageEdit-v0/ppo/seed0/lora --compare

        retouch edit photo.jpg "make it snow" --model timbrooks/instruct-pix2pix --dtype bfloat16
    """
    from .display import status
    from .edit import Sampling, cut, find_subject, in_words, is_embedded, write_files

    if compare and lora is None:
        raise ValueError("--compare shows an editor with and without an adapter: give one by --lora FOLDER")
    subject = find_subject(image, instruction)
    with status() as tell:
        tell(f"loading {model}")
        editor = load(model, lora, device, dtype, attention_slicing, safety_checker)
    usual: Any = EMBEDDED if is_embedded(editor) else PIPELINE
    by_text, by_image = (
        default if given is None else given
        for given, default in zip((guidance, image_guidance), usual["guidance"], strict=True)
    )
    sampling = Sampling(steps, (by_text, by_image), usual["eta"] if eta is None else eta, seed)
    source, started = cut(subject.picture, editor, size), time.monotonic()
    try:
        edits = work(editor, source, subject, sampling, compare)
    except KeyboardInterrupt:
        typer.echo("stopped: nothing was written", err=True)
        raise typer.Exit(130) from None
    result: dict[str, Any] = {
        "instruction": subject.instruction,
        "picture": [*subject.picture.shape[1::-1]],
        "size": [*source.shape[1::-1]],
        "verdicts": {name: in_words(edited) for name, edited in edits.items() if edited.verdict},
        "seconds": time.monotonic() - started,
        "files": [str(path) for path in write_files(out or Path("edits") / subject.name, subject, source, edits)],
    }
    print_result(result, as_json)


def load(model: str, lora: Path | None, device: str, dtype: str, slicing: bool, checker: bool) -> "Editor":
    """The editor with its adapter. Raises ValueError or OSError for what is not there or does not fit."""
    import torch

    from ..simulators.adapters import load_adapter
    from ..simulators.editors import load_editor
    from .recipes import pick_device

    if dtype not in DTYPES:
        raise ValueError(f"no dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    editor = load_editor(model, pick_device(device), getattr(torch, dtype), slicing, checker)
    if lora is not None:
        load_adapter(editor, lora)
    return editor


def work(
    editor: "Editor", source: "Picture", subject: "Subject", sampling: "Sampling", compare: bool
) -> dict[str, "Edited"]:
    """What comes of it by the name of its file, showing progress on standard error."""
    from itertools import count

    from ..simulators.adapters import without_adapter
    from .display import counted
    from .edit import edit

    steps, taken = sampling.steps * (1 + compare), count(1)
    edits: dict[str, Edited] = {}
    with counted("steps") as tell:
        tell(0, steps)
        if compare:
            with without_adapter(editor):
                edits["base"] = edit(editor, source, subject, sampling, lambda: tell(next(taken), steps))
        edits["fine-tuned" if compare else "edited"] = edit(
            editor, source, subject, sampling, lambda: tell(next(taken), steps)
        )
    return edits


def print_result(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result))
        return
    before, now = (f"{width} x {height}" for width, height in (result["picture"], result["size"]))
    shown = {"asked": result["instruction"], "size": now if before == now else f"{now}, the middle of {before} resized"}
    shown |= {name: ", ".join(words) for name, words in result["verdicts"].items()}
    for label, value in (shown | {"seconds": f"{result['seconds']:.1f}"}).items():
        typer.echo(f"{label:12}{value}")
    for number, path in enumerate(result["files"]):
        typer.echo(f"{'files' if number == 0 else '':12}{path}")
