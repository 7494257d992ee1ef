"""The study of editors before and after reinforcement learning: runs that go on, honest tables, pictures."""

import json

import numpy as np
import pytest
import torch

from retouch.benchmarks import edit_study, edit_tables
from retouch.benchmarks.edit_pictures import pick
from retouch.benchmarks.edit_study import Study, carry_out, report
from retouch.benchmarks.edit_tables import CLAIMED, Scores, improve_rows, verdict
from retouch.simulators.editors import embedded_editor, save_editor
from retouch.simulators.edits import KINDS
from retouch.simulators.images import read_image

SHORT = ("env.edits=embedded:40", "env.steps=2", "env.group=2", "num_envs=4", "agent.window=0,1", "policy.rank=2")
BRIEF = ("updates=2", "eval_every=1", "eval_episodes=2", "agent.minibatch=4", "env.threshold=0.0")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Of an untrained editor, two arms, two updates and four problems."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("study")
    save_editor(embedded_editor(), folder / "editor.safetensors")
    return Study(folder / "runs", 4, (f"env.model={folder / 'editor.safetensors'}", *SHORT, *BRIEF))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(edit_tables, "RESAMPLES", 100)


def test_a_study_goes_on_where_it_was_stopped(study, monkeypatch, capsys):
    carry_out(study, ("half",), 1)
    assert "half seed 0: update 2/2, success 0.000" in capsys.readouterr().out
    first = (study.folder("half", 0) / "measured.json").read_text()
    monkeypatch.setattr(edit_study, "train", lambda *arguments: pytest.fail("trained again"))
    carry_out(study, ("half",), 1)
    assert (study.folder("half", 0) / "measured.json").read_text() == first
    with pytest.raises(ValueError, match="has other settings: give another --out"):
        Study(study.out, 4, (*study.settings, "updates=3")).run("half", 0)


def test_the_report_shows_what_there_is(study, capsys):
    carry_out(study, ("half", "both", "guided"), 1)
    report(study.out)
    shown = capsys.readouterr().out
    assert "half, seeds: 1" in shown and "guided, seeds: 1" in shown and "success" in shown and "both (the" in shown
    told = json.loads((study.out / "ablation.json").read_text())
    assert told["verdict"] == ""
    assert [row["policy"] for row in told["rows"]] == ["reference", "untrained", "copy", "both", "half"]
    copy = told["rows"][2]
    assert copy["success"] == [0, 0, 0] and copy["source_l1"][0] < 1e-6 and copy["source_psnr"][0] > 90
    curves = "improve-curves", "guidance-curves", "ablation-curves", "reward-against-success"
    for name in (*curves, "half-edits", "both-edits", "guided-edits"):
        picture = read_image(study.out / f"{name}.png")
        assert min(picture.shape[:2]) > 300 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def scores(**means):
    """Made-up numbers of 2 seeds and 40 problems, all around the means."""
    rng = np.random.default_rng(0)
    return Scores({name: mean + 0.01 * rng.standard_normal((2, 40)) for name, mean in means.items()})


def claimed(value):
    return scores(success=0.5, **dict.fromkeys(CLAIMED, value))


@pytest.mark.parametrize(
    ("both", "said"),
    [
        (0.7, ("ordering holds here", "8 come out so", "0 the other way (none)")),
        (0.1, ("ordering does not hold here", "0 come out so (none)", "8 the other way")),
        (0.4, ("ordering holds in part here", "4 come out so", "4 the other way (l1 over clip, ")),
        (0.3, ("ordering does not hold here", "0 come out so", "4 the other way")),
    ],
    ids=["holds", "reversed", "in part", "equal to one"],
)
def test_the_sentence_says_what_the_numbers_say(both, said):
    arms = {"attention": claimed(0.3), "clip": claimed(0.5), "both": claimed(both)}
    sentence = verdict(arms)
    assert all(part in sentence for part in said) and "Exact success: attention alone 0.5" in sentence
    assert verdict({"both": claimed(both)}) == ""


@pytest.mark.parametrize(("after", "better"), [(0.6, True), (0.3, False), (0.1, False)])
def test_better_is_surely_better(after, better):
    kinds = {f"success/{kind}": 0.5 for kind in KINDS}
    same = {"done": 0.5, "kept": 0.5, "l2": 0.1, "psnr": 20.0, "ssim": 0.9}
    sides = {
        name: scores(success=success, l1=1 - success, **kinds, **same)
        for name, success in {"reference": 0.2, "untrained": 0.3, "copy": 0.0, "after": after}.items()
    }
    rows = {row["metric"]: row for row in improve_rows({"half": sides})}
    assert rows["success"]["holds"] == rows["l1"]["holds"] == better
    assert rows["success"]["gain"][0] == pytest.approx(after - 0.3, abs=1e-9)
    assert rows["l1"]["gain"][0] == pytest.approx(0.3 - after, abs=1e-9)


def test_metrics_of_one_kind_are_of_its_problems_alone(tmp_path):
    path = tmp_path / "seed.json"
    path.write_text(json.dumps({"success": [1, 0, 1], "success/removal": [None, 0, 1], "spread": 0.5}))
    read = Scores.read([path, path])
    assert read.of("success/removal").tolist() == [[0, 1], [0, 1]] and read.interval("success").mean == 2 / 3


def test_a_grid_shows_the_first_of_every_sort():
    before = np.array([0, 0, 1, 1, 0, 0, 0, 0, 1], bool)
    after = np.array([0, 1, 1, 0, 0, 1, 1, 1, 1], bool)
    assert pick(before, after) == [1, 5, 3, 0, 2]
    assert pick(before, before) == [0, 1]
