"""Logit margin of a classifier, as a membership score."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import labelled, per_example
from lethe.metrics.common.attacks import membership

NEEDS = ("logits",)


def margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Logit of the true class minus the largest other logit.

    Args:
        logits: (N, C), C ≥ 2.
        labels: (N,) int, the true class.
    Returns:
        (N,) float64; negative where the prediction is wrong; higher = more likely a member.
    """
    logits = logits.astype(np.float64)
    true = np.arange(logits.shape[1]) == labels[:, None]
    return logits[true] - np.where(true, -np.inf, logits).max(axis=1)


def values(scores, settings):
    return {"margin": per_example(margin(*labelled(scores)), scores)}


def aggregate(scores, values, settings, seed):
    return membership("margin", -values["margin"], scores, settings)
