"""``retouch doctor``: what would keep a run from learning, before it is begun."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

Task = Annotated[str, typer.Argument(help="A task's id, as `retouch tasks` lists them.", show_default=False)]
Words = Annotated[list[str] | None, typer.Argument(metavar="AGENT KEY=VALUE", show_default=False)]
Model = Annotated[str, typer.Option(help="Short for env.model=NAME.", show_default=False)]
Preset = Annotated[str, typer.Option(help="As of `retouch train`.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


def doctor(task: Task, words: Words = None, model: Model = "", preset: Preset = "", as_json: AsJson = False) -> None:
    """Examine a run before it is begun: play one rollout of it, and say what would keep it from learning.

    AGENT (default: ppo) and the settings are those of `retouch train`. Ends with exit code 1 if a check fails.

        retouch doctor ImageEdit-v0 env.group=8

        retouch doctor ImageEdit-v0 --preset instructrl4pix --model timbrooks/instruct-pix2pix
    """
    from . import display
    from .doctor import diagnose
    from .plan import plan_run
    from .players import named_first

    agent, settings = named_first(words or [], "ppo")
    plan = plan_run(task, agent, settings + [f"env.model={model}"] * bool(model), preset)
    with display.status() as tell:
        found = diagnose(plan, tell)
    if as_json:
        told = {"task": task, "agent": agent, "findings": [asdict(finding) for finding in found]}
        typer.echo(json.dumps(told, indent=2))
    else:
        display.findings(f"{agent} on {task} ({plan.run.device})", found)
    if any(finding.verdict == "fail" for finding in found):
        raise typer.Exit(1)
