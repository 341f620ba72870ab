"""Receiver operating characteristic of the main membership attack, on plain and on logarithmic axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lethe.report.collect import Results
from lethe.report.figures.style import colours, legend_below, panels

CAPTION = (
    "ROC of the membership attack, forget against test, averaged over seeds. On the diagonal the attack cannot "
    "tell what was forgotten from what was never seen. The right panel shows the region of few false accusations."
)


def roc_figure(results: Results) -> Figure | None:
    """True positive rate at every false positive rate, averaged over seeds (vertically); None without an attack.

    The logarithmic panel shows the region that matters for privacy: few false accusations. Its left edge is one
    false positive; below it no rate can be measured with this test set.
    """
    attack = results.comparison["attack"]
    if attack is None:
        return None
    figure, (plain, logarithmic) = panels(2, height=3.9)
    smallest = attack["smallest_rate"]
    for run in results.compared:
        curve = attack["roc"][run]
        rates, means = np.array(curve["false_positive_rates"]), curve["true_positive_rates"]
        emphasis = run in ("original", "retrain")
        style: dict[str, Any] = {
            "color": colours(results)[run],
            "linewidth": 2.2 if emphasis else 1.3,
            "drawstyle": "steps-post",
        }
        area = results.summaries[run][f"{attack['score']}_auc"]["mean"]
        plain.plot(rates, means, label=f"{run} {area:.2f}", **style)
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
