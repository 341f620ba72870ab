"""Entropy of a classifier's prediction, plain and with the true class, as membership scores."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from lethe.metrics.common.aggregates import labelled, per_example
from lethe.metrics.common.attacks import membership

NEEDS = ("logits",)


def entropy(logits: np.ndarray) -> np.ndarray:
    """Shannon entropy of the predicted distribution, −Σ_c p_c·log p_c (Salem et al., 2019, arXiv:1806.01246).

    Args:
        logits: (N, C).
    Returns:
        (N,) float64, nats, in [0, log C]; lower = more likely a member.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    return -(np.exp(log_p) * log_p).sum(axis=1)


def values(scores, settings):
    return {"entropy": per_example(entropy(labelled(scores)[0]), scores)}


def aggregate(scores, values, settings, seed):
    return membership("entropy", values["entropy"], scores, settings)
