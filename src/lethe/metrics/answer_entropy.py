"""Entropy of the n-grams of answers: does the model still say different things (RWKU, after ROME, arXiv:2202.05262)?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.stats import entropy

from lethe.metrics.common.aggregates import set_means

NEEDS = ("logprob", "answer_entropy")
WEIGHTS = {2: 2 / 3, 3: 4 / 3}  # size of the n-grams -> weight
WORD = re.compile(r"\w+|[^\w\s]")


def ngram_entropy(text: str) -> float:
    """Mean of 2/3 of the entropy of the pairs and 4/3 of that of the triples of words, in bits.

    Returns:
        ≥ 0, 0 for a text of one triple, or of the same one over and over; NaN for fewer than 3 words and signs.
    """
    words = WORD.findall(text)
    if len(words) < max(WEIGHTS):
        return float("nan")
    counts = {n: Counter(zip(*(words[k:] for k in range(n)), strict=False)) for n in WEIGHTS}
    return float(np.mean([weight * entropy([*counts[n].values()], base=2) for n, weight in WEIGHTS.items()]))


def of_answers(said: Sequence[str | None], true: Sequence[str | None]) -> dict[str, np.ndarray]:
    """answer_entropy (N,), NaN where nothing was asked, or too little said."""
    return {"answer_entropy": np.array([np.nan if text is None else ngram_entropy(text) for text in said])}


def values(scores, settings):
    return {"answer_entropy": np.ma.masked_invalid(scores["answer_entropy"])}


def aggregate(scores, values, settings, seed):
    return set_means("answer_entropy", values["answer_entropy"], scores["sets"])
