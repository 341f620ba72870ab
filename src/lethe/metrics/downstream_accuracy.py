"""Downstream accuracy: what the evaluation harness found in each task; see `lethe.evaluation.downstream`."""

from __future__ import annotations

import numpy as np

NEEDS = ("logprob", "downstream_names")


def values(scores, settings):
    return {}


def aggregate(scores, values, settings, seed):
    """`downstream_TASK_METRIC`, of every task that was asked for; `downstream_accuracy`, the mean of their `acc`.

    Raises:
        ValueError: a number is not finite.
    """
    pairs = zip(scores["downstream_names"].tolist(), scores["downstream_values"].tolist(), strict=True)
    numbers = {f"downstream_{name}": value for name, value in pairs}
    bad = [name for name, value in numbers.items() if not np.isfinite(value)]
    if bad:
        raise ValueError(f"{bad[0]} is not finite")
    accuracies = [value for name, value in numbers.items() if name.endswith("_acc")]
    return numbers | ({"downstream_accuracy": float(np.mean(accuracies))} if accuracies else {})
