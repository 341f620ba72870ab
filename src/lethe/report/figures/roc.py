"""Receiver operating characteristic of the main membership attack, on plain and on logarithmic axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lethe.metrics.common.attacks import judged_others, roc
from lethe.report.collect import Results
from lethe.report.descriptions import ATTACK
from lethe.report.figures.style import colours, legend_below, panels


def roc_figure(results: Results, found: dict) -> Figure:
    """True positive rate at every false positive rate, averaged over seeds (vertically).

    The logarithmic panel shows the region that matters for privacy: few false accusations. Its left edge is one
    false positive; below it no rate can be measured with this test set.
    """
    score = ATTACK[results.study.task]
    figure, (plain, logarithmic) = panels(2, height=3.9)
    smallest = 1.0
    for run in results.compared:
        curves = []
        for seed in results.seeds:
            columns = results.examples(run, seed)
            members = columns[score][columns["set"] == "forget"]
            others = columns[score][judged_others(columns | {"sets": columns["set"]})]
            curves.append(roc(members, others))
            smallest = min(smallest, 1 / len(others))
        rates, means = average(curves)
        emphasis = run in ("original", "retrain")
        style: dict[str, Any] = {
            "color": colours(results)[run],
            "linewidth": 2.2 if emphasis else 1.3,
            "drawstyle": "steps-post",
        }
        plain.plot(rates, means, label=f"{run} {found[run][f'{score}_auc']['mean']:.2f}", **style)
        logarithmic.plot(np.maximum(rates, smallest / 10), means, **style)
    for axis in (plain, logarithmic):
        chance = np.geomspace(smallest / 10, 1, 200)
        axis.plot(chance, chance, color="#999999", linestyle=":", linewidth=1)
        axis.set_xlabel("false positive rate")
        axis.set_ylabel("true positive rate")
    plain.set_title("Linear axes, AUC beside each name")
    logarithmic.set(
        xscale="log", yscale="log", xlim=(smallest, 1), ylim=(smallest, 1.1), title="Logarithmic axes"
    )
    legend_below(figure, plain, columns=4)
    return figure


def average(curves: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Vertical mean of step curves, at every false positive rate that occurs in one of them."""
    rates = np.unique(np.concatenate([false for false, _ in curves]))
    steps = [true[np.searchsorted(false, rates, side="right") - 1] for false, true in curves]
    return rates, np.mean(steps, axis=0)
