"""LiRA: the likelihood ratio of a target model's confidence under shadow models with and without the example.

Carlini et al., "Membership Inference Attacks From First Principles" (IEEE S&P 2022, arXiv:2112.03570).
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, logsumexp

from lethe.metrics.common.aggregates import labelled, masked_elsewhere, per_example
from lethe.metrics.common.attacks import membership
from lethe.metrics.loss import example_loss

NEEDS = ("shadow_confidence",)
SMALLEST = 1e-6  # a spread below is none: all shadow models agree to rounding
MANY = 64  # shadow models from which on each example has a spread of its own


def logit_confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """log(p_y / (1 − p_y)), the confidence on the scale on which it is about normal over shadow models.

    Args:
        logits: (N, C), C ≥ 2; not rounded to probabilities, whose 1 − p would be 0.
        labels: (N,) int, the true class.
    Returns:
        (N,) float64; higher = more likely a member.
    """
    logits = logits.astype(np.float64)
    true = np.arange(logits.shape[1]) == labels[:, None]
    return logits[true] - logsumexp(np.where(true, -np.inf, logits), axis=1)


def lira_online(
    target: np.ndarray, shadow: np.ndarray, member: np.ndarray, shared_spread: bool = False
) -> np.ndarray:
    """log N(target; out) − log N(target; in), normals fitted per example to shadow models without and with it.

    Args:
        target: (N,) `logit_confidence` of the attacked model.
        shadow: (N, S) the same of S shadow models, finite.
        member: (N, S) bool, the shadow model was trained on the example.
        shared_spread: one standard deviation for all examples, in and out apart: better with few shadow models
            (the authors advise it below 64).
    Returns:
        (N,) float64, nats; lower = more likely a member.
    Raises:
        ValueError: an example has fewer than two shadow models with it, or without it, or a value is not finite.
    """
    inside = fitted(shadow, member, shared_spread)
    outside = fitted(shadow, ~member, shared_spread)
    return log_normal(target, *outside) - log_normal(target, *inside)


def lira_offline(
    target: np.ndarray, shadow: np.ndarray, member: np.ndarray, shared_spread: bool = False
) -> np.ndarray:
    """log P(confidence without the example ≥ target): how rare such a confidence is for a non-member.

    Args:
        target: (N,) `logit_confidence` of the attacked model.
        shadow: (N, S) the same of S shadow models, finite.
        member: (N, S) bool, the shadow model was trained on the example; such models are not used.
        shared_spread: one standard deviation for all examples.
    Returns:
        (N,) float64, nats, ≤ 0; lower = more likely a member.
    Raises:
        ValueError: an example has fewer than two shadow models without it, or a value is not finite.
    """
    mean, deviation = fitted(shadow, ~member, shared_spread)
    return log_ndtr((mean - target) / deviation)


def fitted(shadow: np.ndarray, used: np.ndarray, shared_spread: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean (N,) and standard deviation (N,) of each example's confidence over the shadow models `used` (N, S)."""
    counts = used.sum(axis=1)
    if (counts < 2).any():
        raise ValueError(f"{int((counts < 2).sum())} examples have fewer than 2 shadow models of a kind")
    if not np.isfinite(shadow[used]).all():
        raise ValueError("a shadow model's confidence is not finite")
    mean = np.where(used, shadow, 0).sum(axis=1) / counts
    squares = (np.where(used, shadow - mean[:, None], 0) ** 2).sum(axis=1)
    variance = (
        np.full(len(counts), squares.sum() / (counts - 1).sum()) if shared_spread else squares / (counts - 1)
    )
    return mean, np.maximum(np.sqrt(variance), SMALLEST)


def log_normal(values: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Log-density of a normal distribution without its constant, which cancels in a ratio."""
    return -0.5 * ((values - mean) / deviation) ** 2 - np.log(deviation)


def target_confidence(scores: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) what is about normal over shadow models: `logit_confidence`, or minus the loss.

    Of a tagged text the mean of `logit_confidence` over its tags.
    """
    if "logits" in scores:
        return per_example(logit_confidence(*labelled(scores)), scores)
    return -example_loss(scores)


def values(scores, settings):
    """LiRA online and offline; masked where no shadow model was trained on the example by design."""
    known, shadow = scores["shadow_known"], scores["shadow_confidence"]
    given = target_confidence(scores)[known], shadow[known], scores["shadow_member"][known]
    columns = {}
    for name, attack in (("lira", lira_online), ("lira_offline", lira_offline)):
        columns[name] = masked_elsewhere(known, attack(*given, shared_spread=shadow.shape[1] < MANY))
    return columns


def aggregate(scores, values, settings, seed):
    result: dict[str, float] = {}
    for name, column in values.items():
        result |= membership(name, column.filled(np.nan), scores, settings)
    return result
