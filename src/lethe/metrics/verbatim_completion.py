"""Verbatim completion: how much of the rest of a text greedy decoding brings out from its beginning.

The similarity is that of tokens: rows hold token ids, -1 after the last. Means are over the examples whose
continuations were decoded. Near `retrain` is best: texts of one kind resemble each other.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher

import numpy as np

from lethe.metrics.common.aggregates import set_means

NEEDS = ("logprob",)
KINDS = ("rouge_l", "bleu", "longest_substring", "verbatim")
Tokens = list[int]


def rouge_l(ours: Tokens, true: Tokens) -> float:
    """ROUGE-L (Lin, 2004): harmonic mean of the longest common subsequence's shares of both texts.

    Args:
        ours, true: tokens; `true` holds at least one.
    Returns:
        In [0, 1]; 1 for equal texts, 0 without a common token.
    """
    from rapidfuzz.distance import LCSseq

    return 2 * LCSseq.similarity(ours, true) / (len(ours) + len(true))


def bleu(ours: Tokens, true: Tokens) -> float:
    """BLEU (Papineni et al., ACL 2002) of a sentence as sacrebleu has it: orders up to 4, exponential smoothing.

    Returns:
        In [0, 1]; 1 for equal texts, 0 without a common token.
    """
    from sacrebleu import BLEU

    words = (" ".join(map(str, tokens)) for tokens in (ours, true))
    return min(
        1.0, BLEU(tokenize="none", effective_order=True).sentence_score(next(words), [*words]).score / 100
    )


def longest_common_substring(ours: Tokens, true: Tokens) -> int:
    """Tokens of the longest unbroken run that both texts hold."""
    return SequenceMatcher(None, ours, true, autojunk=False).find_longest_match().size


def verbatim(ours: Tokens, true: Tokens) -> bool:
    """Whether the texts are equal (Carlini et al., ICLR 2023, arXiv:2202.07646: extractable from its prefix)."""
    return ours == true


def tokens_of(row: np.ndarray) -> Tokens:
    """The tokens of a row, without the -1 after them."""
    return row[row >= 0].tolist()


def compared(similarity: Callable, completion: np.ndarray, suffix: np.ndarray) -> np.ma.MaskedArray:
    """A similarity of each row's completion to its true suffix.

    Args:
        completion, suffix: (N, W) int, token ids, -1 after the last; a row without a suffix is not compared.
    Returns:
        (N,) float64, masked where nothing is compared.
    """
    known = suffix[:, 0] >= 0
    values = np.ma.masked_all(len(suffix), dtype=np.float64)
    for row in np.flatnonzero(known):
        values[row] = similarity(tokens_of(completion[row]), tokens_of(suffix[row]))
    return values


def of_texts(texts):
    functions = dict(zip(KINDS, (rouge_l, bleu, longest_common_substring, verbatim), strict=True))
    pair = texts["completion"], texts["suffix"]
    return {
        f"completion_{kind}": compared(function, *pair).filled(np.nan) for kind, function in functions.items()
    }


def values(scores, settings):
    names = [f"completion_{kind}" for kind in KINDS]
    return {name: np.ma.masked_invalid(scores[name]) for name in names if name in scores}  # optional


def aggregate(scores, values, settings, seed):
    """Mean of each similarity over the completed examples of each set; of `verbatim`, the share of them."""
    result: dict[str, float] = {}
    for name, column in values.items():
        result |= set_means(name, column, scores["sets"])
    return result
