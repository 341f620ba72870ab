"""Expected calibration error: does a classifier that is 80% sure err in 20% of the cases?"""

from __future__ import annotations

import numpy as np

from lethe.metrics.accuracy import correct
from lethe.metrics.confidence import confidence

NEEDS = ("logits", "labels")


def calibration_error(confidences: np.ndarray, hits: np.ndarray, bins: int) -> float:
    """Σ_b (n_b/N)·|accuracy_b − confidence_b| over equal-width bins (Guo et al., 2017, arXiv:1706.04599).

    Args:
        confidences: (N,) in [0, 1], probability of the predicted class.
        hits: (N,) bool, the prediction is right.
        bins: number of bins of [0, 1]; a confidence on an edge belongs to the bin below it.
    Returns:
        In [0, 1]; lower is better. Small sets have a positive bias: compare sets of one size only.
    Raises:
        ValueError: there is no example, or a confidence is outside [0, 1].
    """
    if len(hits) == 0 or not ((confidences >= 0) & (confidences <= 1)).all():
        raise ValueError("at least one example, with a confidence in [0, 1], is needed")
    index = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(index, weights=hits - confidences, minlength=bins)  # n_b · (accuracy_b − confidence_b)
    return float(np.abs(gap).sum() / len(hits))


def values(scores, settings):
    return {}


def aggregate(scores, values, settings, seed):
    sets, confidences = scores["sets"], confidence(scores["logits"])
    hits = correct(scores["logits"], scores["labels"])
    return {
        f"calibration_error_{s}": calibration_error(
            confidences[sets == s], hits[sets == s], settings.calibration_bins
        )
        for s in np.unique(sets)
    }
