"""What is measured of speed and memory."""

import subprocess
import sys
import time

import pytest
import torch

from retouch.benchmarks.meter import Meter, metered
from retouch.benchmarks.players import Player
from retouch.benchmarks.policies import Random
from retouch.benchmarks.probes import Probe
from retouch.benchmarks.speed import measure_steps, measure_update, model_share, script, step_speed
from retouch.envs.vector import TorchVectorEnv

CPU = torch.device("cpu")
SMALL = ["env.size=32", "env.steps=4", "env.targets=embedded:16"]


def quiet(text):
    pass


class Slow(Probe):
    """Sleeps in its model for 6 ms a step, and for 2 ms outside of it."""

    def __init__(self):
        super().__init__(lambda sign, action: action, length=20)
        self.model_calls = ((self, "model"),)

    def model(self, state):
        time.sleep(0.006)
        return state

    def initial(self, rng, options):
        return self.model(super().initial(rng, options))

    def transition(self, state, action, rng):
        time.sleep(0.002)
        return super().transition(self.model(state), action, rng)


def test_the_share_of_the_model_is_that_of_its_calls_in_steps():
    task = Slow()
    env = TorchVectorEnv(task, 3, tensors="torch")
    assert model_share(env, script(env, Random(task), 10, 60), 60) == pytest.approx(0.75, abs=0.15)
    assert "model" not in vars(task)  # as it was


def test_all_sides_are_timed_in_the_steps_that_the_slowest_had_the_time_for():
    """Here three: a batch, whose first step alone takes long, would else look faster by all those after it."""

    class SlowAtFirst(Probe):
        compile = True  # without processes of Gymnasium's, which would take long to begin

        def transition(self, state, action, rng):
            time.sleep(0.03 * (state.step == 0).any().item())
            return super().transition(state, action, rng)

    task = SlowAtFirst(lambda sign, action: action, length=20)
    told = step_speed(Player("probe", {}, task, Random(task)), 3, seconds=1.2)
    assert told.steps_per_second <= 3 * 3 / 0.03 and 2 < told.gain < 4


def test_a_meter_adds_up_and_leaves_what_it_measured_as_it_was():
    class Owner:
        def work(self, seconds, factor=1):
            time.sleep(seconds * factor)
            return "done"

    owner, meter = Owner(), Meter(CPU)
    with metered(((owner, "work"),), meter):
        assert owner.work(0.01) == owner.work(0.01, factor=2) == "done"
    owner.work(0.05)
    assert 0.03 <= meter.seconds < 0.06


MEMORY = """
import torch
from retouch.benchmarks.memory import forget_peak, peak_bytes
CPU = torch.device("cpu")
forget_peak(CPU)
print(peak_bytes(CPU))
held = torch.ones(200 * 2**20, dtype=torch.uint8)
del held
print(peak_bytes(CPU))
forget_peak(CPU)
print(peak_bytes(CPU))
"""


def test_peak_memory_counts_what_was_freed_again_and_is_forgotten():
    """In a process of its own, where nothing that other tests left is freed meanwhile."""
    told = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True).stdout
    before, peak, forgotten = map(int, told.split())
    assert peak - before > 150 * 2**20
    assert forgotten - before < 100 * 2**20


def test_stepping_is_measured_for_every_batch():
    report = measure_steps("StrokePaint-v0", "random", SMALL, [1, 3], "cpu", quiet)
    assert (report.unit, report.device, report.agent) == ("strokes", "cpu", "random")
    assert [batch.num_envs for batch in report.batches] == [1, 3]
    for batch in report.batches:
        assert batch.units_per_second == pytest.approx(5 * batch.steps_per_second)
        assert 0.2 < batch.model_share < 1 and batch.reset_seconds > 0 and batch.peak_bytes > 50 * 2**20
        assert batch.gain == pytest.approx(batch.steps_per_second / batch.sync_steps_per_second)


def test_a_batch_of_none_is_refused():
    with pytest.raises(ValueError, match="batch sizes must be at least 1, got 0"):
        measure_steps("StrokePaint-v0", "random", SMALL, [4, 0], "cpu", quiet)


def test_an_update_is_that_of_a_run():
    told = []
    settings = [*SMALL, "num_envs=2", "agent.batch=2", "agent.updates=1"]
    report = measure_update("StrokePaint-v0", "ddpg-model", settings, told.append)
    assert (report.update.num_envs, report.update.rollout) == (2, 4) and told == ["updating ddpg-model"]
    assert 0 < report.update.seconds < 60 and report.update.peak_bytes > 50 * 2**20
