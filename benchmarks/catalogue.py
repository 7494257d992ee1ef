"""What there is to play, and who can play it."""

from inspect import cleandoc
from typing import Any

from .. import TASKS
from .recipes import agents, environment, make_task, policies


def entries() -> list[dict[str, Any]]:
    """Every task: id, observation spaces, action space, agents that can learn it, named policies and reference."""
    return [entry(name) for name in TASKS]


def entry(name: str) -> dict[str, Any]:
    task = make_task(name, environment(name, {}))
    return {
        "id": name,
        "observation": {key: str(space) for key, space in task.observation_space.items()},
        "action": str(task.action_space),
        "agents": agents(task),
        "policies": sorted(policies(task)),
        "reference": reference(type(task)),
    }


def reference(task: type) -> str:
    """The section ``Reference`` of a task's docstring, on one line."""
    _, _, section = cleandoc(task.__doc__ or "").partition("\nReference:")
    return " ".join(section.partition("\n\n")[0].split())
