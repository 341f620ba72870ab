"""Accuracy of a classifier."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import set_means

NEEDS = ("logits", "labels")


def prediction(logits: np.ndarray) -> np.ndarray:
    """Class of the largest logit, the first one on a tie.

    Args:
        logits: (N, C).
    Returns:
        (N,) int64 in 0..C-1.
    """
    return logits.argmax(axis=1)


def correct(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the largest logit is that of the true class.

    Args:
        logits: (N, C).
        labels: (N,) int, the true class.
    Returns:
        (N,) bool. Its mean over a set is the accuracy, in [0, 1]: higher is better on retain and test; on the
        forget set, near that of `retrain` is better.
    """
    return prediction(logits) == labels


def values(scores, settings):
    return {"correct": correct(scores["logits"], scores["labels"])}


def aggregate(scores, values, settings, seed):
    return set_means("accuracy", values["correct"], scores["sets"])
