"""Where time goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Meter:
    """Keeps the seconds of each time that something runs under it, the device's work included."""

    def __init__(self, device: torch.device):
        self.device = device
        self.laps: list[float] = []

    @property
    def seconds(self) -> float:
        """All together."""
        return sum(self.laps)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._wait()
        begun = time.perf_counter()
        yield
        self._wait()
        self.laps.append(time.perf_counter() - begun)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@contextmanager
def metered(calls: tuple[tuple[object, str], ...], meter: Meter) -> Iterator[None]:
    """Have ``meter`` run whenever one of ``calls`` (owner, method) does."""

    def under(method: Callable) -> Callable:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with meter():
                return method(*args, **kwargs)

        return timed

    for owner, name in calls:
        setattr(owner, name, under(getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name in calls:
            delattr(owner, name)  # the class's own shows again


def timed(work: Callable[[], object], device: torch.device) -> float:
    meter = Meter(device)
    with meter():
        work()
    return meter.seconds
