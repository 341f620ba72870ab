"""Probability of an answer, and its share beside wrong answers: TOFU's first measure (arXiv:2401.06121)."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from lethe.metrics.common.aggregates import set_means
from lethe.metrics.loss import token_loss

NEEDS = ("logprob", "answered", "alternative_loss")


def with_options(loss: np.ndarray, alternative_loss: np.ndarray) -> np.ma.MaskedArray:
    """P(y) / (P(y) + Σ P(ŷ_k)), P = exp(−loss): how probable the true answer is if one of these is given.

    Args:
        loss: (N,) mean negative log-likelihood of the true answer's tokens, nats.
        alternative_loss: (N, K) of wrong answers, NaN where there are fewer.
    Returns:
        (N,) float64 in [0, 1], masked where there is no wrong answer.
    """
    given = np.isfinite(alternative_loss)
    options = np.column_stack([-loss, np.where(given, -alternative_loss, -np.inf)])
    return np.ma.array(softmax(options, axis=1)[:, 0], mask=~given.any(axis=1))


def values(scores, settings):
    """`probability`, exp(−loss), of answers to prompts, and `probability_with_options` where there are wrong ones."""
    loss, answered = token_loss(scores["logprob"], scores["mask"]), scores["answered"]
    return {
        "probability": np.ma.array(np.exp(-loss), mask=~answered),
        "probability_with_options": with_options(loss, scores["alternative_loss"]),
    }


def aggregate(scores, values, settings, seed):
    found: dict[str, float] = {}
    for name, column in values.items():
        found |= set_means(name, column, scores["sets"])
    return found
