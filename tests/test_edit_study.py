"""The study of what reinforcement learning does to an editor: runs that go on, honest tables, pictures that are there."""

import json

import numpy as np
import pytest
import torch

from retouch.benchmarks import edit_study
from retouch.benchmarks.edit_study import Study, carry_out, known_scores, report
from retouch.benchmarks.edit_tables import Scores, ablation_rows, improve_rows, verdict
from retouch.simulators.editors import embedded_editor, save_editor

SHORT = ("env.edits=embedded:40", "env.steps=2", "env.group=2", "num_envs=4", "agent.window=0,1", "policy.rank=2")
BRIEF = ("eval_every=1", "eval_episodes=2", "agent.minibatch=4", "env.threshold=0.0")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two arms of the ablation, trained for two updates from two seeds."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("study")
    save_editor(embedded_editor(), folder / "editor.safetensors")
    return folder


@pytest.fixture
def study(out):
    return Study(out / "runs", 2, 4, (f"env.model={out / 'editor.safetensors'}", *SHORT, *BRIEF))


def test_a_study_goes_on_where_it_was_stopped(study, monkeypatch, capsys):
    carry_out(study, ("half",), 1)
    assert "half seed 0: update 2/2, success 0.000" in capsys.readouterr().out
    first = (study.folder("half", 0) / "measured.json").read_text()
    monkeypatch.setattr(edit_study, "train", lambda plan, folder, tell: pytest.fail("trained again"))
    carry_out(study, ("half",), 1)
    assert (study.folder("half", 0) / "measured.json").read_text() == first
    with pytest.raises(ValueError, match="has other settings: give another --out"):
        Study(study.out, 3, 4, study.settings).run("half", 0)


def test_report_shows_what_there_is(study, capsys):
    carry_out(study, ("half", "both"), 2)
    report(study.out)
    shown = capsys.readouterr().out
    assert "half, seeds: 2" in shown and "success/removal" in shown and "both (the paper's)" in shown
    rows = json.loads((study.out / "ablation.json").read_text())["rows"]
    assert [row["policy"] for row in rows] == ["reference", "untrained", "copy", "both", "half"]
    (copy,) = (row for row in rows if row["policy"] == "copy")
    assert copy["success"] == [0, 0, 0] and copy["source_l1"][0] < 1e-6 and copy["source_psnr"][0] > 90
    for name in ("improve-curves", "ablation-curves", "reward-against-success"):
        picture = read_image(study.out / f"{name}.png")
        assert min(picture.shape[:2]) > 500 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
