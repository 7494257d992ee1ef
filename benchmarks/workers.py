"""Processes that carry out the jobs of a benchmark, each its own, so that the crash of one is its alone."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol

from .. import backends
from .results import Record, cores, kept_result, leave_result, locked, record
from .suites import Job

LOG = "log.txt"  # in a run's folder: what it and the libraries said
THREADS = "OMP_NUM_THREADS"


class Workers(Protocol):
    """Whoever carries out jobs."""

    slots: int  # how many at a time

    def start(self, job: Job) -> None: ...

    def ended(self, seconds: float) -> Iterator[tuple[Job, Record]]:
        """Those that have come to their end, waiting for one for so long at most."""
        ...

    def shares(self) -> dict[str, float]:
        """How much of those that are being carried out is done, as far as that is known."""
        ...

    def stop(self) -> None:
        """Have all of them keep what they have, and wait until they did; asked again, do not wait."""
        ...


@dataclass
class Running:
    job: Job
    process: SpawnProcess
    told: Connection
    begun: float
    share: float = 0.0


class Processes:
    """``slots`` processes of this machine, which share its threads. When this process dies, so do they."""

    def __init__(self, out: Path, slots: int):
        self.out, self.slots = out, slots
        self.threads = max(1, int(os.environ.get(THREADS, cores())) // slots)
        self.context = get_context("spawn")
        self.running: list[Running] = []

    def start(self, job: Job) -> None:
        told, tell = self.context.Pipe(duplex=False)
        process = self.context.Process(target=work, args=(job, self.out, tell), name=job.id)
        before = os.environ.get(THREADS)
        os.environ[THREADS] = str(self.threads)  # what it begins with is ours
        process.start()
        os.environ.pop(THREADS) if before is None else os.environ.update({THREADS: before})
        tell.close()
        self.running.append(Running(job, process, told, time.monotonic()))

    def ended(self, seconds: float) -> Iterator[tuple[Job, Record]]:
        wait([one.process.sentinel for one in self.running], seconds)
        for one in list(self.running):
            with suppress(EOFError, OSError):  # it has ended, in the middle of a word perhaps
                while one.told.poll():
                    one.share = one.told.recv()
            if not one.process.is_alive():
                one.process.join()
                self.running.remove(one)
                yield one.job, self._outcome(one)

    def _outcome(self, one: Running) -> Record:
        seconds = round(time.monotonic() - one.begun, 3)
        found = kept_result(self.out / one.job.id)
        return found or record(one.job, "failed", error=why(self.out / one.job.id, one.process), seconds=seconds)

    def shares(self) -> dict[str, float]:
        return {one.job.id: one.share for one in self.running}

    def stop(self) -> None:
        try:
            for one in self.running:
                one.process.terminate()  # which a training takes as the request to keep what it has
            for one in self.running:
                one.process.join()
        finally:
            for one in self.running:
                one.process.kill()


def work(job: Job, out: Path, tell: Connection) -> None:
    """Carry out ``job`` in this process, and leave its line in its folder."""
    folder = out / job.id
    backends.keep_freed_memory()
    os.setpgrp()  # Ctrl-C is for the one who asks us to stop
    threading.Thread(target=follow_parent, daemon=True).start()
    with locked(folder, wait=True):  # for one that lost its parent just now
        redirect(folder / LOG)
        from .entrants import perform

        leave_result(folder, perform(job, out, tell.send))


def follow_parent() -> None:
    """End when the parent does, however that was."""
    parent = parent_process()
    assert parent is not None  # this is a child
    parent.join()
    os._exit(1)


def redirect(path: Path) -> None:
    """Have all that this process says go to the end of ``path``, also what libraries in C say."""
    with open(path, "ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def why(folder: Path, process: SpawnProcess) -> str:
    """The last that a run said before it failed, and how it ended."""
    log, code = folder / LOG, process.exitcode or 0
    said = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
    return f"ended by {signal.Signals(-code).name}" if code < 0 else last
