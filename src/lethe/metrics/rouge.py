"""ROUGE of words between a model's answers and the true ones (Lin, 2004), by Google's rouge-score.

TOFU (arXiv:2401.06121) reports the recall of ROUGE-L, of stems: how much of the true answer is said. MUSE
(arXiv:2407.06460) reports its F1, of whole words, as memorisation of texts (VerbMem) and of facts (KnowMem). Words are
runs of a-z and 0-9 in lower case: text of another alphabet scores 0 beside itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from lethe.metrics.common.aggregates import set_means

NEEDS = (
    "logprob",
    "rouge_l_recall",
)
NAMES = ("rouge_1_recall", "rouge_l_recall", "rouge_l_f1")


def rouge(said: str, true: str) -> tuple[float, float, float]:
    """(ROUGE-1 recall, ROUGE-L recall, both of stems; ROUGE-L F1 of words), each in [0, 1]; 1 for equal texts."""
    stems, words = scorers()
    of_stems, of_words = stems.score(true, said), words.score(true, said)
    return of_stems["rouge1"].recall, of_stems["rougeL"].recall, of_words["rougeL"].fmeasure


@cache  # each that is made says so in the log
def scorers():
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=True), RougeScorer(["rougeL"], use_stemmer=False)


def of_answers(said: Sequence[str | None], true: Sequence[str | None]) -> dict[str, np.ndarray]:
    """(N,) float64 of each measure, NaN where nothing was asked."""
    found = np.full((len(said), len(NAMES)), np.nan)
    for row, (one, other) in enumerate(zip(said, true, strict=True)):
        if one is not None and other is not None:
            found[row] = rouge(one, other)
    return dict(zip(NAMES, found.T, strict=True))


def values(scores, settings):
    return {name: np.ma.masked_invalid(scores[name]) for name in NAMES}


def aggregate(scores, values, settings, seed):
    found: dict[str, float] = {}
    for name, column in values.items():
        found |= set_means(name, column, scores["sets"])
    return found
