"""Extraction strength: how much of a text its own beginning brings out."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import set_means

NEEDS = ("correct",)


def extraction_strength(correct: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """1 − k/T, k the length of the shortest prefix from which greedy decoding yields all the rest.

    Carlini et al. (USENIX Security 2021, arXiv:2012.07805) as used by Wang et al. (2024, arXiv:2406.01983). As
    long as greedy decoding follows the truth it equals teacher forcing, so the rest is yielded exactly if all
    its tokens are predicted from their true prefixes: the run of right predictions at the end, over T. With
    the last token wrong nothing is extracted and the strength is 0 (not 1/T).

    Args:
        correct: (N, T) bool, the arg max of the next-token distribution is the token.
        mask: (N, T) bool, the token is scored; the first token of a sequence never is, so T counts one more.
    Returns:
        (N,) float64 in [0, 1); lower = better forgotten, near that of `retrain` is best.
    Raises:
        ValueError: a sequence has no scored token.
    """
    scored = mask.sum(axis=1)
    if not scored.all():
        raise ValueError(f"{int((scored == 0).sum())} sequences have no scored token")
    backwards = np.cumsum((mask & ~correct)[:, ::-1], axis=1)  # wrong predictions from the end
    return (mask[:, ::-1] & (backwards == 0)).sum(axis=1) / (scored + 1)


def values(scores, settings):
    return {"extraction_strength": extraction_strength(scores["correct"], scores["mask"])}


def aggregate(scores, values, settings, seed):
    return set_means("extraction_strength", values["extraction_strength"], scores["sets"])
