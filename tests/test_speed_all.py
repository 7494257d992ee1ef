"""The table of every task's speed, and our PPO beside Stable-Baselines3's."""

import io
import time

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from rich.console import Console

from retouch import TASKS
from retouch.agents.policies.standard import Encoder
from retouch.benchmarks import speed_all
from retouch.benchmarks.baselines import gymnasiums
from retouch.benchmarks.contest import Features, take_turns
from retouch.benchmarks.meter import Meter
from retouch.benchmarks.probes import choose_high
from retouch.benchmarks.speed import LEAST, episode, follow
from retouch.benchmarks.speed_all import measure_all, measure_apart, tables
from retouch.envs.vector import TorchVectorEnv

CPU = torch.device("cpu")


def test_all_sides_play_the_same_episodes():
    task = choose_high(Box(0.0, 1.0, (1,)))
    sides = {"native": TorchVectorEnv(task, 3, autoreset_mode="SameStep"), **gymnasiums(task, 3)}
    assert list(sides) == ["native", "sync", "async"]
    told = {}
    for name, env in sides.items():
        env.reset(seed=5)
        told[name] = env.step(np.array([[0.1], [0.5], [0.9]], np.float32))[1]
        env.close()
    np.testing.assert_allclose(told["sync"], told["native"], rtol=1e-6)
    np.testing.assert_allclose(told["async"], told["native"], rtol=1e-6)


def test_an_episode_ends_when_its_time_is_over_and_counts_what_was_done():
    class Sleepy:
        def reset(self, seed):
            time.sleep(0.05)

        def step(self, action):
            time.sleep(0.02)

    actions = [torch.zeros(1)] * 50
    for steps, seconds, taken in ((50, 0.0, LEAST), (4, 60.0, 4)):
        stepping = Meter(CPU)
        follow(Sleepy(), actions[:steps], stepping, seconds)
        assert len(stepping.laps) == taken
    begun = time.perf_counter()
    pace = episode(Sleepy(), actions, CPU, seconds=0.1)
    assert time.perf_counter() - begun < 0.7  # of a second and a twentieth
    assert LEAST <= len(pace.steps) <= 5 and min(pace.steps) >= 0.02 and pace.reset_seconds >= 0.05


def test_a_slow_third_side_takes_one_turn_and_those_compared_take_as_many_as_each_other():
    class Side:
        agent = None

        def turn(self):
            time.sleep(0.02)
            return 0.01, 0.01

    sides = {name: Side() for name in ("ours", "theirs", "singles")}
    turns = take_turns(sides, 0.0)
    assert {name: len(taken) for name, taken in turns.items()} == {"ours": 2, "theirs": 2, "singles": 1}
    turns = take_turns(sides, 0.05)
    assert {name: len(taken) for name, taken in turns.items()} == {"ours": 2, "theirs": 2, "singles": 1}


def test_both_sides_see_alike():
    space = Dict({
        "image": Box(0, 255, (3, 32, 32), np.uint8),
        "mask": Box(0, 255, (1, 32, 32), np.uint8),
        "vector": Box(-1.0, 1.0, (5,)),
    })  # fmt: skip
    torch.manual_seed(0)
    ours, theirs = Encoder(space), Features(space)
    theirs.convolutions.load_state_dict(ours.convolutions.state_dict())
    obs = {"image": torch.rand(2, 3, 32, 32), "mask": torch.rand(2, 1, 32, 32), "vector": torch.rand(2, 5)}
    torch.testing.assert_close(theirs(obs).sort().values, ours(obs).sort().values)
    count = [sum(p.numel() for p in side.parameters()) for side in (ours, theirs)]
    assert count[0] == count[1] > 0
    blind = Features(Dict({"turn": Discrete(4), "vector": Box(-1.0, 1.0, (5,))}))
    assert blind.features_dim == 9 and not list(blind.parameters())


def test_the_table_has_a_row_a_batch_and_one_of_learning_and_goes_on_after_a_failure(monkeypatch):
    step = {
        "steps_per_second": 1200.0, "model_share": 0.5, "sync_steps_per_second": 100.0, "gain": 12.0,
        "async_steps_per_second": None, "async_gain": None, "peak_bytes": 2**30,
    }  # fmt: skip

    def measured(task, kind, size, seconds, device):
        return {"error": "no luck"} if kind == "learning" else step

    monkeypatch.setattr(speed_all, "measure_apart", measured)
    told = []
    rows = measure_all(["StrokePaint-v0", "FaceDialog-v0"], None, 1.0, "cpu", told.append)
    sizes = [(row["task"], row["kind"], row["num_envs"]) for row in rows]
    first = [("steps", 1), ("steps", 16), ("steps", 96), ("learning", 16)]
    assert sizes[:4] == [("StrokePaint-v0", *row) for row in first]
    assert [size for _, kind, size in sizes[4:]] == [1, 16, 96, 256, 16] and len(told) == len(rows)
    stepping, learning, faces, _ = tables(rows)
    assert (stepping.row_count, learning.row_count, faces.row_count) == (3, 0, 4)
    assert [list(column.cells)[0] for column in stepping.columns[1:5]] == ["1,200", "50%", "100 (12.0 x)", "-"]
    assert learning.caption == "16 environments: no luck" and stepping.caption is None
    assert max(map(len, shown(stepping).splitlines())) <= 80 and "SyncVectorEnv" in shown(stepping)


def shown(table):
    """As a terminal of the least usual width shows it."""
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_a_row_that_fails_or_never_ends_is_an_error_of_its_own(monkeypatch):
    assert set(TASKS) > {"StrokePaint-v0"}
    failed = measure_apart("StrokePaint-v0", "steps", 0, 1.0, "cpu")
    assert failed == {"error": "ValueError: batch sizes must be at least 1, got 0"}
    monkeypatch.setattr(speed_all, "PATIENCE", (0.1, 0.0))
    assert measure_apart("StrokePaint-v0", "steps", 1, 1.0, "cpu") == {"error": "it took longer than 0 s"}


@pytest.mark.slow
def test_our_ppo_and_theirs_learn_from_as_many_steps():
    from retouch.benchmarks.contest import contest

    found = contest("FaceDialog-v0", 2, seconds=0.0, device="cpu")
    assert (found.rollout, found.steps) == (20, 2 * 2 * 20)
    sides = (found.ours, found.theirs, found.singles)
    assert all(side.steps_per_second > 0 and side.update_seconds > 0 for side in sides)
    assert found.gain == pytest.approx(
        found.ours.steps_per_second / max(found.theirs.steps_per_second, found.singles.steps_per_second)
    )
    assert found.ours.score is not None and found.singles.score is None
    assert found.score_gain.low <= found.score_gain.mean <= found.score_gain.high
