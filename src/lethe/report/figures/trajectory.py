"""What happens between epochs: memorisation of the forget set, pairs still active, what is kept."""

from __future__ import annotations

import re
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lethe.report.collect import Results
from lethe.report.figures.style import colours, legend_below, panels

CAPTION = (
    "Between epochs: memorization accuracy (MA) and extraction likelihood (EL), defined below. A line "
    "per seed, thick for a method that drops forgotten pairs, a dot where the run ended; dashed is the threshold, the "
    "level of text the model never saw. Epoch 0 is the original model."
)


def titles(columns: set[str]) -> dict[str, str]:
    """Column of epochs.csv -> title of its panel, in the order of panels."""
    likelihoods = sorted(c for c in columns if re.fullmatch(r"extraction_likelihood_\d+", c))
    wanted = {
        "memorization_accuracy": "MA, forget",
        **{name: f"EL{name.split('_')[2]}, forget" for name in likelihoods},
        "active": "Pairs still active",
        "retain_memorization_accuracy": "MA, retain",
    }
    return {column: title for column, title in wanted.items() if column in columns}


def trajectory(results: Results) -> Figure | None:
    """A panel per quantity over epochs, a line per seed; None if no run reports between epochs.

    Runs with active pairs (ICU) are drawn thick. Dots mark where a run ended; dashed is the threshold at which it
    stops, which follows what the run's model then makes of unseen text.
    """
    seen = {run: list(seeds.values()) for run, seeds in results.epochs.items() if any(seeds.values())}
    shown = titles(set().union(*(series for found in seen.values() for series in found))) if seen else {}
    if not shown:
        return None
    figure, axes = panels(len(shown), height=2.8, columns=4)
    for axis, (column, title) in zip(axes, shown.items(), strict=True):
        draw(axis, results, seen, column)
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axis.set_ylim(bottom=0)
    legend_below(figure, axes[0])
    return figure


def draw(axis: Axes, results: Results, seen: dict, column: str) -> None:
    colour = colours(results)
    for run, found in seen.items():
        iterative = any("active" in series for series in found)
        for index, series in enumerate(found):
            if column not in series:
                continue
            label = run if index == 0 else f"_{run}, another seed"
            style: dict[str, Any] = {
                "color": colour[run],
                "linewidth": 2.2 if iterative else 1.1,
                "zorder": 3 if iterative else 2,
            }
            axis.plot(series["epoch"], series[column], label=label, alpha=0.85, **style)
            axis.plot(
                series["epoch"][-1],
                series[column][-1],
                "o",
                markersize=4,
                color=colour[run],
                zorder=4,
                label=f"_{run}, end",
            )
            if (limit := f"threshold_{column}") in series:
                axis.plot(
                    series["epoch"],
                    series[limit],
                    "--",
                    linewidth=0.7,
                    label=f"_{run}, threshold",
                    color=colour[run],
                )
