"""How well two sets of models are told apart by what they say of a text: epsilon of the NeurIPS 2023 challenge.

Triantafillou et al., "Are we making progress in unlearning?" (2024, arXiv:2406.09073). An unlearned model that is
(epsilon, delta)-like a retrained one lets no rule tell the two with false positive and false negative rates a, b such
that log((1 - delta - a) / b) or log((1 - delta - b) / a) is above epsilon; the largest such number over many rules is
its estimate. With few models even equal ones reach a large one, so it says something only beside its null: the same
models, dealt anew into two sets.
"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import masked_elsewhere
from lethe.system.streams import stream

NEEDS = ("ulira_confidence", "ulira_own")
DELTA, LARGEST = 1e-5, 50.0
PEAKED = 0.01  # a set of models whose range is less than this share of the other's is told for sure
MARGIN = 2.0  # how much wider or narrower an interval may be than the range of the narrower set
BUCKET = 0.5  # of the forget score
DEALS = 5  # times that models are dealt anew


def epsilon(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """Estimate of one text.

    Args:
        unlearned, retrained: (M,) confidence of M models each, in units in which it is about normal.
    Returns:
        In [0, 50]; 50 where a rule tells all models right, 0 where every rule has a rate of 0.
    """
    ranges = [np.ptp(unlearned), np.ptp(retrained)]
    if min(ranges) < PEAKED * max(ranges):
        return LARGEST
    upper, lower = sorted((unlearned, retrained), key=np.median, reverse=True)
    narrow, wide = (unlearned, retrained) if ranges[0] < ranges[1] else (retrained, unlearned)
    found = [told(upper >= edge, lower >= edge) for edge in np.concatenate([unlearned, retrained])]
    found += [told(*inside) for inside in intervals(narrow, wide)]
    return float(np.clip(max(found, default=0.0), 0, LARGEST))


def intervals(narrow: np.ndarray, wide: np.ndarray):
    """Who lies inside each interval of about the range of the narrower set, which is taken for it."""
    edges = np.sort(np.concatenate([[-np.inf, np.inf], narrow, wide]))
    least, most = np.ptp(narrow) - MARGIN, np.ptp(narrow) + MARGIN
    for first in range(1, len(edges) - 1):
        for last in range(first, len(edges) - 1):
            shortest, longest = edges[last] - edges[first], edges[last + 1] - edges[first - 1]
            if shortest <= most and longest >= least:
                yield tuple((of >= edges[first]) & (of <= edges[last]) for of in (narrow, wide))


def told(positive: np.ndarray, negative: np.ndarray) -> float:
    """Epsilon of one rule, by whom it calls positive; minus infinity where a single rate is 0, of too few models."""
    wrong, missed = negative.mean(), 1 - positive.mean()
    if wrong == missed == 0:
        return np.inf
    if min(wrong, missed) <= 0 or max(wrong, missed) >= 1 - DELTA:
        return -np.inf
    return float(max(np.log((1 - DELTA - wrong) / missed), np.log((1 - DELTA - missed) / wrong)))


def forget_score(epsilons: np.ndarray, models: int) -> float:
    """Mean over texts of 2 to the minus number of the half unit in which epsilon lies: 1 is best.

    Args:
        epsilons: (N,); models: of each of the two sets; an epsilon beyond what so many can show counts 0.
    """
    bucket = np.floor(epsilons / BUCKET)
    within = (bucket + 1) * BUCKET <= np.ceil(np.log(models - 1))
    return float(np.where(within, 0.5**bucket, 0.0).mean())


def values(scores, settings):
    """Epsilon of each audited text: models that were let forget it against models that never saw it."""
    known, member, columns = scores["ulira_known"], scores["ulira_member"], {}
    for place, method in enumerate(scores["ulira_methods"]):
        models = scores["ulira_confidence"][known, place]
        found = [epsilon(row[own], row[~own]) for row, own in zip(models, member[known], strict=True)]
        columns[f"epsilon_{method}"] = masked_elsewhere(known, np.array(found))
    return columns


def aggregate(scores, values, settings, seed):
    """`epsilon_METHOD` and its forget score over the audited texts, each beside its null."""
    known, member, result = scores["ulira_known"], scores["ulira_member"], {}
    half = member.shape[1] // 2
    for place, method in enumerate(scores["ulira_methods"]):
        models, draw = scores["ulira_confidence"][known, place], stream(seed, "epsilon", str(method))
        dealt = [draw.permutation(row) for row in models for _ in range(DEALS)]
        null = np.array([epsilon(row[:half], row[half:]) for row in dealt])
        own = values[f"epsilon_{method}"].compressed()
        for name, of in (("", own), ("_null", null)):
            result[f"epsilon_{method}{name}"] = float(of.mean())
            result[f"forget_score_{method}{name}"] = forget_score(of, half)
    return result
