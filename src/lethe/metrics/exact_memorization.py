"""Exact memorisation and extraction strength of answers, after open-unlearning's convention (arXiv:2506.12618).

Both are of the answer alone, without its end token. `memorization_accuracy` and `extraction_strength` are of all scored
tokens, and the latter counts the first token of a text, too; with nothing right it is 0, where this one is 1/n.
"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import set_means
from lethe.metrics.common.answers import without_end
from lethe.metrics.memorization_accuracy import memorization_accuracy

NEEDS = ("logprob", "answered")


def extraction_strength_open_unlearning(correct: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """1 - k/n, k the first of n answer tokens from which on all are predicted, counted from 0; the last where none is.

    Their loop ends at the last token, whatever is predicted there: nothing right gives 1/n. For their tables alone.

    Args:
        correct, mask: (N, T) bool, as of `memorization_accuracy`.
    Returns:
        (N,) float64 in (0, 1].
    Raises:
        ValueError: a sequence has no scored token.
    """
    scored = mask.sum(axis=1)
    if not scored.all():
        raise ValueError(f"{int((scored == 0).sum())} sequences have no scored token")
    wrong = np.cumsum((mask & ~correct)[:, ::-1], axis=1)  # from the end
    right = (mask[:, ::-1] & (wrong == 0)).sum(axis=1)
    return np.maximum(right, 1) / scored


def values(scores, settings):
    correct, mask, other = scores["correct"], without_end(scores), ~scores["answered"]
    return {
        "exact_memorization": np.ma.array(memorization_accuracy(correct, mask), mask=other),
        "extraction_strength_open_unlearning": np.ma.array(
            extraction_strength_open_unlearning(correct, mask), mask=other
        ),
    }


def aggregate(scores, values, settings, seed):
    found: dict[str, float] = {}
    for name, column in values.items():
        found |= set_means(name, column, scores["sets"])
    return found
