"""Min-K%: the least likely tokens of a text, as a membership score."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.attacks import membership

NEEDS = ("logprob",)


def lowest_mean(values: np.ndarray, mask: np.ndarray, share: float) -> np.ndarray:
    """Mean of the lowest `share` of each row's scored values, at least one of them.

    Args:
        values: (N, T); any number where not scored.
        mask: (N, T) bool, the value is scored.
        share: in (0, 1]; of n values the lowest max(1, floor(share·n)) are taken, as in the published code.
    Returns:
        (N,) float64.
    Raises:
        ValueError: a row has no scored value.
    """
    scored = mask.sum(axis=1)
    if not scored.all():
        raise ValueError(f"{int((scored == 0).sum())} sequences have no scored token")
    count = np.maximum(1, np.floor(share * scored + 1e-9).astype(int))  # 0.29 · 100 is 28.999… in floats
    ordered = np.sort(np.where(mask, values.astype(np.float64), np.inf), axis=1)
    taken = np.arange(ordered.shape[1]) < count[:, None]
    return np.where(taken, ordered, 0).sum(axis=1) / count


def min_k(logprob: np.ndarray, mask: np.ndarray, share: float) -> np.ndarray:
    """−mean of the lowest `share` of the token log-probabilities (Shi et al., ICLR 2024, arXiv:2310.16789).

    Args:
        logprob: (N, T) log-probability of each token given those before it, nats; any number where not scored.
        mask: (N, T) bool, the token is scored.
        share: share of the tokens, in (0, 1]; 1 gives the loss.
    Returns:
        (N,) float64, nats, ≥ 0; lower = more likely a member.
    Raises:
        ValueError: a sequence has no scored token.
    """
    return -lowest_mean(logprob, mask, share)


def values(scores, settings):
    return {"min_k": min_k(scores["logprob"], scores["mask"], settings.min_k)}


def aggregate(scores, values, settings, seed):
    return membership("min_k", values["min_k"], scores, settings)
