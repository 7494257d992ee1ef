"""The plots of a report, as SVG that is put into a page and takes its text's colour and font from there."""

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np

from .aggregate import ESTIMATORS, Band
from .report_data import Results
from .report_figures import THRESHOLDS, Overall, Standing

# Okabe and Ito, 2008, without black, which is not seen on a dark page; then once more in dashes
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8c6d31")
DASHES = ("-", "--", ":")
PANELS = 3  # beside each other
FAILED = -2.0  # a score: as far below random as two ceilings are above it
GREY, INK = "#999999", "#010203"  # random's; a stand-in for the page's own
Style = tuple[str, str]  # a colour and a dash


def styles(agents: Sequence[str]) -> dict[str, Style]:
    """One for each of ``agents``, the same in all plots; random is grey."""
    learned = [agent for agent in agents if agent != "random"]
    found = {
        agent: (COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]) for i, agent in enumerate(learned)
    }
    return found | {"random": (GREY, ":")}


def learning_curves(results: Results, task: str, standings: Sequence[Standing], style: Mapping[str, Style]) -> str:
    """The task's metric against environment steps, with 95 % bands over seeds; "" where nobody learned.

    Who has no curve is a thin line across, where it ended.
    """
    if not any(own.curve for own in standings):
        return ""
    figure, (axis,) = figure_of((6.4, 3.4))
    for own in standings:
        keep_in_view(axis, own)
        colour, dash = style[own.agent]
        if own.curve is None:
            axis.axhline(own.score.mean, color=colour, linestyle=dash, linewidth=1.2)
            continue
        steps, band = own.curve
        axis.plot(steps, band.mean, dash, color=colour, linewidth=1.8, marker="o" if len(steps) == 1 else None)
        axis.fill_between(steps, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
    axis.set(xlabel="environment steps", ylabel=results.metric(task))
    axis.xaxis.set_major_formatter(thousands())
    return svg(figure)


def along_episodes(standings: Sequence[Standing], style: Mapping[str, Style]) -> str:
    """A panel for every metric that was measured on the way, against how far an episode is, with 95 % bands.

    "" where none was.
    """
    ways = [own.along() for own in standings]
    metrics = list(dict.fromkeys(metric for way in ways for metric in way))
    if not metrics:
        return ""
    rows = -(-len(metrics) // PANELS)
    figure, axes = figure_of((9.2, 0.4 + 2.1 * rows), PANELS, rows)
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    for axis, metric in zip(axes, metrics, strict=False):
        for own, way in zip(standings, ways, strict=True):
            if metric in way:
                keep_in_view(axis, own)
                colour, dash = style[own.agent]
                mean, low, high = np.array([(one.mean, one.low, one.high) for one in way[metric].values()]).T
                axis.plot(list(way[metric]), mean, dash, color=colour, linewidth=1.6)
                axis.fill_between(list(way[metric]), low, high, color=colour, alpha=0.15, linewidth=0)
        name, unit = metric
        axis.set(xlabel=unit)
        axis.set_title(name, fontsize=10)
    return svg(figure)


def keep_in_view(axis: Any, coming: Standing) -> None:
    """Let ``axis`` stay as it is for what has been drawn, if who is ``coming`` failed altogether."""
    if axis.lines and coming.scaled and coming.scaled.mean < FAILED:
        axis.set_ylim(axis.get_ylim())


def estimates(overall: Sequence[Overall], style: Mapping[str, Style]) -> str:
    """Every estimator's interval of every agent."""
    figure, axes = figure_of((9.2, 0.7 + 0.32 * len(overall)), len(ESTIMATORS))
    for axis, name in zip(axes, ESTIMATORS, strict=True):
        for place, own in enumerate(reversed(overall)):
            interval, (colour, _) = own.estimates[name], style[own.agent]
            axis.barh(place, interval.high - interval.low, left=interval.low, height=0.6, color=colour, alpha=0.45)
            axis.plot([interval.mean] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2.5)
        axis.set_title(name + (" (less is better)" if name == "optimality gap" else ""), fontsize=10)
        axis.set_yticks(
            range(len(overall)), [own.agent for own in reversed(overall)] if axis is axes[0] else [""] * len(overall)
        )
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
    return svg(figure)


def profiles(overall: Sequence[Overall], style: Mapping[str, Style]) -> str:
    """The share of runs that score more than a threshold, with 95 % bands."""
    figure, (axis,) = figure_of((6.4, 3.4))
    for own in overall:
        colour, dash = style[own.agent]
        band: Band = own.profile
        axis.plot(THRESHOLDS, band.mean, dash, color=colour, linewidth=1.8)
        axis.fill_between(THRESHOLDS, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
    axis.set(xlabel="score \u03c4 (0 random, 1 ceiling)", ylabel="share of runs above \u03c4", ylim=(-0.02, 1.02))
    return svg(figure)


def figure_of(size: tuple[float, float], columns: int = 1, rows: int = 1) -> tuple[Any, Any]:
    """An empty figure and its axes ``[rows * columns]``."""
    from matplotlib.figure import Figure

    figure = Figure(size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.grid(alpha=0.25, color=GREY)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[:].set_color(INK)
        axis.tick_params(colors=INK)
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label):
            text.set_color(INK)
    return figure, axes


def svg(figure: Any) -> str:
    """``figure`` as an SVG element; equal figures are equal texts."""
    from matplotlib import rc_context

    text = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "retouch"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :].replace(INK, "currentColor")


def thousands() -> Any:
    from matplotlib.ticker import EngFormatter

    return EngFormatter(sep="")
