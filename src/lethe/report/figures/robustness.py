"""How much of the forget set is back, by the strength of each perturbation: relearning curves and their like."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lethe.report.collect import Results
from lethe.report.figures.style import colours, legend_below, markers, panels

CAPTION = (
    "What comes back when the model or the prompt is changed: each panel is a perturbation at growing "
    "strength, means over seeds. Every run is changed in the same way, retrain and original too."
)


def robustness(results: Results) -> Figure | None:
    """A panel per perturbation, a line per run over its levels, beginning with the run as it is; means over seeds."""
    if not results.variants:
        return None
    column = results.memory[0]
    perturbations = results.study.robustness
    figure, axes = panels(len(perturbations), height=2.9)
    colour, marker = colours(results), markers(results)
    for axis, (name, given) in zip(axes, perturbations.items(), strict=True):
        steps = [results.numbers, *(results.variants[f"{name}-{level}"] for level in given.levels)]
        for run in results.compared:
            means = [np.mean([n[column.key] for n in numbers[run].values()]) for numbers in steps]
            style: dict[str, Any] = {
                "color": colour[run],
                "marker": marker[run],
                "markersize": 5,
                "linewidth": 1.3,
            }
            axis.plot(range(len(steps)), means, label=run, alpha=0.85, **style)
        axis.set_xticks(range(len(steps)), ["as it is", *map(str, given.levels)])
        axis.set_title(name)
    axes[0].set_ylabel(column.label)
    legend_below(figure, axes[0])
    return figure
