"""Modified entropy: entropy that knows the true class."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, logsumexp

from lethe.metrics.common.aggregates import labelled, per_example
from lethe.metrics.common.attacks import membership

NEEDS = ("logits",)


def modified_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−(1 − p_y)·log p_y − Σ_{c≠y} p_c·log(1 − p_c) (Song & Mittal, USENIX Security 2021, arXiv:2003.10595).

    Unlike the entropy it is large when the model is surely wrong. log(1 − p) is the log-sum-exp of the other
    classes, so that it stays finite when p rounds to 1.

    Args:
        logits: (N, C), C ≥ 2.
        labels: (N,) int, the true class.
    Returns:
        (N,) float64, nats, ≥ 0; lower = more likely a member.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    classes = np.arange(log_p.shape[1])
    others = np.where(classes[:, None] == classes, -np.inf, 0.0)  # (C, C), leaves class c out
    log_not_p = logsumexp(log_p[:, None, :] + others, axis=2)
    true = classes == labels[:, None]
    terms = np.where(true, np.exp(log_not_p) * log_p, np.exp(log_p) * log_not_p)
    return -terms.sum(axis=1)


def values(scores, settings):
    return {"modified_entropy": per_example(modified_entropy(*labelled(scores)), scores)}


def aggregate(scores, values, settings, seed):
    return membership("modified_entropy", values["modified_entropy"], scores, settings)
