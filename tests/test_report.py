import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import typer
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from retouch.benchmarks.report import fill_readme, write_report
from retouch.benchmarks.report_command import report
from retouch.benchmarks.report_data import line_numbers, read_results
from retouch.benchmarks.report_figures import figures, learning
from retouch.benchmarks.report_plots import along_episodes, figure_of, keep_in_view, styles
from retouch.benchmarks.report_tables import all_metrics, sheets
from retouch.benchmarks.sheets import Cell, Sheet, column
from retouch.benchmarks.statistics import Interval

PAINT, EDIT, FOREIGN = "StrokePaint-v0", "ImageEdit-v0", "Maze-v3"
STEPS = [0, 100, 200]


def run(task, agent, seed=0, status="done", **more):
    named = {"id": f"{task}/{agent}/seed{seed}-abc", "task": task, "agent": agent, "seed": seed, "status": status}
    where = {"commit": "0123456789abcdef-dirty", "hardware": {"cpu": "Z80", "cores": 2, "gpu": None}, "seconds": 60.0}
    return named | {"config": {"secret": "<script>"}} | where | more


def measured(task, agent, seed, score, steps=0):
    """Two episodes, ``score`` in the mean, and a straight curve to it."""
    metric = {PAINT: "l2", EDIT: "success"}.get(task, "return")
    episodes = {"return": [1.0, 3.0], metric: [score - 0.01, score + 0.01]}
    means = {"return": 2.0, metric: score, "psnr": 20.0}
    curve = {"steps": STEPS, "score": [0.0, score / 2, score], "return": [0.0, 1.0, None]} if steps else {}
    return run(task, agent, seed, metrics=means, episodes=episodes, curve=curve, steps=steps)


RUNS = [
    measured(PAINT, "random", 0, 0.2),
    measured(PAINT, "ppo", 0, 0.1, 200),
    measured(PAINT, "ppo", 1, 0.05, 200),
    measured(EDIT, "random", 0, 0.0),
    measured(EDIT, "ppo", 0, 0.4, 200),
    measured(EDIT, "ppo", 1, 0.6, 200),
    run(EDIT, "ddpg", 0, "failed", error="the critic | diverged"),
    measured(PAINT, "ddpg", 0, 0.2, 200),
    measured(PAINT, "ddpg", 1, 0.3, 200),
    run(EDIT, "sb3-sac", 0, "skipped", reason="no such actions"),
    measured(FOREIGN, "ppo", 0, 7.0, 200),
]


def make_suite(folder):
    films = [{"films": [f"{each['id']}/film.png"]} if each["agent"] == "ppo" else {} for each in RUNS]
    lines = [json.dumps(each | film) for each, film in zip(RUNS, films, strict=True)]
    (folder / "results.jsonl").write_text("\n".join(lines) + "\n")
    path = folder / f"{PAINT}/ppo/seed0-abc/film.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.full((40, 2000, 3), 200, np.uint8)).save(path)
    return folder


@pytest.fixture
def suite(tmp_path):
    return make_suite(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_report(make_suite(tmp_path_factory.mktemp("quick")))


def append(folder, text):
    with open(folder / "results.jsonl", "a") as file:
        file.write(text)


def table(folder, name):
    """The cells' texts of a sheet, by the first of each row."""
    sheet = next(sheet for sheet in sheets(figures(read_results(folder))) if sheet.name == name)
    return {row[0].text: [cell.text for cell in row[1:]] for row in sheet.rows}


# what is read


def test_of_a_run_tried_again_the_last_line_counts(suite):
    append(suite, json.dumps(measured(EDIT, "ddpg", 0, 0.3)) + "\n")
    results = read_results(suite)
    assert [own.line for own in results.of(EDIT, "ddpg")] == [12]
    assert [own.agent for own in results.undone] == ["sb3-sac"]


def test_a_line_that_a_kill_cut_short_is_no_run(suite):
    append(suite, '{"id": "x", "task": "Str')
    assert len(read_results(suite).runs) == 11


def test_a_broken_line_is_named(suite):
    append(suite, "{}\n")
    with pytest.raises(ValueError, match=r"results.jsonl, line 12 is no run"):
        read_results(suite)


def test_without_results_one_is_told_how_to_get_them(tmp_path):
    with pytest.raises(ValueError, match="retouch bench SUITE --out"):
        read_results(tmp_path)
    append(tmp_path, json.dumps(run(EDIT, "ppo", status="failed", error="no disk")) + "\n")
    with pytest.raises(ValueError, match="no run that was done; .*no disk"):
        read_results(tmp_path)


def test_line_numbers_are_gathered(suite):
    runs = read_results(suite).runs
    assert line_numbers(runs[:3]) == "1–3"
    assert line_numbers([runs[0], runs[4], runs[5], runs[9]]) == "1, 5–6, 10"


# what is estimated


def test_random_is_nothing_and_the_ceiling_one(suite):
    scores = table(suite, "scores")
    found = {agent: [cell.split()[0] for cell in cells] for agent, cells in scores.items()}
    assert found == {
        "ppo": ["0.62", "0.50"],  # 1 - .075 / .2, and .5
        "random": ["0.00", "0.00"],
        "ddpg": ["-0.25", "failed"],
        "sb3-sac": ["–", "skipped"],
    }


def test_without_random_the_stated_floor_is_taken(suite):
    path = suite / "results.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '"random"' not in line))
    results = read_results(suite)
    assert results.floor(PAINT) == 0.105
    assert results.on_scale(PAINT, 0.021) == pytest.approx(0.8)
    known = figures(results)
    assert "as stated for the task" in next(sheet for sheet in sheets(known) if sheet.name == PAINT).note


def test_agents_over_tasks(suite):
    known = figures(read_results(suite))
    assert [own.agent for own in known.overall] == ["ppo", "random", "ddpg"]
    assert known.overall[0].estimates["IQM"].mean == pytest.approx((0.5 + 0.6) / 2)  # of .4 .5 .6 .75
    assert known.overall[0].estimates["mean"].mean == pytest.approx((0.625 + 0.5) / 2)
    assert known.improvements["ppo", "random"] == Interval(1.0, 1.0, 1.0)
    assert known.improvements["random", "ppo"] == Interval(0.0, 0.0, 0.0)
    assert not any("ddpg" in pair for pair in known.improvements)
    assert set(table(suite, "aggregate")) == {"ppo", "random"}


def test_a_foreign_task_is_told_apart(suite):
    known = figures(read_results(suite))
    assert FOREIGN not in known.results.scaled and FOREIGN in known.results.tasks
    assert table(suite, FOREIGN) == {"ppo": ["7.000 ±0.010", "200", "1"]}
    assert all(FOREIGN not in own.tasks for own in known.overall)


def test_a_task_whose_metric_says_nothing_of_a_run_is_told_by_its_return(suite):
    append(suite, json.dumps(run(PAINT, "x", metrics={"l2": None, "return": 1.0}, episodes={"l2": [None]})) + "\n")
    results = read_results(suite)
    assert results.metric(PAINT) == "return" and results.scaled == [EDIT]
    assert table(suite, PAINT)["x"] == ["1.0", "–", "1"]


def test_curves_are_averaged_over_seeds_where_all_have_been(suite):
    runs = read_results(suite).of(EDIT, "ppo")
    steps, band = learning(runs)
    assert steps.tolist() == [0, 100, 200]
    assert band.mean.tolist() == pytest.approx([0.0, 0.25, 0.5])
    assert (band.low[2], band.high[2]) == pytest.approx((0.4, 0.6))
    assert learning(runs, "return")[0].tolist() == [0, 100]
    assert learning(read_results(suite).of(EDIT, "random")) is None


def test_of_a_curve_the_overview_of_metrics_has_the_end_alone(suite):
    named = {
        "l2": 1.0,
        "l2/strokes_5": 2.0,
        "success/insertion": 3.0,
        "success": 4.0,
        "identity/round_3": 5.0,
        "bri": None,
    }
    append(suite, json.dumps(run(PAINT, "x", metrics=named, episodes={"l2": [1.0]})) + "\n")
    sheet = all_metrics(figures(read_results(suite)), PAINT)
    assert set(sheet.heads) == {"agent", "return", "psnr"} | named.keys() - {"l2/strokes_5"}
    (row,) = [row for row in sheet.rows if row[0].text == "x"]
    assert dict(zip(sheet.heads, (cell.text for cell in row), strict=True))["bri"] == "–"


def test_what_the_papers_tabulate_stands_beside(suite):
    assert table(suite, f"{PAINT}/beside") == {"ppo": ["20"], "random": ["20"], "ddpg": ["20"]}
    append(suite, json.dumps(run(PAINT, "x", metrics={"l2": 0.1}, episodes={"focus_l2": [1.0, 2.0]})) + "\n")
    told = table(suite, f"{PAINT}/beside")
    assert told["x"] == ["1.5 ±0.5", "–"]
    assert told["ppo"] == ["–", "20"]


def test_a_metric_on_the_way_is_known_by_its_moments(suite):
    on_the_way = {"l2/strokes_20": 0.1, "l2/strokes_5": 0.3, "psnr/strokes_5": 1.0, "l2/kind/strokes_5": 2.0}
    nothing = {"ssim/strokes_5": None, "ssim/strokes_20": None}
    append(suite, json.dumps(run(PAINT, "x", metrics={"l2": 0.1} | on_the_way | nothing)) + "\n")
    known = figures(read_results(suite))
    ((metric, moments),) = known.standing(PAINT, "x").along().items()
    assert metric == ("l2", "strokes") and [(at, own.mean) for at, own in moments.items()] == [(5, 0.3), (20, 0.1)]
    assert known.standing(PAINT, "ppo").along() == {}
    assert along_episodes(known.standings[EDIT], styles(known.agents)) == ""
    drawn = along_episodes(known.standings[PAINT], styles(known.agents))
    assert ">l2<" in drawn and ">strokes<" in drawn and "psnr" not in drawn


def test_who_failed_altogether_does_not_squeeze_the_rest(suite):
    known = figures(read_results(suite))
    (axis,) = figure_of((4, 3))[1]
    for mean, agent in ((0.1, "ppo"), (0.2, "random"), (9.0, "ddpg")):
        failed = replace(known.standing(PAINT, agent), scaled=Interval(1 - 5 * mean, 0, 0))
        keep_in_view(axis, failed)
        axis.plot([0, 1], [0, mean])
    assert axis.get_ylim()[1] < 0.3


def test_a_column_has_one_precision():
    cells = column([Interval(0.5, 0.48, 0.52), Interval(0.25, 0.20, 0.23), Interval(np.nan, np.nan, np.nan)])
    assert [cell.text for cell in cells] == ["0.500 ±0.020", "0.250 ±0.015", "–"]
    assert [cell.text for cell in column([Interval(1234.0, 1034.0, 1434.0)])] == ["1,234 ±200"]
    assert [cell.text for cell in column([Interval(0.0, 0.0, 0.0)])] == ["0.00"]


# what is written


def test_results_of_foreign_tasks_alone_make_a_report_too(tmp_path):
    append(tmp_path, json.dumps(measured(FOREIGN, "ppo", 0, 7.0, 200)) + "\n")
    made = write_report(tmp_path)
    assert [sheet.name for sheet in made.sheets] == [FOREIGN]
    assert "states no ceiling" in made.files[1].read_text()
    assert Page(made.files[0].read_text()).counts["svg"] == 1


def test_every_figure_of_the_markdown_names_its_lines(written):
    text = written.files[1].read_text()
    assert re.search(r"\| ppo \| 0.62 ±0.1\d <sup>2–3</sup> \| 0.50 ±0.1\d <sup>5–6</sup> \|\n", text)
    assert "| 7 | ImageEdit-v0/ddpg/seed0-abc | failed | 60 | 0123456-dirty |" in text
    assert "the critic \\| diverged" in text
    assert "9 runs of 3 agents on 3 tasks took 11 min. 2 more were not done" in text and "On Z80, 2 cores." in text
    tables = re.split(r"^## ", text, flags=re.M)[1:]
    for part in tables:
        head = part.splitlines()[0]
        if head not in ("Not done", "Runs", "Probability of improvement"):
            rows = [line for line in part.splitlines() if line.startswith("| ")][2:]
            assert rows and all("<sup>" in row for row in rows), head


def test_the_csv_has_every_figure_with_its_runs(written):
    rows = list(csv.DictReader(written.files[2].open()))
    (row,) = [row for row in rows if (row["task"], row["agent"], row["metric"]) == (EDIT, "ppo", "success")]
    assert float(row["value"]) == pytest.approx(0.5) and float(row["low"]) < 0.45 < 0.55 < float(row["high"])
    assert row["ids"] == "ImageEdit-v0/ppo/seed0-abc ImageEdit-v0/ppo/seed1-abc" and row["lines"] == "5–6"
    assert {row["table"] for row in rows} == {"task", "aggregate", "improvement"}
    assert any((row["agent"], row["against"]) == ("ppo", "random") and row["value"] == "1.0" for row in rows)


class Page(HTMLParser):
    """What a page loads, and which elements are open at its end."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.open, self.counts = [], [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        named = dict(attributes)
        self.loads += [named[name] for name in ("src", "href", "xlink:href") if name in named]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(written):
    text = written.files[0].read_text()
    page = Page(text)
    assert page.open == []
    assert all(source.startswith(("#", "data:image/webp;base64,")) for source in page.loads)
    assert page.counts["svg"] == 5  # curves of three tasks, the estimates, the profiles
    assert page.counts["img"] == 1 and page.counts["figure"] == 1  # films that are not there are left out
    assert "&lt;script&gt;" in text and page.counts["script"] == 1
    assert not re.search(
        r"url\((?!#)|@import|https?://(?!www\.w3\.org|purl\.org|creativecommons\.org|matplotlib\.org)", text
    )


def test_the_same_results_make_the_same_report(written):
    first = [path.read_bytes() for path in written.files]
    assert [path.read_bytes() for path in write_report(written.files[0].parent).files] == first


def test_the_tables_fit_a_terminal_of_80(written):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))
    for sheet in written.sheets:
        console.print(sheet.table())
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["ppo", "0.62"] for line in lines)


# READMEs

TABLES = [
    Sheet("scores", "Scores", ["agent", "x"], [[Cell("ppo"), Cell("1", 1.0, "3–4")]], "A note."),
    Sheet("b", "B", ["a"], []),
]
FILLED = """before
<!-- results:scores -->

| agent | x |
| --- | ---: |
| ppo | 1 <sup>3–4</sup> |

A note. Small numbers are lines of results.jsonl.

<!-- /results -->
after
"""


def test_a_readme_is_filled_and_filling_it_again_changes_nothing(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- results:scores -->\nold | table\n<!-- /results -->\nafter\n")
    assert fill_readme(path, TABLES) == ["scores"]
    assert path.read_text() == FILLED
    fill_readme(path, TABLES)
    assert path.read_text() == FILLED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "has no <!-- results:NAME -->"),
        ("<!-- results:scores --> x", "must come its"),
        ("<!-- results:scores --> <!-- results:b --> <!-- /results -->", "must come its"),
        ("<!-- /results -->", "must come its"),
        ("<!-- results:scores --> <!-- /results --> <!-- /results -->", "must come its"),
        ("<!-- results:score --> <!-- /results -->", "no table 'score' in these results; did you mean scores"),
    ],
)
def test_a_readme_whose_markers_are_wrong_is_left_alone(tmp_path, text, message):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        fill_readme(path, TABLES)
    assert path.read_text() == text


def test_the_command(suite, tmp_path):
    app = typer.Typer()
    app.command()(report)
    readme = tmp_path / "README.md"
    readme.write_text(f"<!-- results:aggregate --><!-- /results --><!-- results:{PAINT} --><!-- /results -->")
    told = CliRunner().invoke(app, [str(suite), "--html", str(tmp_path / "page.html"), "--readme", str(readme)])
    assert told.exit_code == 0, told.output
    assert (tmp_path / "page.html").is_file() and (suite / "report.md").is_file() and (suite / "report.csv").is_file()
    assert "Probability of improvement" in told.output and f"aggregate, {PAINT}" in told.output
    assert "0.55" in readme.read_text() and "optimality gap" in readme.read_text()
