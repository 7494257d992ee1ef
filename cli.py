"""The command line. Nothing heavy is imported before a command needs it."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import __version__, backends
from .benchmarks.bench_command import bench
from .benchmarks.dialog_command import dialog
from .benchmarks.doctor_command import doctor
from .benchmarks.edit_command import edit
from .benchmarks.paint_command import paint
from .benchmarks.report_command import report
from .benchmarks.search_command import search
from .benchmarks.speed_command import speed

THREADS = 8  # images of this size give no more of them work that is worth their waking


class Commands(TyperGroup):
    """Errors of the user's making end in one line and exit code 2; ``RETOUCH_DEBUG=1`` shows where they arose."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever read our output has gone: typer knows what to do
            raise
        except (ValueError, OSError, ImportError) as error:
            if os.environ.get("RETOUCH_DEBUG") == "1":
                raise
            typer.echo(f"retouch: {error}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Task = Annotated[str, typer.Argument(help="A task's id, as `retouch tasks` lists them.", show_default=False)]
Settings = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", show_default=False)]
Words = Annotated[list[str] | None, typer.Argument(metavar="AGENT KEY=VALUE", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: the accelerator where there is one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


app.command()(paint)
app.command()(edit)
app.command()(dialog)
app.command()(search)
app.command()(doctor)
app.command()(bench)
app.command()(report)
app.command()(speed)


def main() -> None:
    app()


def print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def retouch(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True)] = False,
) -> None:
    """Image-editing environments for Gymnasium, with agents, rewards and a benchmark.

    Examples:

        retouch paint photo.jpg

        retouch eval StrokePaint-v0

        retouch train StrokePaint-v0 ddpg-model seed=1 env.size=64

        retouch COMMAND --help
    """
    calm_threads()
    backends.keep_freed_memory()


def calm_threads() -> None:
    """To be called before torch is imported: its threads would wait by spinning, 50 times slower on shared cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(min(cores, THREADS)))
    calm = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}
    if not calm.keys() & os.environ.keys():
        os.environ.update(calm)


@app.command()
def train(
    task: Task,
    agent: Annotated[str, typer.Argument(help="ppo, reinforce, ddpg or ddpg-model.", show_default=False)],
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder [default: runs/TASK/AGENT/seedN].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run, bit for bit.")] = False,
    preset: Annotated[str, typer.Option(help="Published settings to begin from: instructrl4pix.")] = "",
) -> None:
    """Train AGENT on TASK.

    Bare keys set the run (seed, num_envs, rollout, updates, eval_every, device ...), `env.KEY` the task's arguments,
    `agent.KEY` the agent's, `policy.KEY` the networks'. A wrong key names the right ones. Ctrl-C keeps what is done.

        retouch train StrokePaint-v0 ppo updates=200 agent.lr=1e-4

        retouch train StrokePaint-v0 ddpg-model policy.network=resnet env.reward=wgan

        retouch train ImageEdit-v0 ppo --preset instructrl4pix env.model=timbrooks/instruct-pix2pix

        retouch train StrokePaint-v0 ppo --resume
    """
    from .benchmarks import display, runs
    from .benchmarks.train import train

    plan, folder = runs.open_run(task, agent, settings or [], out, resume, preset)
    with display.progress(plan, folder) as tell:
        finished = train(plan, folder, tell)
    display.end_of_run(plan, folder, finished)
    if not finished:
        raise typer.Exit(130)


@app.command("eval")
def evaluate(
    task: Task,
    words: Words = None,
    episodes: Annotated[int, typer.Option(min=1, help="How many, the same ones for every agent.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Decides which.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Play fixed episodes of TASK and measure them, with bootstrap 95 % intervals.

    AGENT is a run's folder or a named policy (default: shipped), `env.KEY=VALUE` changes the task's arguments.
    Targets are those that training does not see.

        retouch eval StrokePaint-v0

        retouch eval StrokePaint-v0 random env.targets=photos env.steps=200

        retouch eval StrokePaint-v0 runs/StrokePaint-v0/ppo/seed0 --json
    """
    from .benchmarks import display
    from .benchmarks.evaluate import play, summary
    from .benchmarks.players import make_player, named_first

    agent, settings = named_first(words or [], "shipped")
    player = make_player(task, agent, settings, device)
    metrics = summary(play(player.task, player.agent, episodes, seed))
    if as_json:
        shown = {name: asdict(interval) for name, interval in metrics.items()}
        print_json({"task": task, "agent": agent, "episodes": episodes, "seed": seed, "metrics": shown})
    else:
        display.evaluation(f"{agent} on {task}: {episodes} episodes, seed {seed}", metrics, player.task)


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the tasks: their spaces, who can play them, and where they are from."""
    from .benchmarks import catalogue, display

    (print_json if as_json else display.tasks)(catalogue.entries())


@app.command("make-weights")
def make_weights(
    name: Annotated[str, typer.Argument(help="renderer, painter, editor, language, fields …", show_default=False)],
    minutes: Annotated[float | None, typer.Option(min=0, help="How long to train [default: as shipped].")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train anew the weights that are shipped.

        retouch make-weights renderer --minutes 1
    """
    from .benchmarks.weights import make

    make(name, minutes, seed)


@app.command("prepare-cub")
def prepare_cub(
    folder: Annotated[Path, typer.Argument(help="CUB-200-2011, where images.txt lies.", show_default=False)],
    detector: Annotated[str, typer.Option(help="cv2, or a file or name of Mask R-CNN weights.")] = "cv2",
    classifier: Annotated[str | None, typer.Option(help="A file or name of classifier weights.")] = None,
    device: Device = "auto",
) -> None:
    """Write the masks, boxes and focus maps of Semantic Guidance for CUB-200-2011. Interrupted, it goes on.

        retouch prepare-cub data/CUB_200_2011
    """
    from .benchmarks import display
    from .benchmarks.prepare_cub import prepare_cub
    from .benchmarks.recipes import pick_device

    with display.counted("images") as tell:
        report = prepare_cub(folder, detector, classifier, device=pick_device(device), progress=tell)
    display.preparation(report)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))
