"""The command line as a user types it."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import retouch
from retouch.cli import app

COMMANDS = ("train", "eval", "tasks", "speed", "doctor", "make-weights", "prepare-cub", "paint", "edit")
SMALL = ["env.size=32", "env.steps=4", "env.targets=embedded:16"]


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_help_comes_without_anything_heavy():
    light = "import sys; from retouch.cli import app; from typer.testing import CliRunner; " \
            "print(CliRunner().invoke(app, ['--help']).output); " \
            "print('loaded:', [m for m in ('torch', 'cv2', 'PIL', 'diffusers', 'matplotlib') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True).stdout
    assert "loaded: []" in told
    assert all(command in told for command in COMMANDS)
    assert "retouch train StrokePaint-v0" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_what_to_type(command):
    told = call(command, "--help").output
    assert "Usage" in told and (f"retouch {command} " in told or command == "tasks")


def test_python_m_retouch_is_the_same_and_threads_wait_calmly():
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "KMP_", "GOMP_"))}
    told = subprocess.run([sys.executable, "-m", "retouch", "--version"], capture_output=True, text=True, env=clean)
    assert told.stdout.strip() == retouch.__version__ and told.returncode == 0
    show = "from retouch.cli import calm_threads as calm; import os; calm(); " \
           "print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'), os.environ['OMP_NUM_THREADS'])"
    told = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, env=clean)
    policy, count, threads = told.stdout.split()
    assert (policy, count) == ("PASSIVE", "0") and 1 <= int(threads) <= 8
    given = clean | {"OMP_WAIT_POLICY": "ACTIVE"}
    told = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, env=given)
    assert told.stdout.split()[:2] == ["ACTIVE", "None"]


def test_tasks_are_listed():
    listed = json.loads(call("tasks", "--json").output)
    assert [task["id"] for task in listed] == list(retouch.TASKS)
    painting = listed[0]
    assert painting["action"] == "Box(0.0, 1.0, (65,), float32)" and "ddpg-model" in painting["agents"]
    assert painting["observation"]["canvas"] == "Box(0, 255, (3, 128, 128), uint8)"
    assert {"shipped", "random"} <= set(painting["policies"]) and "arXiv:1903.04411" in painting["reference"]
    assert "StrokePaintGuided-v0" in call("tasks").output


def test_an_evaluation_is_one_object():
    told = json.loads(call("eval", "StrokePaint-v0", "random", *SMALL, "--episodes", 3, "--seed", 7, "--json").output)
    assert {key: told[key] for key in ("task", "agent", "episodes", "seed")} == {
        "task": "StrokePaint-v0", "agent": "random", "episodes": 3, "seed": 7,
    }
    assert {"return", "l2", "psnr", "ssim", "l2/strokes_5", "l2/strokes_20"} <= told["metrics"].keys()
    for interval in told["metrics"].values():
        assert interval["low"] <= interval["mean"] <= interval["high"]


def test_an_evaluation_is_a_table():
    told = call("eval", "StrokePaint-v0", "best-colour", *SMALL, "--episodes", 2).output
    assert "best-colour on StrokePaint-v0: 2 episodes, seed 0" in told
    assert "after strokes 5 10 20 95 %" in " ".join(told.split()) and "foreground_l2" in told and "…" not in told


def test_a_run_from_its_beginning_to_its_measurement(tmp_path):
    small = [*SMALL, "num_envs=2", "updates=2", "eval_episodes=2", "agent.epochs=1"]
    told = call("train", "StrokePaint-v0", "ppo", *small, "--out", tmp_path / "run").output
    assert f"retouch eval StrokePaint-v0 {tmp_path / 'run'}" in told
    again = call("train", "StrokePaint-v0", "ppo", *small, "--out", tmp_path / "run", code=2)
    assert "go on with it by --resume" in again.stderr
    measured = json.loads(call("eval", "StrokePaint-v0", tmp_path / "run", "--episodes", 2, "--json").output)
    curve = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert measured["metrics"]["l2"]["mean"] == pytest.approx(curve[-1]["eval/l2"])


def test_speed_takes_its_batches_as_numbers():
    told = json.loads(call("speed", "StrokePaint-v0", "--num-envs", 1, 2, *SMALL, "--json").output)
    assert [batch["num_envs"] for batch in told["batches"]] == [1, 2] and told["unit"] == "strokes"
    shown = call("speed", "StrokePaint-v0", "--num-envs", 2, *SMALL).output
    assert "strokes/s" in shown and "in the model" in shown and "MiB" in shown


def test_the_speed_of_an_update_is_shown():
    told = call("speed", "StrokePaint-v0", "--update", "ppo", *SMALL, "num_envs=2", "agent.epochs=1").output
    assert "an update takes" in told and "rollouts of 4 steps" in told


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["train", "StrokePaint-v0", "ppo", "agent.lrr=1"], "no setting agent.lrr; did you mean lr?"),
        (["train", "StrokePaint-v9", "ppo"], "no task 'StrokePaint-v9'; did you mean StrokePaint-v0?"),
        (["train", "StrokePaint-v0", "ppo", "policy.network=resnet"], "ppo has no network resnet: there is standard"),
        (["eval", "StrokePaint-v0", "runs/none"], "no run in 'runs/none' and no such policy"),
        (["eval", "StrokePaint-v0", "random", "env.targets=/nowhere/at/all"], "/nowhere/at/all"),
        (["speed", "StrokePaint-v0", "--num-envs", "0"], "batch sizes must be at least 1"),
        (["make-weights", "paintr"], "no weights 'paintr'; did you mean painter?"),
        (["prepare-cub", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(words, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = call(*words, code=2).stderr
    assert complaint in told and "Traceback" not in told and told.count("\n") == 1
    assert told.startswith("retouch: ") and not list(tmp_path.iterdir())


def test_wrong_usage_is_exit_code_2():
    assert call("train", code=2).output and call("eval", "StrokePaint-v0", "--episodes", 0, code=2).output


def test_debugging_shows_where_an_error_arose(monkeypatch):
    monkeypatch.setenv("RETOUCH_DEBUG", "1")
    result = CliRunner().invoke(app, ["eval", "StrokePaint"])
    assert isinstance(result.exception, ValueError) and result.exit_code == 1
