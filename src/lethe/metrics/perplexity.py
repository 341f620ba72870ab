"""Perplexity and next-token accuracy: what a generator still knows, over all tokens of a set."""

from __future__ import annotations

import numpy as np

from lethe.metrics.loss import token_loss

NEEDS = ("logprob",)
LARGEST = 1e12  # a perplexity above says only that the model is broken; its loss is reported beside it


def perplexity(logprob: np.ndarray, mask: np.ndarray) -> float:
    """exp of the mean negative log-likelihood over all scored tokens of all sequences.

    Every token weighs the same: neither the length of a sequence nor its batch changes that.

    Args:
        logprob: (N, T) log-probability of each token given those before it, nats; any number where not scored.
        mask: (N, T) bool, the token is scored.
    Returns:
        ≥ 1, at most 1e12; lower is better.
    Raises:
        ValueError: a sequence has no scored token, or there is no sequence.
    """
    if len(mask) == 0:
        raise ValueError("no sequence: a perplexity needs at least one")
    tokens = mask.sum(axis=1)
    mean = np.average(token_loss(logprob, mask), weights=tokens)
    return float(np.exp(min(mean, np.log(LARGEST))))


def next_token_accuracy(correct: np.ndarray, mask: np.ndarray) -> float:
    """Share of all scored tokens of all sequences that the model predicts greedily from the true prefix.

    Every token weighs the same; memorization accuracy, its relative, is a mean over sequences.

    Args:
        correct: (N, T) bool, the arg max of the next-token distribution is the token.
        mask: (N, T) bool, the token is scored.
    Returns:
        In [0, 1]; higher is better.
    Raises:
        ValueError: there is no scored token.
    """
    if not mask.any():
        raise ValueError("no scored token: an accuracy needs at least one")
    return float(correct[mask].mean())


def values(scores, settings):
    return {}


def aggregate(scores, values, settings, seed):
    result, sets = {}, scores["sets"]
    for s in np.unique(sets):
        mask = scores["mask"][sets == s]
        result[f"perplexity_{s}"] = perplexity(scores["logprob"][sets == s], mask)
        result[f"next_token_accuracy_{s}"] = next_token_accuracy(scores["correct"][sets == s], mask)
    return result
