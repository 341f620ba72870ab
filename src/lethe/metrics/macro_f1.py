"""Macro-averaged F1 of a classifier, the utility measure of DeepCUT (He et al., 2025, arXiv:2503.14900)."""

from __future__ import annotations

import numpy as np

from lethe.metrics.accuracy import prediction

NEEDS = ("logits", "labels")


def macro_f1(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over classes of 2·TP / (2·TP + FP + FN).

    The classes are those that occur among the labels or the predictions: a class that does neither has no F1.

    Args:
        predicted: (N,) int, the predicted class.
        labels: (N,) int, the true class.
    Returns:
        In [0, 1]; higher is better on retain and test, near that of `retrain` on the forget set.
    Raises:
        ValueError: there is no example.
    """
    if len(labels) == 0:
        raise ValueError("no example: F1 needs at least one")
    classes = np.union1d(predicted, labels)
    is_predicted, is_true = predicted == classes[:, None], labels == classes[:, None]
    hits = (is_predicted & is_true).sum(axis=1)
    return float(np.mean(2 * hits / (is_predicted.sum(axis=1) + is_true.sum(axis=1))))


def values(scores, settings):
    return {}


def aggregate(scores, values, settings, seed):
    predicted, labels, sets = prediction(scores["logits"]), scores["labels"], scores["sets"]
    return {f"macro_f1_{s}": macro_f1(predicted[sets == s], labels[sets == s]) for s in np.unique(sets)}
