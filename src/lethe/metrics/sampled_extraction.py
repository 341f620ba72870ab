"""Sampled extraction: what an attacker gets who may ask many times.

A text that greedy decoding does not yield may still be drawn, and greedy metrics then say too little (Hayes et al.,
NAACL 2025, arXiv:2410.19482: (n, p)-discoverable extraction). Rows hold token ids, -1 after the last.
"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import set_means
from lethe.metrics.verbatim_completion import rouge_l, tokens_of

NEEDS = ("logprob",)


def share_verbatim(tries: np.ndarray, suffix: np.ndarray) -> np.ndarray:
    """Share of a text's tries that are its true suffix, word for word.

    Args:
        tries: (N, K, W) int, token ids of K sampled continuations.
        suffix: (N, W) int, token ids of the true continuation.
    Returns:
        (N,) float64 in [0, 1]; an estimate of the probability of extraction at the temperature of the tries.
    """
    return (tries == suffix[:, None]).all(axis=2).mean(axis=1)


def best_of_tries(tries: np.ndarray, suffix: np.ndarray) -> np.ndarray:
    """ROUGE-L of the try that comes nearest to the true suffix.

    Args:
        tries, suffix: see `share_verbatim`.
    Returns:
        (N,) float64 in [0, 1]; grows with K, so compare equal K only.
    """
    return np.array(
        [
            max(rouge_l(tokens_of(one), tokens_of(true)) for one in of)
            for of, true in zip(tries, suffix, strict=True)
        ]
    )


def log_probability(logprob: np.ndarray, mask: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """Log-probability that one continuation drawn at temperature 1 is the true one: summed over the suffix.

    Args:
        logprob: (N, T) log-probability of each token given those before it, nats; any number where not scored.
        mask: (N, T) bool, the token is scored.
        prompt: (N,) int, tokens before the suffix.
    Returns:
        (N,) float64, nats, ≤ 0. An attacker with n tries extracts the text with probability 1 − (1 − p)ⁿ.
    """
    suffix = mask & (np.arange(mask.shape[1]) >= prompt[:, None])
    return np.where(suffix, logprob.astype(np.float64), 0.0).sum(axis=1)


def of_texts(texts):
    tries, suffix = texts["tries"], texts["suffix"]
    sampled = (tries >= 0).any(axis=(1, 2))
    columns = {}
    for name, function in {"verbatim": share_verbatim, "rouge_l_best": best_of_tries}.items():
        column = columns[f"sampled_{name}"] = np.full(len(tries), np.nan)
        if sampled.any():
            column[sampled] = function(tries[sampled], suffix[sampled])
    return columns


def values(scores, settings):
    if "prompt" not in scores:  # optional
        return {}
    asked = scores["prompt"] > 0
    sure = log_probability(scores["logprob"], scores["mask"], scores["prompt"])
    columns = {"verbatim_log_probability": np.ma.array(sure, mask=~asked)}
    for name in ("sampled_verbatim", "sampled_rouge_l_best"):
        if np.isfinite(scores[name]).any():
            columns[name] = np.ma.masked_invalid(scores[name])
    return columns


def aggregate(scores, values, settings, seed):
    """Means over the texts of each set, of the probability itself too; and the share that any try yielded."""
    result: dict[str, float] = {}
    columns = dict(values)
    if columns:
        columns["verbatim_probability"] = np.ma.exp(columns.pop("verbatim_log_probability"))
    if "sampled_verbatim" in columns:
        columns["sampled_verbatim_any"] = columns["sampled_verbatim"] > 0
    for name, column in columns.items():
        result |= set_means(name, column, scores["sets"])
    return result
