"""Who may import whom: rewards <- simulators <- envs, agents on their own, benchmarks on top of all."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "rewards": set(),
    "simulators": {"rewards", "backends"},
    "envs": {"rewards", "simulators", "backends"},
    "agents": {"backends"},
    "benchmarks": {"rewards", "simulators", "envs", "agents", "backends", "__version__", "TASKS"},
}
HEAVY = {"torchvision", "open_clip", "transformers", "diffusers", "peft", "timm", "bitsandbytes", "faiss"}


def imported_rooms(path: Path) -> set[str]:
    """The top-level rooms that a file imports, by relative or absolute name."""
    depth = len(path.relative_to(ROOT).parts)  # of the package in which "." is the file's own folder
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = list(path.relative_to(ROOT).parts[: depth - node.level])
            full = parts + (node.module or "").split(".") * bool(node.module)
            rooms |= {full[0]} if full else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("retouch"):
            rooms.add((node.module or "").split(".")[1] if "." in (node.module or "") else node.names[0].name)
    return rooms


def libraries(path: Path) -> set[str]:
    """The first component of every absolute import."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room):
    for path in (ROOT / room).rglob("*.py"):
        forbidden = imported_rooms(path) - MAY_IMPORT[room] - {room}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_heavy_libraries_come_through_one_door(room):
    for path in (ROOT / room).rglob("*.py"):
        assert not libraries(path) & HEAVY, f"{path.relative_to(ROOT)} imports {libraries(path) & HEAVY}: use backends"


def test_rewards_know_torch_alone():
    allowed = {"torch", "math", "copy", "collections", "typing", "dataclasses"}
    for path in (ROOT / "rewards").rglob("*.py"):
        assert libraries(path) <= allowed, path
