"""Loss of each example: of the true class, or of the true tokens. The oldest membership score."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from lethe.metrics.common.aggregates import labelled, per_example, set_means
from lethe.metrics.common.attacks import membership

NEEDS = ()


def label_loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of the true class (Yeom et al., 2018, arXiv:1709.01604).

    Args:
        logits: (N, C).
        labels: (N,) int, the true class.
    Returns:
        (N,) float64, nats, ≥ 0; lower = more likely a member.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    return -np.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]


def token_loss(logprob: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean negative log-likelihood of a sequence's scored tokens.

    Args:
        logprob: (N, T) log-probability of each token given those before it, nats; where `mask` is False any
            number or none (padding never enters).
        mask: (N, T) bool, the token is scored.
    Returns:
        (N,) float64, nats per token, ≥ 0; lower = more likely a member.
    Raises:
        ValueError: a sequence has no scored token.
    """
    tokens = mask.sum(axis=1)
    if not tokens.all():
        raise ValueError(f"{int((tokens == 0).sum())} sequences have no scored token")
    return -np.where(mask, logprob, 0).sum(axis=1, dtype=np.float64) / tokens


def values(scores, settings):
    return {"loss": example_loss(scores)}


def example_loss(scores: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) loss of each example: as the task keeps it, or of its true class or classes, or of its true tokens."""
    if "loss" in scores:
        return scores["loss"].astype(np.float64)
    if "logits" in scores:
        return per_example(label_loss(*labelled(scores)), scores)
    return token_loss(scores["logprob"], scores["mask"])


def aggregate(scores, values, settings, seed):
    means = set_means("loss", values["loss"], scores["sets"])
    return means | membership("loss", values["loss"], scores, settings)
