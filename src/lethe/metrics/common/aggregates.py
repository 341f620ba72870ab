"""Means over what an example consists of, and over the examples of each set, under the names of metrics.json."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lethe.metrics.common.statistics import finite


def set_means(
    name: str, values: np.ndarray, sets: np.ndarray, among: Iterable[str] | None = None
) -> dict[str, float]:
    """Mean over the examples of each set, every example weighing the same (never a mean of batch means).

    Args:
        name: prefix of the results.
        values: (N,) float or bool, one per example; those that are masked take no part.
        sets: (N,) name of the set of each example.
        among: the sets wanted; one that no example belongs to is absent from the result. None takes all.
    Returns:
        {f"{name}_{set}": mean}.
    Raises:
        ValueError: a value is not finite.
    """
    given = ~np.ma.getmaskarray(values)
    values, sets = np.ma.getdata(values)[given], sets[given]
    wanted = np.unique(sets) if among is None else [s for s in among if (sets == s).any()]
    return {f"{name}_{s}": float(finite(values[sets == s]).mean()) for s in wanted}


def masked_elsewhere(known: np.ndarray, values: np.ndarray) -> np.ma.MaskedArray:
    """(N,) with the values of the examples that `known` (N,) bool names, in their order; masked elsewhere."""
    column = np.ma.masked_all(len(known), dtype=values.dtype)
    column[known] = values
    return column


def labelled(scores: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Logits (P, C) and true classes (P,) of all that has one: N classified examples, or the tags of N tagged ones."""
    classes = scores[true_classes(scores)]  # (N,) or (N, W)
    return scores["logits"][classes >= 0], classes[classes >= 0]


def per_example(values: np.ndarray, scores: dict[str, np.ndarray]) -> np.ndarray:
    """(N, …) values of examples, of (P, …) values of what `labelled` gives: the mean over the tags of each example."""
    given = scores[true_classes(scores)] >= 0
    if given.ndim == 1:
        return values
    result = np.zeros((len(given), *values.shape[1:]))
    np.add.at(result, np.nonzero(given)[0], values)
    return (result.T / given.sum(axis=1)).T


def true_classes(scores: dict[str, np.ndarray]) -> str:
    """Name of the array of true classes: one of each example (N,), or one of each of its words (N, W)."""
    return next(name for name in ("labels", "tags") if name in scores)
