"""Every job is carried out once, whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import pytest

from retouch.benchmarks.bench import carry_out, remaining
from retouch.benchmarks.entrants import check, learners
from retouch.benchmarks.results import Results, locked, record
from retouch.benchmarks.suites import Job, Suite
from retouch.benchmarks.workers import Processes

PAINT = {"env.size": 32, "env.steps": 3, "env.strokes": 2, "env.targets": "embedded:16"}
SHORT = {"num_envs": 2, "eval_episodes": 2}
FAILING = """
class Stubborn:
    def __init__(self, task):
        if task.device.type == "cpu":
            raise RuntimeError("no, not on this machine")
    def act(self, obs, explore): ...

def fatal(task):
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""


def suite(**told):
    tasks = {"StrokePaint-v0": {"settings": PAINT, "agents": told.pop("agents")}}
    usual = {"episodes": 2, "films": 1, "steps": 12, "evaluations": 2, "settings": SHORT, "tasks": tasks}
    return Suite("tiny", **usual | told)


def jobs_of(suite):
    return suite.jobs(learners())


def lines(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def scores(records):
    return {one["id"]: (one["metrics"], one["episodes"], one["curve"]) for one in records}


def some(count=3):
    return [Job("StrokePaint-v0", "random", "random", seed) for seed in range(count)]


class Idle:
    """Workers that do nothing, as asked."""

    slots = 1

    def __init__(self, outcomes):
        self.outcomes, self.begun, self.now = outcomes, [], []

    def start(self, job):
        self.begun.append(job.agent)
        self.now.append(job)

    def ended(self, seconds):
        for job in [self.now.pop() for _ in self.now[:]]:
            yield job, record(job, self.outcomes.get(job.agent, "done"), error="oh", seconds=1.0)

    def shares(self):
        return {job.id: 0.0 for job in self.now}

    def stop(self):
        self.now.clear()


def test_two_at_a_time_find_what_one_finds(tmp_path):
    work = jobs_of(suite(agents={"ppo": {}, "random": {}}))
    alone = carry_out(work, tmp_path / "alone", Processes(tmp_path / "alone", 1))
    both = carry_out(work, tmp_path / "both", Processes(tmp_path / "both", 2))
    assert [one["status"] for one in alone] == ["done"] * 2
    assert scores(alone) == scores(both)
    assert alone[0]["steps"] == 12 and alone[0]["curve"]["steps"] == [6, 12]
    assert all((tmp_path / "alone" / film).is_file() for one in alone for film in one["films"])
    assert {one["id"] for one in lines(tmp_path / "both")} == {job.id for job in work}


def test_what_is_settled_is_not_begun_again_and_what_failed_is(tmp_path):
    work = jobs_of(suite(agents={"ppo": {}, "ddpg": {}, "random": {}}))
    first, second = Idle({"ddpg": "failed", "ppo": "skipped"}), Idle({})
    carry_out(work, tmp_path, first)
    records = carry_out(work, tmp_path, second)
    assert (first.begun, second.begun) == (["ppo", "ddpg", "random"], ["ddpg"])
    assert [one["status"] for one in records] == ["skipped", "done", "done"]
    assert [one["status"] for one in lines(tmp_path)] == ["skipped", "failed", "done", "done"]


def test_other_settings_are_another_run(tmp_path):
    carry_out(jobs_of(suite(agents={"random": {}})), tmp_path, Idle({}))
    again = Idle({})
    carry_out(jobs_of(suite(agents={"random": {}}, episodes=3)), tmp_path, again)
    assert again.begun == ["random"] and len(lines(tmp_path)) == 2


def test_who_begins_with_another_waits_for_it_and_fails_with_it(tmp_path):
    agents = {"after": {"agent": "ppo", "start": "before"}, "before": {"agent": "ppo"}}
    workers = Idle({"before": "failed"})
    records = carry_out(jobs_of(suite(agents=agents)), tmp_path, workers)
    assert workers.begun == ["before"]
    assert [one["status"] for one in records] == ["failed", "failed"]
    assert "before" in records[1]["error"] and "oh" in records[1]["error"]


@pytest.mark.slow
def test_it_begins_with_the_networks_of_the_other(tmp_path):
    agents = {"after": {"agent": "ppo", "start": "before"}, "before": {"agent": "ppo"}}
    work = jobs_of(suite(agents=agents, evaluations=1))
    records = carry_out(work, tmp_path, Processes(tmp_path, 2))
    assert [one["status"] for one in records] == ["done", "done"]
    assert records[1]["config"]["run"]["start"] == str(tmp_path / work[0].id)
    assert records[0]["metrics"] != records[1]["metrics"]


def test_failures_are_told_and_leave_the_others_alone(tmp_path, monkeypatch):
    (tmp_path / "failing.py").write_text(FAILING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.syspath_prepend(tmp_path)
    agents = {"stubborn": {"agent": "failing:Stubborn"}, "fatal": {"agent": "failing:fatal"}, "random": {}}
    work = jobs_of(suite(agents=agents))
    for job in work:
        check(job)
    stubborn, fatal, random = carry_out(work, tmp_path / "out", Processes(tmp_path / "out", 1))
    assert (stubborn["status"], stubborn["error"]) == ("failed", "RuntimeError: no, not on this machine")
    assert (fatal["status"], fatal["error"]) == ("failed", "ended by SIGKILL")
    assert random["status"] == "done"


def test_who_cannot_play_is_named_with_the_reason(tmp_path):
    work = jobs_of(suite(agents={"edit-tracker": {}}))
    (told,) = carry_out(work, tmp_path, Processes(tmp_path, 1))
    assert told["status"] == "skipped" and "it edits faces" in told["reason"]


BENCH = """
import sys
from pathlib import Path
from retouch.benchmarks.bench import carry_out
from retouch.benchmarks.suites import load_suite
from retouch.benchmarks.entrants import learners
from retouch.benchmarks.workers import Processes

if __name__ == "__main__":
    out = Path(sys.argv[2])
    carry_out(load_suite(sys.argv[1]).jobs(learners()), out, Processes(out, 1))
"""


def begin(tmp_path):
    """A benchmark of one long run in a process of its own, after its first checkpoint, and where it writes."""
    (tmp_path / "bench.py").write_text(BENCH)
    agents = {"ppo": {}, "random": {}}
    told = {"steps": 300, "evaluations": 10, "episodes": 2, "films": 0, "settings": SHORT}
    tasks = {"tasks": {"StrokePaint-v0": {"settings": PAINT, "agents": agents}}}
    (tmp_path / "tiny.json").write_text(json.dumps(told | tasks))
    command = [sys.executable, "bench.py", "tiny.json", "out"]
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where a shell in the background ignores it
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, preexec_fn=heeded)
    while not list((tmp_path / "out").glob("*/ppo/*/checkpoints/update*.pt")):
        assert process.poll() is None, "it ended before it was stopped"
        time.sleep(0.02)
    return process


def finish(tmp_path):
    subprocess.run([sys.executable, "bench.py", "tiny.json", "out"], cwd=tmp_path, check=True, capture_output=True)
    (folder,) = (tmp_path / "out").glob("*/ppo/*")
    updates = [json.loads(line)["update"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return updates, lines(tmp_path / "out")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle_it_goes_on(tmp_path, number):
    process = begin(tmp_path)
    process.send_signal(number)
    process.wait()
    (checkpoint,) = (tmp_path / "out").glob("*/ppo/*/checkpoints/update*.pt")
    assert not (tmp_path / "out" / "results.jsonl").read_text()
    updates, records = finish(tmp_path)
    assert updates == list(range(1, 51))
    assert [(one["agent"], one["status"]) for one in records] == [("ppo", "done"), ("random", "done")]
    assert checkpoint.stem < "update_00000050", "it was stopped too late to tell"


@pytest.mark.slow
def test_a_run_dies_with_the_benchmark_and_nobody_else_runs_meanwhile(tmp_path):
    process = begin(tmp_path)
    (folder,) = (tmp_path / "out").glob("*/ppo/*")
    with pytest.raises(ValueError, match="another benchmark is at work"), locked(folder, wait=False):
        pass
    process.kill()
    process.wait()
    for _ in range(500):  # until the orphan is gone
        with suppress(ValueError), locked(folder, wait=False):
            break
        time.sleep(0.02)
    else:
        pytest.fail("the run goes on without its benchmark")
    assert not (folder / "result.json").exists()


def test_a_torn_line_is_taken_out_and_its_run_is_not_lost(tmp_path):
    jobs = some()
    results = Results(tmp_path)
    for job in jobs[:2]:
        results.append(record(job, "done"))
    whole = (tmp_path / "results.jsonl").read_bytes()
    (tmp_path / "results.jsonl").write_bytes(whole[:-20])
    (tmp_path / jobs[1].id).mkdir(parents=True)
    (tmp_path / jobs[1].id / "result.json").write_text(json.dumps(record(jobs[1], "done")))
    workers = Idle({})
    carry_out(jobs, tmp_path, workers)
    assert len(workers.begun) == 1
    assert [one["id"] for one in lines(tmp_path)] == [job.id for job in jobs]


def test_one_benchmark_at_a_time(tmp_path):
    with locked(tmp_path, wait=False), pytest.raises(ValueError, match="another benchmark is at work"):
        carry_out(some(), tmp_path, Idle({}))


def test_time_left_by_what_is_known():
    ppo, other = Job("a", "ppo", "ppo", 1), Job("a", "ddpg", "ddpg", 1)
    known = {("a", "ppo"): 10.0, ("b", "ppo"): 30.0}
    assert remaining([ppo, other], [ppo], {other.id: 0.75}, known) == 10.0 + 0.25 * 20.0
    assert remaining([ppo, other], [], {}, known) == 0.0


def test_processes_share_the_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert Processes(tmp_path, 3).threads == 2
    assert os.environ["OMP_NUM_THREADS"] == "8"
