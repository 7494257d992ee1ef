"""The jobs of a benchmark on a Ray cluster: tasks that are tried again when their worker dies."""

import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from operator import methodcaller
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import backends
from .checkpoint import write_text, write_whole
from .results import Record, leave_result, locked, record
from .suites import Job

RETRIES = 3  # of a job whose worker died
SEEN = ".disk"  # in the benchmark's folder: who reads our token there writes to our disk

Files = Mapping[str, bytes]  # by their paths relative to the benchmark's folder


class Cluster:
    """``Workers`` of the Ray cluster at ``address``, or of one started here where that is ``local``.

    Workers that see the folder ``out`` work in it; those of another disk send back all that a run has written. Raises
    ImportError where Ray is not installed, ConnectionError where there is no cluster.
    """

    def __init__(self, out: Path, address: str):
        self.out, self.ray, self.token = out.resolve(), ray(), secrets.token_hex(8)
        self.ray.init(address=None if address == "local" else address, log_to_driver=False, include_dashboard=False)
        write_text(self.out / SEEN, self.token)
        self.slots = max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        self.remote = self.ray.remote(num_cpus=1, max_retries=RETRIES)(work)
        self.running: dict[Any, tuple[Job, float]] = {}

    def start(self, job: Job) -> None:
        begins_with = files_of(self.out, job.start, ("agent.pt", "config.json")) if job.start else {}
        reference = self.remote.remote(job, os.fspath(self.out), self.token, begins_with)
        self.running[reference] = job, time.monotonic()

    def ended(self, seconds: float) -> Iterator[tuple[Job, Record]]:
        ready, _ = self.ray.wait(list(self.running), timeout=seconds)
        for reference in ready:
            job, begun = self.running.pop(reference)
            try:
                found, files = self.ray.get(reference)
                put(self.out, files)
            except self.ray.exceptions.RayError as error:
                last = str(error).strip().rpartition("\n")[2]
                found = record(job, "failed", error=last, seconds=round(time.monotonic() - begun, 3))
            yield job, found

    def shares(self) -> dict[str, float]:
        return {job.id: 0.0 for job, _ in self.running.values()}

    def stop(self) -> None:
        for reference in self.running:
            self.ray.cancel(reference)  # which interrupts it, as Ctrl-C would
        if self.running:
            self.ray.wait(list(self.running), num_returns=len(self.running))


def ray() -> ModuleType:
    """The library. Raises ImportError where it is not installed."""
    try:
        return import_module("ray")
    except ImportError as error:
        raise ImportError("--ray needs Ray: pip install 'retouch[ray]'") from error


def work(job: Job, out: str, token: str, begins_with: Files) -> tuple[Record, dict[str, bytes]]:
    """Carry out ``job`` on a worker: its line, and what it has written, where that is not on our disk."""
    from .entrants import perform

    backends.keep_freed_memory()
    folder, told = Path(out), Path(out, SEEN)
    if told.is_file() and told.read_text() == token:
        with locked(folder / job.id, wait=True):
            found = perform(job, folder, lambda share: None)
            leave_result(folder / job.id, found)
        return found, {}
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = Path(elsewhere)
        put(folder, begins_with)
        found = perform(job, folder, lambda share: None)
        leave_result(folder / job.id, found)
        return found, files_of(folder, job.id)


def files_of(out: Path, run: str, names: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The files in the folder of ``run``, all or those of ``names``."""
    found = [path for path in (out / run).rglob("*") if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found if not names or path.name in names}


def put(out: Path, files: Files) -> None:
    for name, content in files.items():
        write_whole(out / name, methodcaller("write_bytes", content))
