"""Forgetting against utility: every run between the original and the retrained model."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lethe.report.collect import Results
from lethe.report.figures.style import colours, legend_below, markers, panels
from lethe.system import plugins
from lethe.tasks import Column

CAPTION = (
    "Forgetting against utility. Large markers are means over seeds, small ones single seeds; the green "
    "lines and bands are the retrained model and its spread (± 1 sd). The best run lies where the bands cross: what "
    "was to be forgotten looks as if never seen, and nothing else is lost."
)


def pairs(results: Results, available) -> list[tuple[Column, Column]]:
    """Per panel what is on the horizontal (forgetting) and on the vertical axis (utility)."""
    wanted = plugins.part("tasks", results.study.task, "tradeoff")(available)
    return [(x, y) for x, y in wanted if x.key in available and y.key in available]


def tradeoff(results: Results) -> Figure | None:
    """A panel per pair of metrics; None if the study has no such pair.

    Small markers are seeds, large ones their mean; the band is the spread (± 1 sd) of retrain over its seeds.
    """
    found = results.summaries
    wanted = pairs(results, found.get("retrain", found["original"]))
    if not wanted:
        return None
    figure, axes = panels(len(wanted), height=3.4)
    for axis, (x, y) in zip(axes, wanted, strict=True):
        draw(axis, results, found, x, y)
    legend_below(figure, axes[0])
    return figure


def draw(axis: Axes, results: Results, found: dict, x: Column, y: Column) -> None:
    if "retrain" in found:
        band(axis.axvspan, axis.axvline, found["retrain"][x.key])
        band(axis.axhspan, axis.axhline, found["retrain"][y.key])
    colour, marker = colours(results), markers(results)
    for run in results.compared:
        seeds = [n for n in results.numbers[run].values() if x.key in n and y.key in n]
        points = np.array([[numbers[x.key], numbers[y.key]] for numbers in seeds]).reshape(-1, 2)
        if len(points) == 0:
            continue
        style: dict[str, Any] = {"color": colour[run], "marker": marker[run], "linestyle": "none"}
        if len(points) > 1:
            axis.plot(*points.T, markersize=4, alpha=0.45, label=f"_{run}, one seed", **style)
        size = 13 if run == "retrain" else 8
        axis.plot(
            *points.mean(axis=0), markersize=size, markeredgecolor="white", label=run, zorder=3, **style
        )
    axis.margins(0.08)
    axis.set(xlim=at_least(axis.get_xlim()), ylim=at_least(axis.get_ylim()))
    axis.set_xlabel(f"{x.label} (goal: retrain)")
    axis.set_ylabel(f"{y.label} ↑")


def band(span, line, entry: dict) -> None:
    """Mean of retrain as a line, one standard deviation to each side shaded where there is one."""
    line(entry["mean"], color="#009e73", linewidth=0.8, alpha=0.7, zorder=1)
    if "sd" in entry:
        span(
            entry["mean"] - entry["sd"],
            entry["mean"] + entry["sd"],
            color="#009e73",
            alpha=0.12,
            zorder=0,
            lw=0,
        )


def at_least(limits: tuple[float, float], width: float = 0.1) -> tuple[float, float]:
    """Limits of an axis that shows shares, widened about their middle so that noise does not fill the panel."""
    low, high = limits
    missing = max(width - (high - low), 0) / 2
    return low - missing, high + missing
