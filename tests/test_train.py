"""Runs: what they leave behind, and that stopping them changes nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retouch.benchmarks.checkpoint import latest, read_tensors, save, update_of, write_whole
from retouch.benchmarks.evaluate import play
from retouch.benchmarks.logs import Log, write_filmstrip
from retouch.benchmarks.plan import plan_run, read_plan
from retouch.benchmarks.players import make_player
from retouch.benchmarks.runs import open_run
from retouch.benchmarks.train import Training, train

TASK = "StrokePaint-v0"
SMALL = ["env.size=32", "env.steps=3", "env.strokes=2", "env.targets=embedded:16", "num_envs=2", "eval_episodes=2"]
AGENTS = {
    "ppo": ["agent.epochs=1"],
    "ddpg": ["agent.batch=4", "agent.updates=1", "agent.capacity=60", 'env.reward={"l2": 1, "wgan": 0.1}'],
}


def settings(agent, *more):
    usual = [*SMALL, *AGENTS[agent], "eval_every=4", "checkpoint_every=3"]
    return list({setting.partition("=")[0]: setting for setting in (*usual, *more)}.values())


def run(folder, agent, *more):
    plan, folder = open_run(TASK, agent, settings(agent, *more), folder, resume=False)
    assert train(plan, folder)
    return folder


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def checkpointed(folder):
    """The last checkpoint, without the memory that the replay has reserved and never written."""
    saved = read_tensors(latest(folder / "checkpoints"))
    if replay := saved["agent"].get("replay"):
        replay["shared"] = {key: rows[replay["users"] > 0] for key, rows in replay["shared"].items()}
    return saved


def same(a, b):
    """Whether two saved states are equal to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def started(folder, agent, *more):
    """The run as a process of its own, once it has begun to write metrics."""
    command = [sys.executable, "-m", "retouch", "train", TASK, agent, *settings(agent, *more), "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_updates(folder, count, process):
    path, deadline = folder / "metrics.jsonl", time.monotonic() + 120
    while not path.exists() or path.read_text().count("\n") < count:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.005)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_killed_run_goes_on_as_if_it_had_never_stopped(agent, tmp_path):
    process = started(tmp_path / "killed", agent, "updates=100000")
    wait_for_updates(tmp_path / "killed", random.randint(4, 7), process)  # the first checkpoint is at 3
    time.sleep(random.random() * 0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = update_of(latest(tmp_path / "killed" / "checkpoints"))
    assert reached >= 3
    updates = f"updates={2 * reached}"
    plan, folder = open_run(TASK, agent, [updates], tmp_path / "killed", resume=True)
    assert train(plan, folder)
    whole = run(tmp_path / "whole", agent, updates)
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert len(lines(whole)) == 2 * reached
    killed, never = (checkpointed(at) for at in (folder, whole))
    assert {"agent", "env", "learned", "random", "update"} == never.keys() and same(killed, never)
    assert ("replay" in never["agent"]) == (agent == "ddpg") == ("wgan" in never["learned"])


def test_the_comparison_sees_a_difference(tmp_path):
    one, other = (run(tmp_path / name, "ppo", "updates=1", f"seed={seed}") for seed, name in enumerate("ab"))
    assert (one / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes()
    assert not same(*(checkpointed(at)["agent"] for at in (one, other)))


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path):
    folder = tmp_path / "run"
    process = started(folder, "ppo", "updates=100000", "checkpoint_every=100000")
    wait_for_updates(folder, 2, process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"retouch train {TASK} ppo --out {folder} --resume" in told and "Traceback" not in told
    assert update_of(latest(folder / "checkpoints")) == len(lines(folder)) >= 2


def test_a_run_leaves_its_settings_its_curve_its_agent_and_pictures(tmp_path):
    folder = run(tmp_path / "run", "ddpg", "updates=8", "keep=1")
    kept = json.loads((folder / "config.json").read_text())
    assert kept["task"] == TASK and kept["env"]["strokes"] == 2 and kept["agent_config"]["gamma"] == 0.95**2
    assert kept["versions"]["torch"] == torch.__version__
    curve = lines(folder)
    assert [line["update"] for line in curve] == list(range(1, 9))
    assert [line["steps"] for line in curve] == [6 * update for update in range(1, 9)]
    assert [line["update"] for line in curve if "eval/l2" in line] == [4, 8]
    assert all("critic_loss" in line and "wgan/gap" in line for line in curve)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["update_00000008.pt"]
    assert any((folder / "tensorboard").iterdir())
    strip = np.array(Image.open(folder / "samples" / "update_00000008.png"))
    assert strip.shape == (2 * (32 + 2), 3 * (64 + 2), 3)  # 2 episodes, after 0, 2 and 6 strokes


def test_the_agent_of_a_run_plays_as_it_was_measured(tmp_path):
    folder = run(tmp_path / "run", "ddpg", "updates=4")
    player = make_player(TASK, str(folder))
    assert player.env["size"] == 32 and player.env["split"] == "test"
    measured = play(player.task, player.agent, 2)
    for name, values in measured.items():
        assert lines(folder)[-1][f"eval/{name}"] == values.double().mean().item()
    with pytest.raises(ValueError, match="does not fit this task: it was trained with .*'size': 32"):
        make_player(TASK, str(folder), ["env.size=64"])
    with pytest.raises(ValueError, match="was trained on StrokePaint-v0, not on StrokePaintGuided-v0"):
        make_player("StrokePaintGuided-v0", str(folder))


def test_evaluating_more_often_changes_nothing_else(tmp_path):
    often, seldom = (run(tmp_path / every, "ppo", "updates=3", f"eval_every={every}") for every in "13")
    plain = [[{k: v for k, v in line.items() if "eval/" not in k} for line in lines(at)] for at in (often, seldom)]
    assert plain[0] == plain[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs") / "run", "ppo", "updates=3")


@pytest.mark.parametrize(
    ("agent", "given", "resume", "complaint"),
    [
        ("ppo", [], False, "there is a run in .*: go on with it by --resume, begin another elsewhere"),
        ("ppo", [], True, "is finished, after 3 updates: go on with it by --resume updates=N"),
        ("ppo", ["env.size=64", "updates=9", "seed=0"], True, "was begun without env.size=64$"),
        ("ddpg", [], True, "is of ppo on StrokePaint-v0, not of ddpg on"),
    ],
)
def test_a_run_that_stands_in_the_way_is_told_of(finished, agent, given, resume, complaint):
    with pytest.raises(ValueError, match=complaint):
        open_run(TASK, agent, given, finished, resume)


def test_a_finished_run_can_be_made_longer(finished):
    plan, folder = open_run(TASK, "ppo", ["updates=5", *SMALL], finished, resume=True)
    assert folder == finished and plan.run.updates == 5 and plan.env == read_plan(finished).env


def test_nothing_to_resume_is_told_of(tmp_path):
    with pytest.raises(ValueError, match="nothing to resume in .*: begin the run without --resume"):
        open_run(TASK, "ppo", SMALL, tmp_path / "none", resume=True)


def test_a_run_has_a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, folder = open_run(TASK, "ppo", [*SMALL, "seed=3"], None, resume=False)
    assert folder == Path("runs/StrokePaint-v0/ppo/seed3") and not folder.exists()


def test_a_run_stopped_before_its_first_checkpoint_begins_anew(tmp_path):
    plan, folder = open_run(TASK, "ppo", settings("ppo", "updates=2"), tmp_path, resume=False)
    plan.write(folder)
    (folder / "metrics.jsonl").write_text('{"update": 1, "reward": 3}\n{"upd')
    plan, folder = open_run(TASK, "ppo", [], tmp_path, resume=True)
    assert train(plan, folder)
    assert [line["update"] for line in lines(folder)] == [1, 2] and lines(folder)[0]["reward"] != 3


@pytest.mark.parametrize(
    ("agent", "given", "complaint"),
    [
        ("ppoo", [], "no agent 'ppoo'; did you mean ppo\\?"),
        ("ppo", ["updates=0"], "updates must be at least 1, got 0"),
        ("ppo", ["seed=-1"], "seed must lie in 0..2\\^63 - 1, got -1"),
        ("ppo", ["update=3"], "no setting update; did you mean updates\\?"),
        ("ppo", ["device=tpu"], "no device 'tpu' here; expected auto, cpu"),
        ("ppo", ["agent.lr=-1"], "lr must be above zero"),
        ("ppo", ["env.reward=l3"], "no 'l3' here"),
        ("ppo", ["policy.network=vgg"], "'denoiser' or 'tracker', got 'vgg'"),
        ("ppo", ["policy.sees=target,canvass"], "policy.sees 'canvass', no observation; did you mean canvas\\?"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(agent, given, complaint):
    with pytest.raises(ValueError, match=complaint):
        plan_run(TASK, agent, given)


def test_a_learned_reward_is_the_same_for_training_and_evaluation(tmp_path):
    training = Training.begin(plan_run(TASK, "ddpg", settings("ddpg")))
    assert training.eval_task.learned["wgan"] is training.env.task.learned["wgan"]
    seen, unseen = (task.targets.names[0] for task in (training.env.task, training.eval_task))
    assert seen.startswith("train") and unseen.startswith("test")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    write_whole(tmp_path / "file", lambda path: path.write_text("old"))

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "file", fail)
    assert (tmp_path / "file").read_text() == "old"


def test_the_last_checkpoints_are_kept_and_unfinished_ones_cleared_away(tmp_path):
    (tmp_path / ".update_00000001.123.pt").touch()
    for update in (1, 2, 10):
        save(tmp_path, update, {"update": update}, keep=2)
    assert sorted(os.listdir(tmp_path)) == ["update_00000002.pt", "update_00000010.pt"]
    assert read_tensors(latest(tmp_path)) == {"update": 10}


def test_a_log_forgets_what_will_be_done_again_and_names_no_number_that_is_none(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"update": 1}\n{"update": 2}\n{"update": 3}\n{"upda')
    log = Log(tmp_path, start=2)
    log.write(3, {"loss": float("nan"), "l2": 0.5})
    log.close()
    assert lines(tmp_path) == [{"update": 1}, {"update": 2}, {"update": 3, "loss": None, "l2": 0.5}]


def test_a_filmstrip_has_an_episode_a_row(tmp_path):
    pictures = torch.zeros(2, 3, 4, 5, 3, dtype=torch.uint8)
    pictures[1, 2] = 200
    write_filmstrip(tmp_path / "strip.png", pictures)
    strip = np.array(Image.open(tmp_path / "strip.png"))
    assert strip.shape == (2 * 6, 3 * 7, 3)
    assert (strip[6:10, 14:19] == 200).all() and (strip[:4, :5] == 0).all() and (strip[4:6] == 255).all()


def test_a_run_keeps_its_split_and_the_sides_share_nothing(tmp_path):
    folder = run(tmp_path / "run", "ppo", "updates=1")
    split = json.loads((folder / "split.json").read_text())
    assert len(split["train"]) == 16 and split["eval"]
    assert not set(split["train"]) & set(split["eval"])
