"""Trains the small neural stroke renderer on strokes drawn by OpenCV, measures all renderers, writes the card."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ..simulators.neural_renderer import WEIGHTS, NeuralRenderer, PublishedRenderer
from ..simulators.renderers import ReferenceRenderer, Renderer, make_renderer

SIZE = 128
BATCH = 16
LEARNING_RATE = 3e-3  # at the start; falls to 0 along a cosine over the given time


def make(out: str | Path = WEIGHTS.parent, minutes: float = 8.0, seed: int = 0, test_strokes: int = 10_000) -> dict:
    """Train for `minutes` of processor time, write `renderer.safetensors` and its card `renderer.md` into `out`.

    Returns what the card says. How many strokes fit into the time depends on the machine; which they are, on `seed`.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    renderer, strokes = train(minutes, seed)
    facts = {"seed": seed, "minutes": minutes, "strokes": strokes, "threads": torch.get_num_threads()}
    metadata = {name: str(value) for name, value in facts.items()}
    _write(out / WEIGHTS.name, lambda path: save_file(renderer.state_dict(), path, metadata))
    rows = measure({"neural (these weights)": renderer, **_others()}, test_strokes, seed + 1)
    text = card(facts, rows, test_strokes, sum(weight.numel() for weight in renderer.parameters()))
    _write(out / "renderer.md", lambda path: path.write_text(text))
    print(text)
    return {**facts, "renderers": rows}


def train(minutes: float, seed: int) -> tuple[NeuralRenderer, int]:
    """A small renderer fitted to uniformly random strokes, each seen once, and how many they were."""
    torch.manual_seed(seed)
    reference, renderer = ReferenceRenderer(SIZE), NeuralRenderer(SIZE)
    optimiser = torch.optim.Adam(renderer.parameters(), LEARNING_RATE)
    start, step, error, done = time.process_time(), 0, 0.06, 0.0
    while done < 1:
        shape = torch.rand(BATCH, renderer.num_params)
        loss = F.mse_loss(renderer(shape), reference(shape))
        optimiser.zero_grad()
        loss.backward()
        spent = time.process_time() - start
        done = min(1.0, spent / (60 * minutes))
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * 0.5 * float(1 + torch.cos(torch.tensor(done * torch.pi)))
        optimiser.step()
        error += 0.02 * (loss.item() - error)
        step += 1
        if step % 100 == 0 or done == 1:
            rate, left = BATCH * step / spent, 60 * minutes * (1 - done)
            print(f"renderer: {done:4.0%}, mse {error:.5f}, {rate:,.0f} strokes/s, {left:.0f} s left", flush=True)
    return renderer.requires_grad_(False).eval(), BATCH * step


def measure(renderers: dict[str, Renderer], strokes: int, seed: int) -> dict[str, dict[str, float]]:
    """For each renderer its `mse` against the reference over random strokes, beside the empty canvas, and strokes/s."""
    shape = torch.rand(strokes, Renderer.num_params, generator=torch.Generator().manual_seed(seed))
    reference, squared = ReferenceRenderer(SIZE), dict.fromkeys([*renderers, "empty canvas"], 0.0)
    for part in shape.split(100):
        truth = reference(part)
        for name, renderer in renderers.items():
            with torch.no_grad():
                squared[name] += float((renderer(part) - truth).square().sum())
        squared["empty canvas"] += float(truth.square().sum())
    rows = {name: {"mse": total / (strokes * SIZE**2)} for name, total in squared.items()}
    for name, renderer in {**renderers, "published network (untrained)": PublishedRenderer(SIZE)}.items():
        renderer.requires_grad_(False)
        rows.setdefault(name, {}).update(speed(renderer, shape[:96]))
    return rows


def speed(renderer: Renderer, shape: Tensor) -> dict[str, float]:
    """Strokes/s `forward`, and `backward`: forward and back to the strokes, each the best of 5."""
    wanted = shape.clone().requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            renderer(shape)

    def backward() -> None:
        torch.autograd.grad(renderer(wanted).square().sum(), wanted)

    rates = {"forward": len(shape) / _best_seconds(forward)}
    if not isinstance(renderer, ReferenceRenderer):
        rates["backward"] = len(shape) / _best_seconds(backward)
    return rates


def card(facts: dict[str, float], rows: dict[str, dict[str, float]], strokes: int, weights: int) -> str:
    """The model card, in Markdown."""
    lines = [
        "# The small neural stroke renderer",
        "",
        f"`renderer.safetensors`, {weights:,} weights, made by `retouch make-weights renderer`: the convolutional "
        f"`NeuralRenderer`, trained for {facts['minutes']:g} minutes of processor time on {facts['threads']} thread(s) "
        f"from seed {facts['seed']} on {facts['strokes']:,} strokes at {SIZE} px, uniformly random, drawn by OpenCV "
        "as the published generator does (`simulators/raster.py`) and seen once.",
        "",
        f"Mean squared error against that reference over {strokes:,} other random strokes, and strokes/s on the "
        f"machine that trained it ({SIZE} px, batch 96, the best of 5; backward: forward and back to the strokes):",
        "",
        "| renderer | MSE | forward | forward + backward |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        error = f"{row['mse']:.5f}" if "mse" in row else "-"
        rates = (f"{row[kind]:,.0f}" if kind in row else "-" for kind in ("forward", "backward"))
        lines.append(f"| {' | '.join([name, error, *rates])} |")
    return "\n".join(lines) + "\n"


def _others() -> dict[str, Renderer]:
    return {"analytic": make_renderer("analytic", SIZE), "cv2 (the reference)": make_renderer("cv2", SIZE)}


def _best_seconds(function: Callable[[], None]) -> float:
    seconds = []
    for _ in range(6):  # the first warms up
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _write(path: Path, save: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save(temporary)
    temporary.chmod(0o644)  # safetensors writes for the owner alone
    temporary.replace(path)
