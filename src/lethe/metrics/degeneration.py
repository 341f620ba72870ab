"""Degeneration: does what the model writes still vary like text, or does it repeat itself?

A model that babbles has not unlearned, it is broken. Judged by the greedy continuations that `verbatim_completion`
compares with the truth; rows hold token ids, -1 after the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import entropy

from lethe.metrics.common.aggregates import set_means
from lethe.metrics.common.ngrams import ngrams
from lethe.metrics.verbatim_completion import Tokens, tokens_of

NEEDS = ("logprob",)
DISTINCT, REPEATED = (1, 2, 3), 4  # sizes of n-grams


def distinct(tokens: Tokens, n: int) -> float:
    """distinct-n (Li et al., NAACL 2016, arXiv:1510.03055): different n-grams over all n-grams.

    Returns:
        In (0, 1], 1 where none comes twice; NaN for fewer than n tokens.
    """
    found = ngrams(tokens, n)
    return len(found) / found.total() if found else float("nan")


def repetition(tokens: Tokens, n: int) -> float:
    """Share of the n-grams that were there before (seq-rep-n; Welleck et al., ICLR 2020, arXiv:1908.04319).

    Returns:
        In [0, 1), 1 - distinct-n; NaN for fewer than n tokens.
    """
    return 1 - distinct(tokens, n)


def unigram_entropy(tokens: Tokens) -> float:
    """Entropy of the frequencies of the tokens, in bits: 0 for one token said over and over.

    Returns:
        In [0, log2 of the number of tokens]; NaN without tokens.
    """
    return float(entropy([*ngrams(tokens, 1).values()], base=2)) if tokens else float("nan")


def new_in_turn(rows: Sequence[Tokens], n: int) -> list[int]:
    """How many n-grams come first in each text, of all texts in their order: their sum is that of all together."""
    seen: set[tuple] = set()
    counts = []
    for tokens in rows:
        before = len(seen)
        seen |= {*ngrams(tokens, n)}
        counts.append(len(seen) - before)
    return counts


def of_texts(texts):
    rows = [tokens_of(row) for row in texts["completion"]]  # of one set
    columns: dict[str, Sequence[float]] = {
        f"distinct_{n}": [distinct(row, n) for row in rows] for n in DISTINCT
    }
    columns |= {
        f"repetition_{REPEATED}": [repetition(row, REPEATED) for row in rows],
        "unigram_entropy": [unigram_entropy(row) for row in rows],
    }
    for n in DISTINCT:
        columns |= {f"new_{n}": new_in_turn(rows, n), f"ngrams_{n}": [ngrams(row, n).total() for row in rows]}
    return {f"completion_{name}": np.array(column) for name, column in columns.items()}


def values(scores, settings):
    kinds = [*(f"distinct_{n}" for n in DISTINCT), f"repetition_{REPEATED}", "unigram_entropy"]
    names = [f"completion_{kind}" for kind in kinds]
    return {name: np.ma.masked_invalid(scores[name]) for name in names if name in scores}  # optional


def aggregate(scores, values, settings, seed):
    """Mean of each over the examples of each set that were continued, by enough tokens for an n-gram.

    `completions_distinct_n` is distinct-n of all continuations of a set taken together, as Li et al. have it: a model
    that says the same of everybody is found by it alone.
    """
    result: dict[str, float] = {}
    for name, column in values.items():
        result |= set_means(name, column, scores["sets"])
    for n in [n for n in DISTINCT if f"completion_new_{n}" in scores]:
        for name in np.unique(scores["sets"]):
            new, all_of = (
                scores[f"completion_{kind}_{n}"][scores["sets"] == name] for kind in ("new", "ngrams")
            )
            if all_of.sum():
                result[f"completions_distinct_{n}_{name}"] = float(new.sum() / all_of.sum())
    return result
