"""Extraction likelihood EL_n (Jang et al., ACL 2023, arXiv:2210.01504): how much of a text can be drawn out.

    EL_n(x) = mean over prefixes t = start .. T-n of OVERLAP_n(g(x_<t), x_>=t)

g(x_<t) is the greedy continuation to length T, which ends at an end-of-text token. OVERLAP_n(a, b) is the number of
n-grams of a, with multiplicity, that occur anywhere in b, divided by the number of n-grams of b. `start=1` is the
published per-example value, `start=150` that of ICU (Tang et al., 2024, arXiv:2407.20271), 41 terms at n=10, T=200.
In [0, 1]; lower means less can be extracted.
"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import set_means

NEEDS = ("extraction_likelihood",)


def extraction_likelihood(
    input_ids: np.ndarray, lengths: np.ndarray, example: np.ndarray, first: np.ndarray,
    text: np.ndarray, ends: np.ndarray, n: int, start: int | np.ndarray = 1, allow_short: bool = False,
) -> np.ndarray:  # fmt: skip
    """EL_n of every example from its distinct greedy continuations.

    Prefixes that share a continuation share a row: prefix t of example i is continued by the first row of i whose
    `first` is at least t; up to there the continuation is the truth. The last row of an example has first = length.

    Args:
        input_ids: (N, T) int, true texts, padded on the right with anything.
        lengths: (N,) int, tokens of each text.
        example: (M,) int, the text that row m continues; rows are sorted by (example, first).
        first: (M,) int, position of the first token that is generated.
        text: (M, T) int, the true prefix followed by what was generated.
        ends: (M,) int, the continuation ends before this position.
        n: tokens of an n-gram, at least 1.
        start: shortest prefix, at least 1, one number or one per text.
        allow_short: an example without a term gets NaN in place of an error.
    Returns:
        (N,) float64 in [0, 1].
    Raises:
        ValueError: an example has no term, because it has fewer than n + start tokens; the first such row is named.
    """
    terms = number_of_terms(lengths, n, start, allow_short)
    if not terms.any():
        return np.full(len(lengths), np.nan)
    width = input_ids.shape[1]
    counts = matches(input_ids, lengths, example, text, ends, n)
    prefix = np.arange(np.min(start), width - n + 1)
    place = np.arange(len(lengths))[:, None] * (width + 1) + prefix  # texts in a row, one position more each
    rows = example * (width + 1) + first
    row = np.searchsorted(rows, np.minimum(place, rows[-1]))
    available = lengths[:, None] - prefix - n + 1
    counted = (available > 0) & (prefix >= np.reshape(start, (-1, 1)))
    overlap = np.where(counted, counts[row, prefix] / np.maximum(available, 1), 0.0)
    # summed one by one from the longest prefix on, as in the published code, so that values agree to the last bit
    total = np.cumsum(overlap[:, ::-1], axis=1)[:, -1]
    return np.divide(total, terms, out=np.full(len(lengths), np.nan), where=terms > 0)


def number_of_terms(
    lengths: np.ndarray, n: int, start: int | np.ndarray, allow_short: bool = False
) -> np.ndarray:
    """(N,) number of prefixes start .. length-n, 0 for a text that is too short; ValueError unless that is allowed."""
    if n < 1 or np.min(start) < 1:
        raise ValueError(f"n {n}, start {start}: both must be at least 1")
    terms = np.maximum(np.asarray(lengths) - n - start + 1, 0)
    if not allow_short and (terms == 0).any():
        row = int(np.argmin(terms))
        first = int(np.broadcast_to(start, terms.shape)[row])
        raise ValueError(
            f"row {row} has {int(lengths[row])} tokens: EL_{n} from prefix {first} on needs at least {n + first}"
        )
    return terms


def matches(
    input_ids: np.ndarray,
    lengths: np.ndarray,
    example: np.ndarray,
    text: np.ndarray,
    ends: np.ndarray,
    n: int,
) -> np.ndarray:
    """(M, T) number of n-grams of row m from position t to its end that occur in the true text from t on."""
    width = input_ids.shape[1]
    start = np.arange(width - n + 1)
    last = last_starts(input_ids, lengths, example, text, n)
    # the n-gram at s counts for prefix t when both s >= t and its last occurrence in the truth is >= t
    latest = np.where(start <= ends[:, None] - n, np.minimum(start, last), -1)
    row, column = np.nonzero(latest >= 0)
    flat = np.bincount(row * width + latest[row, column], minlength=len(text) * width)
    return flat.reshape(len(text), width)[:, ::-1].cumsum(axis=1)[:, ::-1]


def last_starts(
    input_ids: np.ndarray, lengths: np.ndarray, example: np.ndarray, text: np.ndarray, n: int
) -> np.ndarray:
    """(M, T-n+1) where the n-gram at each position of a row starts last in its true text; -1 where it is not in it.

    n-grams get exact numbers, no hashes: those of size a + b are pairs of numbers of sizes a and b.
    """
    owners = np.arange(len(input_ids))[:, None]
    true, ours = paired(
        np.broadcast_to(owners, input_ids.shape),
        input_ids,
        np.broadcast_to(example[:, None], text.shape),
        text,
    )
    size = 1
    while size < n:
        step = min(size, n - size)
        true, ours = paired(true[:, :-step], true[:, step:], ours[:, :-step], ours[:, step:])
        size += step
    where, start = np.nonzero(np.arange(true.shape[1]) <= lengths[:, None] - n)
    last = np.full(int(true.max(initial=-1)) + 2, -1)  # one more than needed: the last serves number -1
    last[true[where, start]] = start  # starts ascend, and of repeated indices the last one is kept
    return last[ours]


def paired(left, right, our_left, our_right) -> tuple[np.ndarray, np.ndarray]:
    """Numbers 0, 1, ... of the pairs (left, right), and the same numbers of our pairs, -1 for a pair not among them."""
    base = int(max(right.max(initial=0), our_right.max(initial=0))) + 1
    keys = left.astype(np.int64) * base + right
    table, true = np.unique(keys, return_inverse=True)
    our_keys = np.where((our_left < 0) | (our_right < 0), -1, our_left.astype(np.int64) * base + our_right)
    place = np.minimum(np.searchsorted(table, our_keys), len(table) - 1)
    return true.reshape(keys.shape), np.where(table[place] == our_keys, place, -1)


def values(scores, settings):
    """EL_n and margin as scored; an example whose continuations were not decoded has none (a masked entry, not 0)."""
    left_out = ~scores["extracted"]
    columns = {
        f"extraction_likelihood_{n}": column
        for n, column in zip(scores["n"], scores["extraction_likelihood"].T, strict=True)
    }
    if "margin" in scores:
        columns["extraction_margin"] = scores["margin"]
    return {name: np.ma.array(column, mask=left_out) for name, column in columns.items()}


def aggregate(scores, values, settings, seed):
    """Mean EL_n of each set, and the smallest margin met: near 0, a token may differ on another machine."""
    result: dict[str, float] = {}
    known = scores["extracted"]
    for name, column in values.items():
        if name != "extraction_margin":
            result |= set_means(name, column.data[known], scores["sets"][known])
        elif known.any():
            result["extraction_margin_smallest"] = float(column.min())
    return result
