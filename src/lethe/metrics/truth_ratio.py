"""Truth ratio: are wrong answers as probable as the right one in other words? (TOFU, arXiv:2401.06121)

R = P_wrong / P_right, P = exp(−loss), P_right of the paraphrased answer, of the answer itself where there is none.
Ratios are kept as logarithms, of differences of losses: probabilities of long answers of a wrecked model vanish, and
published code then divides by the 1e-10 that it adds.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logsumexp

from lethe.metrics.common.aggregates import set_means
from lethe.metrics.common.answers import is_forgotten
from lethe.metrics.loss import token_loss

NEEDS = ("logprob", "answered", "alternative_loss")


def log_truth_ratio(right_loss: np.ndarray, wrong_loss: np.ndarray, mean: str) -> np.ma.MaskedArray:
    """log R of each example.

    Args:
        right_loss: (N,) mean negative log-likelihood of the right answer's tokens, nats.
        wrong_loss: (N, K) of wrong answers, NaN where there are fewer.
        mean: P_wrong is the `geometric` mean of the probabilities of the wrong answers, as in TOFU's published
            evaluation, or their `arithmetic` mean, as in its paper.
    Returns:
        (N,) float64; > 0: the wrong answers are the more probable. Masked where there is none.
    """
    given = np.isfinite(wrong_loss)
    count = np.maximum(1, given.sum(axis=1))
    if mean == "arithmetic":
        wrong = logsumexp(np.where(given, -wrong_loss, -np.inf), axis=1) - np.log(count)
    else:
        wrong = -np.where(given, wrong_loss, 0).sum(axis=1) / count
    known = given.any(axis=1)
    return np.ma.array(np.where(known, wrong + right_loss, 0.0), mask=~known)


def balance(log_ratio: np.ndarray) -> np.ndarray:
    """min(R, 1/R) in [0, 1], of what is to be forgotten: 1 where right and wrong answers are equally probable."""
    return np.exp(-np.abs(log_ratio))


def preference(log_ratio: np.ndarray) -> np.ndarray:
    """max(0, 1 − R) in [0, 1], of what is kept: high where the right answer is the more probable."""
    return np.clip(1 - np.exp(np.minimum(log_ratio, 0)), 0, None)


def knowledge(log_ratio: np.ndarray) -> np.ndarray:
    """P_right / (P_right + P_wrong) in [0, 1]; lower on what is to be forgotten (open-unlearning, arXiv:2506.12618)."""
    return expit(-log_ratio)


def values(scores, settings):
    """`log_truth_ratio`, of examples with wrong answers."""
    loss, paraphrase = token_loss(scores["logprob"], scores["mask"]), scores["paraphrase_loss"]
    right = np.where(np.isfinite(paraphrase), paraphrase, loss)
    return {"log_truth_ratio": log_truth_ratio(right, scores["alternative_loss"], settings.truth_ratio)}


def aggregate(scores, values, settings, seed):
    """`truth_ratio_SET`: mean `balance` of sets to be forgotten, `preference` of others; or `knowledge` of all."""
    ratio, sets = values["log_truth_ratio"], scores["sets"]
    if settings.truth_ratio == "knowledge":
        return set_means("truth_ratio", np.ma.array(knowledge(ratio.data), mask=ratio.mask), sets)
    forget = np.array([is_forgotten(name) for name in sets])
    each = np.where(forget, balance(ratio.data), preference(ratio.data))
    return set_means("truth_ratio", np.ma.array(each, mask=ratio.mask), sets)
