"""How many instructions an editor follows, by the exact checker of the embedded world; and its card."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..simulators.ddim import DDIM
from ..simulators.edit_language import KINDS
from ..simulators.editor import Editor, sample
from ..simulators.edits import Edits, make_edits

STEPS = (10, 20)
SCALES = {"": (1.0, 1.0), ", guidance 4 / 1.2": (4.0, 1.2)}  # of the text and of the image
BATCH = 256
COLUMNS = ("success", *KINDS, "done", "kept")

Edit = Callable[[Tensor, Sequence[str]], Tensor]  # sources [B, 3, S, S] in [0, 1] and what is asked -> results
Table = dict[str, dict[str, float]]  # who edits -> shares in [0, 1] of COLUMNS, and edits/s


def measure(editor: Editor, count: int, seed: int = 1) -> Table:
    """Shares over `count` held-out problems of the editor at each number of steps, and of returning the input."""
    problems = make_edits(f"embedded:{count}", split="test", seed=seed)
    table = {"return the input": shares(problems, lambda image, instruction: image)}
    for steps in STEPS:
        ddim = DDIM(editor.schedule, steps)
        for guidance, scale in SCALES.items():
            name, start = f"{steps} steps{guidance}", time.monotonic()
            table[name] = shares(problems, sampler(editor, ddim, scale, seed))
            table[name]["edits/s"] = count / (time.monotonic() - start)
            print(f"editor: {name}: success {table[name]['success']:.1%}", flush=True)
    return table


def sampler(editor: Editor, ddim: DDIM, scale: tuple[float, float] = (1.0, 1.0), seed: int = 0) -> Edit:
    """The reference sampler as an `Edit`, its noise drawn anew from `seed` on."""
    generator = torch.Generator().manual_seed(seed)
    return lambda image, instruction: sample(editor, ddim, image, instruction, scale, generator)


def shares(problems: Edits, edit: Edit) -> dict[str, float]:
    """Shares of `problems`: solved, solved of each kind, edited as asked, and kept elsewhere; NaN where there are none.

    Solved is what was edited as asked and kept elsewhere.
    """
    parts = []
    for index in torch.arange(len(problems)).split(BATCH):
        edits = problems[index]
        result = edit(edits.source.float() / 255, [problems.instructions[i] for i in index.tolist()])
        verdict = problems.check(result, index)
        parts.append(torch.stack([edits.kind.float(), verdict["done"], verdict["kept"]]))
    kind, done, kept = torch.cat(parts, 1)
    solved = done * kept
    by_kind = [solved[kind == number] for number in range(len(KINDS))]
    return {name: float(part.mean()) for name, part in zip(COLUMNS, (solved, *by_kind, done, kept), strict=True)}


def card(training: str, table: Table, count: int) -> str:
    """The model card, in Markdown."""
    lines = [
        "# The editor of the embedded world",
        "",
        training,
        "",
        f"Share of {count:,} held-out problems, other scenes of the same grammar, by the exact checker: solved, solved "
        "of each kind, edited as asked, kept elsewhere. Sampled by DDIM with eta 1; guidance is the text's / the "
        "image's; edits/s in batches on the machine that trained it:",
        "",
        f"| | {' | '.join(COLUMNS)} | edits/s |",
        f"| --- |{' ---: |' * (len(COLUMNS) + 1)}",
    ]
    for name, row in table.items():
        rate = f"{row['edits/s']:,.0f}" if "edits/s" in row else "-"
        lines.append(f"| {name} | {' | '.join(f'{row[column]:.1%}' for column in COLUMNS)} | {rate} |")
    return "\n".join(lines) + "\n"
