"""Gates of a model with adapters behind them: whom they see, and whether they give away who was forgotten.

A gate is a detector of what was asked to go. It is meant to tell that from retained text, and from prose; a gate that
tells forgotten texts from unseen ones of the same kind is a list of who was forgotten, shipped with the model. The
nearest stored text, which whoever holds the files can look up, is such a list in any case. Where texts have labels,
both attacks are judged against test texts of the labels that were forgotten: to tell a kind is what a gate is for.
"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import set_means
from lethe.metrics.common.attacks import auc, membership

NEEDS = ("gate", "gate_nearest")
OTHERS = ("retain", "holdout", "test", "general_test")


def told_apart(weight: np.ndarray, sets: np.ndarray) -> dict[str, float]:
    """gate_sees_SET: area under the ROC curve of the weights of forget against those of another set.

    Args:
        weight: (N,) largest weight of an adapter; sets: (N,) set of each example.
    Returns:
        In [0, 1]: 0.5 where the gate opens as far for both, 1 where it opens further for every text to be forgotten.
    """
    forget = -weight[sets == "forget"]
    return {
        f"gate_sees_{name}": auc(forget, -weight[sets == name]) for name in OTHERS if (sets == name).any()
    }


def of_the_same_kinds(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The scores, of which attacks are judged on test texts of the labels that forget has, where texts have some."""
    if "gate_kind" not in scores:
        return scores
    asked = np.unique(scores["gate_kind"][scores["sets"] == "forget"])
    return scores | {"matched": scores.get("matched", True) & np.isin(scores["gate_kind"], asked)}


def values(scores, settings):
    return {"gate_weight": scores["gate"], "gate_nearest": scores["gate_nearest"]}


def aggregate(scores, values, settings, seed):
    """Mean weight of each set, whom the gate sees, and both the weight and the nearest stored text as attacks."""
    found = set_means("gate_weight", values["gate_weight"], scores["sets"])
    found |= told_apart(values["gate_weight"], scores["sets"])
    judged = of_the_same_kinds(scores)
    for name in ("gate_weight", "gate_nearest"):  # a member scores lower
        found |= membership(name, -values[name], judged, settings)
    return found
