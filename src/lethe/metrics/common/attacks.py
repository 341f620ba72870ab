"""How well one score tells members from non-members: ROC, AUC, true positives at a low false positive rate.

One convention everywhere: **a member scores lower** (as the loss does). The forget set plays the members, the
test set the non-members; after perfect unlearning the two cannot be told apart and the AUC is 0.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from lethe.metrics.common.statistics import binomial_bounds, finite

if TYPE_CHECKING:
    from lethe.params.measure import Measure


def cumulative_counts(members: ArrayLike, others: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of members and of others at or below each distinct score.

    Args:
        members: (M,) scores of members; others: (O,) scores of non-members; all finite.
    Returns:
        scores (U,) increasing, members at or below (U,), others at or below (U,).
    """
    members, others = finite(members), finite(others)
    scores = np.unique(np.concatenate([members, others]))
    below = [np.searchsorted(np.sort(group), scores, side="right") for group in (members, others)]
    return scores, below[0], below[1]


def roc(members: ArrayLike, others: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Receiver operating characteristic of "member if the score is at most the threshold".

    Args:
        members: (M,) scores of members; others: (O,) scores of non-members.
    Returns:
        false positive rates (U + 1,) and true positive rates (U + 1,), both from 0 to 1; tied scores are one
        step, because no threshold can separate them.
    Raises:
        ValueError: a group is empty or holds a value that is not finite.
    """
    _, hits, alarms = cumulative_counts(members, others)
    return np.concatenate([[0], alarms]) / alarms[-1], np.concatenate([[0], hits]) / hits[-1]


def auc(members: ArrayLike, others: ArrayLike) -> float:
    """Probability that a member scores lower than a non-member, ties counted half (Hanley & McNeil, 1982).

    Args:
        members: (M,) scores of members; others: (O,) scores of non-members.
    Returns:
        In [0, 1]. 0.5: not told apart; 1: every member scores lower. Near that of `retrain` is best.
    Raises:
        ValueError: a group is empty or holds a value that is not finite.
    """
    false, true = roc(members, others)
    return float(np.trapezoid(true, false))


def placements(members: ArrayLike, others: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Share of others above each member (M,), and of members below each other (O,), ties counted half.

    The mean of either is the area under the curve.
    """
    members, others = finite(members), finite(others)

    def share_below(of: np.ndarray, among: np.ndarray) -> np.ndarray:
        ordered = np.sort(among)
        counts = np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")
        return counts / (2 * len(among))

    return 1 - share_below(members, others), share_below(others, members)


def auc_variance(area: float, members: int, others: int) -> float:
    """Variance of an area under the curve by its size alone, after Newcombe's method 5 (see `auc_interval`)."""
    size = (members + others) / 2 - 1
    spread = 1 + size * (1 - area) / (2 - area) + size * area / (1 + area)
    return area * (1 - area) * spread / (members * others)


def auc_interval(members: ArrayLike, others: ArrayLike, confidence: float) -> tuple[float, float]:
    """Interval of the area under the curve: all areas that a test would not reject.

    The areas g with |g - auc|² <= z² · factor · v(g), z the normal quantile. v is the variance of method 5 of
    Newcombe (Statistics in Medicine 2006, 25:559), which is that of Hanley and McNeil (1982) with both group sizes
    replaced by their mean: it holds its level for few members and near 1, where resampling fails. It is too large for
    many examples near 1 (coverage .997 of .95), so factor moves it towards the variance of DeLong et al. (1988), which
    is read off the scores, the more examples of the smaller group beyond 8 there are and the nearer the area is to 0.5.
    Coverage as measured by `benchmarks/verdicts.py`: .93 to .985, and 1 for a single member at 0.5.

    Args:
        members: (M,) scores of members; others: (O,) scores of non-members; all finite.
        confidence: level in (0, 1).
    Returns:
        (low, high) in [0, 1], low <= auc <= high.
    Raises:
        ValueError: a group is empty or holds a value that is not finite.
    """
    above, below = placements(members, others)
    area, sizes = float(above.mean()), (len(above), len(below))
    factor = 1.0
    weight = max(min(sizes) - 8, 0) * 4 * area * (1 - area)
    if weight:
        observed = above.var(ddof=1) / sizes[0] + below.var(ddof=1) / sizes[1]
        factor = (1 + weight * observed / auc_variance(area, *sizes)) / (1 + weight)
    squared = float(special.ndtri((1 + confidence) / 2)) ** 2 * factor

    def bound(outer: float) -> float:
        """The last area that is not rejected on the way from the observed one to `outer`, which is 0 or 1."""
        within, beyond = area, outer
        for _ in range(50):
            middle = (within + beyond) / 2
            if (middle - area) ** 2 <= squared * auc_variance(middle, *sizes):
                within = middle
            else:
                beyond = middle
        return within

    return bound(0.0), bound(1.0)


def auc_draws(members: ArrayLike, others: ArrayLike, draws: int, rng: np.random.Generator) -> np.ndarray:
    """AUC on bootstrap resamples, members and non-members drawn separately (stratified).

    Args:
        members: (M,) scores of members; others: (O,) scores of non-members.
        draws: number of resamples B.
        rng: its draws depend on M, O and B only, so that two models are compared on the same resamples.
    Returns:
        (B,) in [0, 1], centred on the AUC itself (not on 1 − AUC).
    """
    members, others = finite(members), finite(others)
    scores, position = np.unique(np.concatenate([members, others]), return_inverse=True)
    result = np.empty(draws)
    for draw in range(draws):
        hits = np.bincount(rng.choice(position[: len(members)], len(members)), minlength=len(scores))
        alarms = np.bincount(rng.choice(position[len(members) :], len(others)), minlength=len(scores))
        above = len(others) - np.cumsum(alarms)  # others that score higher than each distinct score
        result[draw] = hits @ (above + alarms / 2)
    return result / (len(members) * len(others))


def true_positives_at(members: ArrayLike, others: ArrayLike, rate: float) -> tuple[int, int]:
    """Members found by the most permissive threshold whose false positive rate is at most `rate`.

    Args:
        members: (M,) scores of members; others: (O,) scores of non-members.
        rate: allowed share of non-members called members, in [0, 1].
    Returns:
        (true positives, false positives) as counts. With few non-members the rate reached is far below the
        one allowed: of 64, none may be wrong at 1%. Report it.
    """
    _, hits, alarms = cumulative_counts(members, others)
    allowed = np.flatnonzero(alarms <= rate * alarms[-1] + 1e-9)
    return (int(hits[allowed[-1]]), int(alarms[allowed[-1]])) if len(allowed) else (0, 0)


def best_threshold(members: ArrayLike, others: ArrayLike) -> float:
    """Score between two neighbours at which "member if below" has the largest balanced accuracy.

    Args:
        members: (M,) scores of known members; others: (O,) scores of known non-members.
    Returns:
        The midpoint of the gap; of several equally good gaps the lowest. −inf or inf if one class is best
        called for everybody.
    """
    scores, hits, alarms = cumulative_counts(members, others)
    gain = np.concatenate(
        [[0], hits * alarms[-1] - alarms * hits[-1]]
    )  # in whole numbers, so that ties are ties
    edges = np.concatenate([[-np.inf], (scores[:-1] + scores[1:]) / 2, [np.inf]])
    return float(edges[np.argmax(gain)])


def balanced_accuracy(members: ArrayLike, others: ArrayLike, threshold: float) -> float:
    """Mean of the true positive and the true negative rate of "member if below `threshold`", in [0, 1]."""
    return float((np.mean(finite(members) < threshold) + np.mean(finite(others) >= threshold)) / 2)


def judged_others(scores: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) bool, the non-members that an attack is judged on: test, or those of it that match the forget set."""
    return (scores["sets"] == "test") & scores.get("matched", True)


def membership(
    name: str,
    score: np.ndarray,
    scores: dict[str, np.ndarray],
    settings: Measure,
    threshold: float | None = None,
) -> dict[str, float]:
    """Judge a score as a membership attack on the forget set, against the test set.

    A rate is given only where the test set can tell it from none: one false alarm must be a share of at most the rate.
    The threshold is the first non-member too many, so the false positive rate that stands behind it is not known but
    bounded: with k of n wrong it is below the bound at the level of the interval, whatever the scores are.

    Args:
        name: prefix of the results.
        score: (N,) finite, lower = more likely a member.
        scores: arrays of the run. `sets` (N,): forget and test are judged, the threshold is learnt on retain
            against holdout. `matched` (N,) bool, where it is there: the test examples that are judged.
        settings: confidence, false positive rates, and bootstrap (0: no interval of the area).
        threshold: below it an example is called a member; None learns it (`best_threshold`).
    Returns:
        `_auc` with its interval `_auc_low`, `_auc_high` (`auc_interval`); `_balanced_accuracy`, absent where a
        threshold is to be learnt and nothing is retained or held out; for each rate r of at least 1 / non-members
        `_tpr_at_fpr_r` with exact bounds `_low`, `_high`, the false positive rate reached, `_fpr_reached_r`, and its
        upper bound `_fpr_reached_r_high`. Nothing where there are no test examples.
    """
    sets = scores["sets"]
    members, others = score[sets == "forget"], score[judged_others(scores)]
    if not len(others):
        return {}
    result = {f"{name}_auc": auc(members, others)}
    if settings.bootstrap:
        low, high = auc_interval(members, others, settings.confidence)
        result |= {f"{name}_auc_low": low, f"{name}_auc_high": high}
    if threshold is None and {"retain", "holdout"} <= {*sets}:
        threshold = best_threshold(score[sets == "retain"], score[sets == "holdout"])
    if threshold is not None:
        result[f"{name}_balanced_accuracy"] = balanced_accuracy(members, others, threshold)
    for rate in settings.false_positive_rates:
        if rate * len(others) < 1:
            continue
        found, wrong = true_positives_at(members, others, rate)
        low, high = binomial_bounds(found, len(members), settings.confidence)
        result[f"{name}_tpr_at_fpr_{rate:g}"] = found / len(members)
        result[f"{name}_tpr_at_fpr_{rate:g}_low"] = low
        result[f"{name}_tpr_at_fpr_{rate:g}_high"] = high
        bound = binomial_bounds(wrong, len(others), settings.confidence)[1]
        result |= {
            f"{name}_fpr_reached_{rate:g}": wrong / len(others),
            f"{name}_fpr_reached_{rate:g}_high": bound,
        }
    return result
