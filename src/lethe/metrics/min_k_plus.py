"""Min-K%++: Min-K% on log-probabilities standardised over the vocabulary, as a membership score."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.attacks import membership
from lethe.metrics.min_k import lowest_mean

NEEDS = ("mu",)
SMALLEST = 1e-6  # a smaller deviation is rounding: the prediction is one sure token, or flat


def min_k_plus(
    logprob: np.ndarray, mask: np.ndarray, mu: np.ndarray, sigma: np.ndarray, share: float
) -> np.ndarray:
    """−mean of the lowest `share` of (log p − μ)/σ (Zhang et al., 2024, arXiv:2404.02936).

    Args:
        logprob: (N, T) log-probability of each token given those before it, nats; any number where not scored.
        mask: (N, T) bool, the token is scored.
        mu: (N, T) mean of the log-probability over the vocabulary under the model's distribution, nats.
        sigma: (N, T) its standard deviation, nats; taken as 1e-6 at least. A token that is surely predicted thus
            counts as average (0), and one in the place of a sure prediction as far below all others.
        share: share of the tokens, in (0, 1].
    Returns:
        (N,) float64, standard deviations; lower = more likely a member.
    Raises:
        ValueError: a sequence has no scored token.
    """
    difference = np.where(mask, logprob.astype(np.float64) - mu, 0.0)
    return -lowest_mean(difference / np.where(mask, np.maximum(sigma, SMALLEST), 1.0), mask, share)


def values(scores, settings):
    logprob, mask, mu, sigma = (scores[name] for name in ("logprob", "mask", "mu", "sigma"))
    return {"min_k_plus": min_k_plus(logprob, mask, mu, sigma, settings.min_k)}


def aggregate(scores, values, settings, seed):
    return membership("min_k_plus", values["min_k_plus"], scores, settings)
