"""RMIA: an example against many others, each relative to reference models.

Zarifzadeh, Liu and Shokri, "Low-Cost High-Power Membership Inference Attacks" (ICML 2024, arXiv:2312.03262).
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from lethe.metrics.common.aggregates import masked_elsewhere
from lethe.metrics.common.attacks import auc, membership
from lethe.metrics.lira import target_confidence

NEEDS = ("shadow_confidence",)
SLOPES = tuple(k / 10 for k in range(11))  # tried where the slope is `auto`
SMALLEST = 1e-300  # a smaller probability counts as this one, so that every ratio is defined


def mean_probability_online(shadow: np.ndarray, member: np.ndarray) -> np.ndarray:
    """p(x): mean of the probabilities of models with the example and of models without it, half each.

    Args:
        shadow: (N, S) probability of each example's true class (or text) under S reference models.
        member: (N, S) bool, the model was trained on the example.
    Returns:
        (N,) float64.
    Raises:
        ValueError: an example has no model with it, or none without it.
    """
    return (masked_mean(shadow, member) + masked_mean(shadow, ~member)) / 2


def mean_probability_offline(shadow: np.ndarray, member: np.ndarray, slope: float = 0.3) -> np.ndarray:
    """p(x) from models without the example alone, those with it being guessed as slope·p_out + (1 − slope).

    Args:
        shadow: (N, S) probability of each example's true class (or text) under S reference models.
        member: (N, S) bool, the model was trained on the example; such models are not used.
        slope: `a` of the paper, in [0, 1]; 1 takes p_out itself.
    Returns:
        (N,) float64, ((1 + a)·p_out + (1 − a)) / 2.
    Raises:
        ValueError: an example has no model without it, or the slope is outside [0, 1].
    """
    if not 0 <= slope <= 1:
        raise ValueError(f"slope {slope}; allowed are 0 to 1")
    return offline_mean(masked_mean(shadow, ~member), slope)


def offline_mean(out: np.ndarray, slope: float) -> np.ndarray:
    return ((1 + slope) * out + (1 - slope)) / 2


def tuned_slope(shadow: np.ndarray, member: np.ndarray, population: np.ndarray, gamma: float = 1.0) -> float:
    """The slope with which offline RMIA tells members of the reference models best, each attacked by the others.

    Nothing is read of the model that is judged: as the paper chooses it.

    Args:
        shadow: (N, S) probability of each example's true class (or text) under S reference models.
        member: (N, S) bool, the model was trained on the example.
        population: (N,) bool, the examples to be beaten; of a reference model those that it was not trained on.
        gamma: as of `rmia`.
    Returns:
        Of `SLOPES` the one with the largest mean AUC, the smallest of equals.
    """
    found = np.zeros(len(SLOPES))
    for s in range(shadow.shape[1]):
        others = np.arange(shadow.shape[1]) != s
        usable = (~member[:, others]).any(axis=1)  # some other model is without it
        beaten, inside = usable & population & ~member[:, s], usable & member[:, s]
        outside = usable & ~population & ~member[:, s]
        if not (beaten.any() and inside.any() and outside.any()):
            continue
        out = masked_mean(shadow[usable][:, others], ~member[usable][:, others])
        for k, slope in enumerate(SLOPES):
            mean = np.ones(len(shadow))
            mean[usable] = offline_mean(out, slope)
            score = rmia(shadow[:, s], mean, shadow[beaten, s], mean[beaten], gamma)
            found[k] += auc(score[inside], score[outside])
    return SLOPES[int(found.argmax())]


def rmia(
    target: np.ndarray, mean: np.ndarray, others: np.ndarray, others_mean: np.ndarray, gamma: float = 1.0
) -> np.ndarray:
    """Share of population examples z that x does not beat: 1 − P_z[ (p(x|θ)/p(x)) / (p(z|θ)/p(z)) ≥ γ ].

    Args:
        target: (N,) probability of each judged example under the attacked model, ≥ 0.
        mean: (N,) p(x) of the judged examples, > 0.
        others: (Z,) probability of population examples, which the attacked model never saw.
        others_mean: (Z,) p(z) of the population examples, > 0.
        gamma: by what factor x must beat z, > 0.
    Returns:
        (N,) float64 in [0, 1]; lower = more likely a member.
    Raises:
        ValueError: p(x) or p(z) is not positive, a value is not finite, or there is no population example.
    """
    if len(others) == 0 or not ((mean > 0).all() and (others_mean > 0).all()):
        raise ValueError("population examples and positive mean probabilities are needed")
    ratio, population = target / mean, np.sort(others / others_mean)
    if not (np.isfinite(ratio).all() and np.isfinite(population).all()):
        raise ValueError("a ratio of probabilities is not finite")
    return 1 - np.searchsorted(population * gamma, ratio, side="right") / len(population)


def masked_mean(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Mean of each row of (N, S) over the entries used; ValueError if a row has none."""
    counts = used.sum(axis=1)
    if not counts.all():
        raise ValueError(f"{int((counts == 0).sum())} examples have no reference model of a kind")
    return np.where(used, values, 0).sum(axis=1) / counts


def values(scores, settings):
    """RMIA online and offline, holdout being the population; masked where no shadow model could know the example.

    The probability of a text is the geometric mean over its tokens: that of the whole text has no use as a ratio.
    """
    known = scores["shadow_known"]
    of = expit if "logits" in scores else np.exp
    target, shadow = (
        np.maximum(of(confidence[known]), SMALLEST)
        for confidence in (target_confidence(scores), scores["shadow_confidence"])
    )
    member, population = scores["shadow_member"][known], scores["sets"][known] == "holdout"
    gamma, slope = settings.rmia_gamma, settings.rmia_slope
    if slope == "auto":
        slope = tuned_slope(shadow, member, population, gamma)
    means = {
        "rmia": mean_probability_online(shadow, member),
        "rmia_offline": mean_probability_offline(shadow, member, slope),
    }
    return {
        name: masked_elsewhere(known, rmia(target, mean, target[population], mean[population], gamma))
        for name, mean in means.items()
    }


def aggregate(scores, values, settings, seed):
    result: dict[str, float] = {}
    for name, column in values.items():
        result |= membership(name, column.filled(np.nan), scores, settings)
    return result
