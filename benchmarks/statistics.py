"""Numbers with their uncertainty."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds that hold it."""

    mean: float
    low: float
    high: float


def bootstrap(values: ArrayLike, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """The mean of ``values`` ``[N]`` and its percentile bootstrap interval (Efron, 1979); of one value, no width.

    Raises ValueError without values.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"expected some values [N], got shape {list(sample.shape)}")
    drawn = np.random.default_rng(seed).integers(len(sample), size=(resamples, len(sample)))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(sample[drawn].mean(1), [tail, 100 - tail])
    return Interval(float(sample.mean()), float(low), float(high))


def difference(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """The mean of ``b`` less that of ``a``, ``[seeds, episodes]`` each, over the same episodes.

    A hierarchical bootstrap: training seeds are resampled for each side, episodes for both together.
    Raises ValueError where the sides do not share their episodes.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"expected [seeds, episodes] of the same episodes, got {first.shape} and {second.shape}")
    random = np.random.default_rng(seed)
    drawn = np.empty(resamples)
    for i in range(resamples):
        episodes = random.integers(first.shape[1], size=first.shape[1])
        means = [side[random.integers(len(side), size=len(side))].mean(0)[episodes].mean() for side in (first, second)]
        drawn[i] = means[1] - means[0]
    tail = 50 * (1 - confidence)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(float(second.mean() - first.mean()), float(low), float(high))
