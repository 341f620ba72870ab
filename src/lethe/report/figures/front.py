"""Forgetting against utility over the epochs of every run, and the front of each."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lethe.evaluation.fronts import front
from lethe.params.training import UTILITY, Choose
from lethe.report.collect import Results
from lethe.report.equal_damage import by_metric, levels, measured, points
from lethe.report.figures.style import colours, legend_below, markers, panels

CAPTION = (
    "Between epochs, on forget, retain and validation, never on test: how much is left of what was to be forgotten "
    "against what is kept of the original's utility (1: all of it). Every epoch of every seed is a point, and the line "
    "joins those that no other epoch of the run beats in both; along it, what a method reaches at equal utility is "
    "interpolated. The line across is the utility at which methods are compared, the largest marker of a run the epoch "
    "that was chosen. The best run reaches furthest to the upper left."
)


def fronts(results: Results) -> Figure | None:
    """A panel for each metric that says what is left; None if no run was measured between epochs."""
    several = [*by_metric(results)]
    if not several:
        return None
    figure, axes = panels(len(several), height=3.6)
    for axis, (metric, rules) in zip(axes, several, strict=True):
        axis.axhline(levels(rules)[0], linestyle="--", linewidth=0.8, color="#666666")
        for run, rule in rules.items():
            draw(axis, results, run, rule)
        away = {rule.goal for rule in rules.values()} - {"lowest"}
        axis.set_xlabel(f"{metric}, distance from {', '.join(map(str, sorted(away)))}" if away else metric)
        axis.set_ylabel(f"{UTILITY} ↑")
    legend_below(figure, axes[0])
    return figure


def draw(axis: Axes, results: Results, run: str, rule: Choose) -> None:
    colour, marker = colours(results)[run], markers(results)[run]
    for number, (seed, series) in enumerate(measured(results)[run].items()):
        utility, left = points(series, rule)
        on, name = front(utility, left), f"{run}, seed {seed}"
        axis.plot(left, utility, marker, markersize=4, alpha=0.4, color=colour, label=f"_{name}, all epochs")
        line: dict[str, Any] = {
            "linewidth": 1.4,
            "alpha": 0.9,
            "color": colour,
            "marker": marker,
            "markersize": 5,
        }
        axis.plot(left[on], utility[on], label=f"_{name}" if number else run, **line)
        if "chosen" in series:
            at = [int(series["chosen"].argmax())]
            ring: dict[str, Any] = {
                "markersize": 12,
                "markerfacecolor": "none",
                "color": colour,
                "linestyle": "none",
            }
            axis.plot(left[at], utility[at], "o", label=f"_{name}, chosen", **ring)
