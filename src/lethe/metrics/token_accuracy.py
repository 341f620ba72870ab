"""Share of words that a tagger gives the right tag."""

from __future__ import annotations

import numpy as np

NEEDS = ("logits", "tags")


def right_tags(logits: np.ndarray, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Words whose largest logit is that of the true tag, and all words that have one.

    Args:
        logits: (N, W, C).
        tags: (N, W) int, the true tag, negative beyond the last word.
    Returns:
        (N,) int right ones, (N,) int words.
    """
    given = tags >= 0
    return ((logits.argmax(axis=-1) == tags) & given).sum(axis=1), given.sum(axis=1)


def values(scores, settings):
    right, words = right_tags(scores["logits"], scores["tags"])
    return {"right_tags": right, "words": words}


def aggregate(scores, values, settings, seed):
    """Over all words of a set, every word weighing the same."""
    sets = scores["sets"]
    return {
        f"token_accuracy_{s}": float(values["right_tags"][sets == s].sum() / values["words"][sets == s].sum())
        for s in np.unique(sets)
    }
