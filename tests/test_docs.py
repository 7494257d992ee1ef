"""The documentation builds without a warning, and has a page for everything."""

import csv
import html
import json
import re
from pathlib import Path

import pytest

import retouch
from retouch.benchmarks.learners import AGENTS
from retouch.benchmarks.recipes import task_class

DOCS = Path(__file__).parents[1] / "docs"
PLAYERS = list(AGENTS)  # ours alone: others may enrol
RESULTS = DOCS / "results"


def page(name):
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages, of a build in which a warning is an error."""
    build = pytest.importorskip("sphinx.cmd.build").build_main
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    folder = tmp_path_factory.mktemp("site")
    assert build(["-W", "--keep-going", "-q", "-d", str(folder / "trees"), str(DOCS), str(folder / "html")]) == 0
    return folder / "html"


def text(path):
    """What a reader sees of a page."""
    article = re.search(r"<article.*?</article>", path.read_text(encoding="utf-8"), re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", article.group(0))).split())


def test_every_task_has_its_page(task_id):
    task = task_class(task_id)
    assert page(f"tasks/{task_id}").startswith(f"# {task_id}\n")
    assert f".. autoclass:: {task.__module__}.{task.__name__}\n" in page(f"tasks/{task_id}")


def test_there_is_no_page_of_what_is_not_there():
    assert {path.stem for path in (DOCS / "tasks").glob("*.md")} == {*retouch.TASKS, "index"}
    assert {path.stem for path in (DOCS / "agents").glob("*.md")} == {*PLAYERS, "index"}


@pytest.mark.parametrize("name", PLAYERS)
def test_every_agent_has_its_page_and_settings(name):
    config = AGENTS[name].config
    shown = page(f"agents/{name}")
    assert f"`{name}`" in shown.splitlines()[0]
    assert f"../../agents/{config.__module__.rpartition('.')[2]}.py\n:pyobject: {config.__name__}\n" in shown


def test_every_reward_is_on_the_page_of_rewards():
    named = re.findall(r"automodule:: retouch\.rewards\.(\w+)", page("rewards"))
    assert named == sorted({path.stem for path in (DOCS.parent / "rewards").glob("*.py")} - {"__init__"})


def test_every_example_is_shown():
    shown = set(re.findall(r"literalinclude} \.\./examples/(\w+)\.py", page("own")))
    assert shown == {path.stem for path in (DOCS.parent / "examples").glob("*.py")}


@pytest.mark.slow
def test_it_builds_without_a_warning_and_says_what_docstrings_say(site):
    painting = text(site / "tasks/StrokePaint-v0.html")
    assert "Paint a target image, one bundle of strokes per step." in painting
    for section in ("Observation", "Action", "Reward", "Episode end", "Arguments", "Reference"):
        assert f"{section}:" in painting
    assert "<strong>Observation</strong>" in (site / "tasks/StrokePaint-v0.html").read_text()
    assert "clip: float = 0.2" in text(site / "agents/ppo.html")
    commands = text(site / "command-line.html")
    assert "@COMMANDS@" not in commands and "--resume: Go on with the run, bit for bit." in commands
    assert "class WhiteBalance" in text(site / "own.html")


def test_the_papers_numbers_are_those_of_the_results():
    shown = page("reproduce")
    for row in json.loads((RESULTS / "orderings.json").read_text()):
        mean, low, high = row["difference"]
        assert f"| {mean:.4f} [{low:.4f}, {high:.4f}] |" in shown
    for row in json.loads((RESULTS / "edit-improve.json").read_text()):
        if row["metric"] == "success":
            mean, low, high = (100 * value for value in row["gain"])
            before, after = (100 * row[name][0] for name in ("untrained", "after"))
            assert f"| {before:.1f} % | {after:.1f} % | {mean:+.1f} [{low:+.1f}, {high:+.1f}] |" in shown
    told = csv.DictReader((RESULTS / "edit-ablation.csv").open())
    rows = {row["agent"]: row for row in told if row["metric"] == "success"}
    labels = {"attention": "attention alone", "clip": "clipped MAE alone", "both": "both, as the paper"}
    for policy, label in labels.items():
        mean, low, high = (100 * float(rows[policy][name]) for name in ("value", "low", "high"))
        assert f"| {label} | {mean:.1f} ±{(high - low) / 2:.1f} % |" in shown
    faces = json.loads((RESULTS / "face-study.json").read_text())["rows"]
    drift = {row["arm"]: row["mean"][0] for row in faces if row["metric"] == "feature_distance/round_3"}
    assert f"| {drift['field']:.3f} ±" in shown and f"**{drift['ppo']:.3f} ±".replace("**0.", "**.") in shown
