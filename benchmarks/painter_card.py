"""How well a painter paints photographs that nobody trained on, beside its bounds; and its card."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..agents.policies.painter import SHAPE, Painter, StrokeNet
from ..simulators.renderers import make_renderer
from ..simulators.targets import make_targets
from .optimise import optimise

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
SIZE = 128  # pixels
BUNDLE = 5
COUNTS = (5, 10, 25, 50, 100, 200, 500, 1000)  # strokes

Table = dict[str, dict[str, list[float]]]  # photograph -> painter -> L2 after each of some numbers of strokes


def measure(net: StrokeNet, counts: Sequence[int] = COUNTS) -> Table:
    """L2 on photographs after `counts` strokes, multiples of a bundle: of the painter, of the optimiser given so many,
    of uniformly random strokes, and of the best single colour."""
    photos = make_targets("photos", size=SIZE, split="test")
    pixels = photos[torch.tensor([photos.names.index(name) for name in PHOTOGRAPHS])].image
    target, renderer = pixels.float() / 255, make_renderer("analytic", SIZE)
    black, painter, generator = torch.zeros_like(target), Painter(renderer, net), torch.Generator().manual_seed(0)
    rows: dict[str, list[Tensor]] = {"painter": [], "optimiser": [], "random strokes": [], "one colour": []}
    painted, random, done = black, black, 0
    for count in counts:
        for step in range(done // BUNDLE, count // BUNDLE):
            obs = {"canvas": as_bytes(painted), "target": pixels, "step": torch.full((len(target),), step)}
            painted = renderer.paint(painted, painter(obs).view(len(target), BUNDLE, -1))
            random = renderer.paint(random, torch.rand(len(target), BUNDLE, SHAPE + 3, generator=generator))
        done, optimised = count, renderer.paint(black, optimise(target, count, renderer))
        canvases = painted, optimised, random, target.mean((2, 3), keepdim=True)
        for row, canvas in zip(rows.values(), canvases, strict=True):
            row.append((canvas - target).square().mean((1, 2, 3)))
        print(f"painter: measured at {count} strokes", flush=True)
    return {
        name: {who: [float(errors[number]) for errors in row] for who, row in rows.items()}
        for number, name in enumerate(PHOTOGRAPHS)
    }


def as_bytes(image: Tensor) -> Tensor:
    return (image * 255).round().to(torch.uint8)


def card(training: str, table: Table, counts: Sequence[int]) -> str:
    """The model card, in Markdown."""
    lines = [
        "# The painter",
        "",
        training,
        "",
        f"L2 (mean squared error over pixels and channels in [0, 1]) on photographs of scikit-image at {SIZE} px after "
        "so many strokes, from a black canvas. The optimiser (`benchmarks/optimise.py`) starts anew for each number:",
        "",
        f"| photograph | | {' | '.join(map(str, counts))} |",
        f"| --- | --- |{' ---: |' * len(counts)}",
    ]
    for name, rows in table.items():
        lines += [f"| {name} | {who} | {' | '.join(f'{x:.4f}' for x in row)} |" for who, row in rows.items()]
    return "\n".join(lines) + "\n"
