"""Memorization accuracy: the share of tokens the model predicts greedily from the true prefix."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import set_means
from lethe.metrics.common.attacks import judged_others, membership

NEEDS = ("correct",)


def memorization_accuracy(correct: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """MA of Jang et al. (ACL 2023, arXiv:2210.01504), after Tirumala et al. (2022).

    Args:
        correct: (N, T-1) bool, the arg max of the next-token distribution is the token.
        mask: (N, T-1) bool, the token is scored.
    Returns:
        (N,) float64 in [0, 1]; lower means better forgotten.
    Raises:
        ValueError: a sequence has no scored token (a mean over nothing is not zero).
    """
    scored = mask.sum(axis=1)
    if (scored == 0).any():
        raise ValueError(f"row {int(np.argmin(scored))} has no scored token")
    return (correct & mask).sum(axis=1) / scored


def values(scores, settings):
    return {"memorization_accuracy": memorization_accuracy(scores["correct"], scores["mask"])}


def aggregate(scores, values, settings, seed):
    """Means by set, the excess of the forget set over test, where there is one, and MA as a membership attack.

    Test text is the baseline under the same model: a model that predicts nothing any more has a low MA on both.
    """
    accuracy, sets = values["memorization_accuracy"], scores["sets"]
    found, others = set_means("memorization_accuracy", accuracy, sets), judged_others(scores)
    if others.any():
        excess = accuracy[sets == "forget"].mean() - accuracy[others].mean()
        found["memorization_accuracy_excess"] = float(excess)
    return found | membership("memorization_accuracy", 1 - accuracy, scores, settings)
