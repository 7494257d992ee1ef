"""How near painters come to photographs that none of them has seen, over strokes 5 to 1,000.

    python -m retouch.benchmarks.paint_curve [--painters WEIGHTS ...]

The shipped painter beside a random policy, the best one-colour canvas, model-free DDPG (trained here), and gradient
descent on the strokes, which is the bound; 128 pixels, the photographs of scikit-image. Writes ``curve.json``,
``curve.png`` and ``paintings.png``, and goes on where it was stopped.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ..agents.rollout import Agent
from ..envs.core import as_unit
from ..envs.stroke_paint import StrokePaint
from ..envs.vector import TorchVectorEnv
from ..rewards.pixel import l2
from .checkpoint import write_text
from .optimise import optimise
from .painter_policies import PAINTER_WEIGHTS, painter
from .plan import plan_run
from .policies import BestColour, Random
from .train import train, trained_agent

COUNTS = (5, 10, 25, 50, 100, 200, 500, 1000)
OPTIMISED = (5, 10, 25, 50, 100, 200)
SEEDS = (0, 1, 2)
STROKES = 5  # a bundle
MODEL_FREE = (
    "env.steps=200",
    "env.targets=embedded:512",
    "num_envs=16",
    "rollout=20",
    "updates=40",
    "agent.batch=32",
    "agent.updates=10",
    "eval_every=1000",
    "checkpoint_every=20",
)
PICTURED = 200  # strokes of the paintings that are shown


def photographs() -> StrokePaint:
    return StrokePaint(targets="photos", split="all", steps=max(COUNTS) // STROKES, strokes=STROKES)


@torch.no_grad()
def play(task: StrokePaint, agent: Agent, seed: int) -> dict[int, Tensor]:
    """The canvases ``[photos, 3, H, W]`` after each of ``COUNTS`` strokes."""
    torch.manual_seed(seed)
    env = TorchVectorEnv(task, len(task.targets), tensors="torch")
    obs, _ = env.reset(seed=seed, options={"index": list(range(env.num_envs))})
    kept = {}
    for step in range(1, task.steps + 1):
        obs, *_ = env.step(agent.act(obs, explore=False)[0])
        if step * STROKES in COUNTS:
            kept[step * STROKES] = env.state.canvas
    return kept


def optimised(task: StrokePaint, seed: int) -> dict[int, Tensor]:
    """As ``play``, after ``OPTIMISED`` strokes: each by a descent of its own, a bound for just so many."""
    target = as_unit(task.targets[torch.arange(len(task.targets))].image)
    black, kept = torch.zeros_like(target), {}
    for count in OPTIMISED:
        kept[count] = task.renderer.paint(black, optimise(target, count, task.renderer, seed=seed))
        print(f"optimise, seed {seed}: {count} strokes", flush=True)
    return kept


def model_free(task: StrokePaint, seed: int, out: Path) -> dict[int, Tensor]:
    plan = plan_run("StrokePaint-v0", "ddpg", [*MODEL_FREE, f"seed={seed}"])
    folder = out / f"ddpg/seed{seed}"
    if not train(plan, folder, lambda p: print(f"\rddpg seed {seed}: {p.update}/{p.updates}", end="", flush=True)):
        raise KeyboardInterrupt
    return play(task, trained_agent(plan, folder, task), seed)


def arms(task: StrokePaint, painters: list[Path], out: Path) -> dict[str, list[Callable[[], dict[int, Tensor]]]]:
    """Each arm's seeds, as what yields its canvases."""
    return {
        "random": [partial(play, task, Random(task), seed) for seed in SEEDS],
        "one colour": [partial(play, task, BestColour(task), 0)],
        "model-free DDPG": [partial(model_free, task, seed, out) for seed in SEEDS],
        "painter": [partial(play, task, painter(task, weights), 0) for weights in painters],
        "optimiser": [partial(optimised, task, seed) for seed in SEEDS],
    }


def measure(task: StrokePaint, painters: list[Path], out: Path) -> dict[str, list[dict[str, list[float]]]]:
    """``{arm: [{count: [L2 of each photograph]}, one a seed]}``; the first seed's paintings are kept as files."""
    known = out / "curve.json"
    found: dict[str, list[dict[str, list[float]]]] = json.loads(known.read_text())["l2"] if known.is_file() else {}
    target = as_unit(task.targets[torch.arange(len(task.targets))].image)
    for arm, seeds in arms(task, painters, out).items():
        done = found.setdefault(arm, [])
        for paint in seeds[len(done) :]:
            canvases = paint()
            if not done:
                np.save(out / f"{arm.replace(' ', '-')}.npy", (canvases[PICTURED] * 255).round().byte().numpy())
            done.append({str(count): l2(canvas, target).tolist() for count, canvas in canvases.items()})
            write_text(known, json.dumps({"photographs": task.targets.names, "l2": found}, indent=1) + "\n")
    return found


def over_photographs(seeds: list[dict[str, list[float]]]) -> dict[int, np.ndarray]:
    """``{count: [seeds]}``, the mean over the photographs."""
    return {int(count): np.array([np.mean(seed[count]) for seed in seeds]) for count in seeds[0]}


def table(found: dict[str, list[dict[str, list[float]]]]) -> Table:
    out = Table("L2 after strokes", *map(str, COUNTS), title="Mean over the photographs; ± half the range over seeds")
    for arm, seeds in found.items():
        means = over_photographs(seeds)
        cells = [f"{at.mean():.4f}\n±{np.ptp(at) / 2:.4f}" if len(at) > 1 else f"{at[0]:.4f}" for at in means.values()]
        by_count = dict(zip(means, cells, strict=True))
        out.add_row(f"{arm}, seeds: {len(seeds)}", *(by_count.get(count, "") for count in COUNTS))
    return out


def by_photograph(names: list[str], found: dict[str, list[dict[str, list[float]]]]) -> Table:
    out = Table(f"L2 at {PICTURED} strokes", *found, "painter / optimiser")
    for i, name in enumerate(names):
        at = {arm: float(np.mean([seed[str(PICTURED)][i] for seed in seeds])) for arm, seeds in found.items()}
        out.add_row(name, *(f"{value:.4f}" for value in at.values()), f"{at['painter'] / at['optimiser']:.2f}")
    return out


def plot(found: dict[str, list[dict[str, list[float]]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for arm, seeds in found.items():
        means = over_photographs(seeds)
        counts, values = list(means), np.stack(list(means.values()), 1)
        (line,) = axes.plot(counts, values.mean(0), "o-", markersize=4, label=arm)
        axes.fill_between(counts, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="strokes", ylabel="L2 to the photograph (mean of all, 128 px)")
    axes.set_xticks(COUNTS, map(str, COUNTS))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def picture(task: StrokePaint, names: list[str], out: Path) -> None:
    """Photographs above what each arm makes of them."""
    rows = [task.targets[torch.arange(len(task.targets))].image.numpy()]
    rows += [np.load(out / f"{arm.replace(' ', '-')}.npy") for arm in names]
    sheet = np.concatenate([np.concatenate(list(row), 2) for row in rows], 1).transpose(1, 2, 0)
    cv2.imwrite(str(out / "paintings.png"), sheet[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--painters", type=Path, nargs="+", default=[PAINTER_WEIGHTS], help="weights, a file a seed")
    parser.add_argument("--out", type=Path, default=Path("runs/paint-curve"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    task = photographs()
    found = measure(task, given.painters, given.out)
    plot(found, given.out / "curve.png")
    picture(task, list(found), given.out)
    console = Console(width=150)
    console.print(table(found), by_photograph(task.targets.names, found))


if __name__ == "__main__":
    main()
