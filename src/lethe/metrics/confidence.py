"""Confidence of a classifier: as a membership score and against its accuracy."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from lethe.metrics.common.aggregates import labelled, per_example
from lethe.metrics.common.attacks import membership

NEEDS = ("logits",)


def confidence(logits: np.ndarray) -> np.ndarray:
    """Largest class probability (Yeom et al., 2018, arXiv:1709.01604; Salem et al., 2019, arXiv:1806.01246).

    Args:
        logits: (N, C).
    Returns:
        (N,) float64 in [1/C, 1]; higher = more likely a member.
    """
    return softmax(logits.astype(np.float64), axis=1).max(axis=1)


def values(scores, settings):
    return {"confidence": per_example(confidence(labelled(scores)[0]), scores)}


def aggregate(scores, values, settings, seed):
    return membership("confidence", -values["confidence"], scores, settings)
