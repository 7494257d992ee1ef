"""The comparison with Stable-Baselines3: what it runs, what it does not run twice, what it concludes."""

import json

import pytest

from retouch.benchmarks import compare_sb3
from retouch.benchmarks.compare_sb3 import CONTESTS, Contest, main, missing, run_key, summary

SHORT = Contest("choose high", "PPO", 64, 8, 4, gamma=0.9, minibatch=16)


def finished(side, seed, returns):
    return run_key(SHORT, side, seed) | {"seconds": 2.0, "cpu_seconds": 1.0, "returns": returns}


def test_both_sides_of_every_contest_run_and_are_kept(tmp_path, monkeypatch, capsys):
    short = [SHORT, Contest("choose by sign", "DDPG", 64, 4, 1, gamma=0.9, minibatch=16, warmup=8)]
    monkeypatch.setattr(compare_sb3, "CONTESTS", short)
    main(seeds=1, out=tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    ran = [(one["algorithm"], one["side"], one["steps"], len(one["returns"])) for one in content["runs"]]
    assert ran == [(name, side, 64, 20) for name in ("PPO", "DDPG") for side in ("ours", "SB3")]
    monkeypatch.setattr(compare_sb3, "run", lambda *_: pytest.fail("what is in the file must not run again"))
    main(seeds=1, out=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == content
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("PPO", "DDPG", "ours", "SB3"))


def test_only_what_is_missing_runs():
    done = [finished("ours", 0, [1.0]), finished("SB3", 1, [1.0])]
    todo = [(part.args[1], part.args[2]) for part in missing([SHORT], 2, done)]
    assert todo == [("SB3", 0), ("ours", 1)]


@pytest.mark.parametrize("ours, no_worse", [(0.5, False), (0.995, True), (1.5, True)])
def test_what_it_concludes(ours, no_worse):
    done = [finished(side, seed, [value] * 3) for seed in range(2) for side, value in (("ours", ours), ("SB3", 1.0))]
    (row,) = summary([SHORT], 2, done)
    assert row["no_worse"] == no_worse
    assert row["ours"]["mean"] == ours and row["gain"]["mean"] == pytest.approx(ours - 1.0)
    assert row["SB3"]["steps_per_second"] == 32.0


def test_every_contest_is_played_out_as_it_says():
    for contest in CONTESTS:
        assert run_key(contest, "ours", 0)["steps"] == contest.steps
