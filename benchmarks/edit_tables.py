"""The tables of ``edit_study``: trained editors beside untrained ones, with intervals over seeds and problems."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from ..simulators.edits import KINDS
from .statistics import Interval, difference

DISTANCES = ("l1", "l2", "source_l1", "source_l2")  # lower is nearer
PIXELS = ("l1", "l2", "psnr", "ssim")
IMPROVED = ("success", *(f"success/{kind}" for kind in KINDS), "done", "kept", *PIXELS)
ABLATED = ("success", "done", "kept", *PIXELS, *(f"source_{name}" for name in PIXELS))
CLAIMED = ("l1", "l2", "source_psnr", "source_ssim")  # in the paper's Table 2 all are higher with both rewards
NAMES = {
    "copy": "input returned",
    "reference": "before, noisy",
    "untrained": "before",
    "attention": "attention alone",
    "clip": "clipped MAE alone",
    "both": "both (the paper's)",
    "half": "exact, half-trained editor",
    "shipped": "margin, shipped editor",
    "guided": "margin, guidance of the shipped editor",
}
RESAMPLES = 2000


class Scores:
    """Metrics ``[seeds, problems]`` by name; NaN where one says nothing of a problem."""

    def __init__(self, values: Mapping[str, NDArray[np.float64]]):
        self.values = dict(values)

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "Scores":
        """Of one file a seed."""
        seeds = [json.loads(path.read_text()) for path in paths]
        names = [name for name, values in seeds[0].items() if isinstance(values, list)]
        return cls({name: np.array([seed[name] for seed in seeds], dtype=np.float64) for name in names})

    def of(self, metric: str) -> NDArray[np.float64]:
        """``[seeds, problems]``, of those problems that the metric speaks of."""
        values = self.values[metric]
        return values[:, ~np.isnan(values[0])]

    def speaks_of(self, metric: str) -> bool:
        return self.of(metric).size > 0

    def interval(self, metric: str) -> Interval:
        """The mean, with its interval over seeds and problems."""
        values = self.of(metric)
        return difference(np.zeros_like(values), values, resamples=RESAMPLES)

    def less(self, other: "Scores", metric: str) -> Interval:
        """How much higher the mean is than that of ``other`` on the same problems."""
        return difference(other.of(metric), self.of(metric), resamples=RESAMPLES)


def improve_rows(arms: Mapping[str, Mapping[str, Scores]]) -> list[dict]:
    """One row an arm and metric: ``gain`` over the untrained policy, and ``holds``: it is surely for the better."""
    rows = []
    for arm, sides in arms.items():
        for metric in filter(sides["after"].speaks_of, IMPROVED):
            gain = sides["after"].less(sides["untrained"], metric)
            rows.append(
                {"arm": arm, "seeds": len(sides["after"].of(metric)), "metric": metric}
                | {name: bounds(scores.interval(metric)) for name, scores in sides.items()}
                | {"gain": bounds(gain), "holds": gain.high < 0 if metric in DISTANCES else gain.low > 0}
            )
    return rows


def improve_table(rows: Sequence[Mapping]) -> Table:
    heads = "arm", "metric", "input returned", "before, noisy", "before", "after", "after - before", "better"
    out = Table(*heads, title="Held-out edits before and after reinforcement learning [95 % intervals]")
    for row in rows:
        cells = [written(row[name]) for name in ("reference", "untrained", "after", "gain")]
        first = f"{row['arm']}, seeds: {row['seeds']}" if row["metric"] == IMPROVED[0] else ""
        out.add_row(first, row["metric"], f"{row['copy'][0]:.4f}", *cells, str(row["holds"]))
    return out


def ablation_rows(policies: Mapping[str, Scores]) -> list[dict]:
    """One row a policy, every metric with its interval."""
    return [
        {"policy": name, "seeds": len(scores.of("success"))}
        | {metric: bounds(scores.interval(metric)) for metric in ABLATED}
        for name, scores in policies.items()
    ]


def ablation_table(rows: Sequence[Mapping]) -> Table:
    heads = (metric.replace("source_", "source\n") for metric in ABLATED)
    out = Table("policy", *heads, title="Rewards compared, to the answer and to the source; ± half the 95 % interval")
    for row in rows:
        cells = (f"{mean:.4f}\n±{(high - low) / 2:.4f}" for mean, low, high in (row[metric] for metric in ABLATED))
        out.add_row(NAMES[row["policy"]], *cells)
    return out


def verdict(arms: Mapping[str, Scores]) -> str:
    """Whether the ordering of the paper's Table 2 holds, by the intervals of the differences; "" without its arms.

    There the distance to the answer (L1, L2) is a little larger with both rewards than with either alone, and the
    likeness (PSNR, SSIM), which its text takes to the original picture, is higher.
    """
    if not {"attention", "clip", "both"} <= arms.keys():
        return ""
    gaps = {
        f"{metric} over {alone}": arms["both"].less(arms[alone], metric)
        for metric in CLAIMED
        for alone in ("attention", "clip")
    }
    holds = [name for name, gap in gaps.items() if gap.low > 0]
    opposed = [name for name, gap in gaps.items() if gap.high < 0]
    answer = "holds" if len(holds) == len(gaps) else "holds in part" if holds else "does not hold"
    rates = ", ".join(f"{NAMES[arm]} {scores.of('success').mean():.3f}" for arm, scores in arms.items())
    return (
        f"The paper's ordering {answer} here: with both rewards its L1, L2, PSNR and SSIM are all higher than with "
        f"either alone; of these {len(gaps)} comparisons {len(holds)} come out so ({', '.join(holds) or 'none'}), "
        f"{len(opposed)} the other way ({', '.join(opposed) or 'none'}), and the rest cannot be told apart. "
        f"Exact success: {rates}."
    )


def bounds(interval: Interval) -> list[float]:
    return [interval.mean, interval.low, interval.high]


def written(interval: Sequence[float]) -> str:
    return "{:.4f} [{:.4f}, {:.4f}]".format(*interval)
