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
