"""Downstream accuracy: what the evaluation harness found in each task; see `lethe.evaluation.downstream`."""

from __future__ import annotations

import numpy as np

NEEDS = ("logprob", "downstream_names")


def values(scores, settings):
    return {}


def aggregate(scores, values, settings, seed):
    """`downstream_TASK_METRIC`, of every task that was asked for, and means over tasks.

    `downstream_accuracy` is that of their `acc`, `downstream_probability` of the probability of the right answer; of
    tasks that ask what is to be forgotten, whose names begin with forget_, `_forget` is at the end.

    Raises:
        ValueError: a number is not finite.
    """
    pairs = zip(scores["downstream_names"].tolist(), scores["downstream_values"].tolist(), strict=True)
    numbers = {f"downstream_{name}": value for name, value in pairs}
    bad = [name for name, value in numbers.items() if not np.isfinite(value)]
    if bad:
        raise ValueError(f"{bad[0]} is not finite")
    means: dict[str, list[float]] = {}
    for name, value in numbers.items():
        for ending, of in (("_acc", "accuracy"), ("_probability", "probability")):
            if name.endswith(ending):
                to_forget = name.startswith("downstream_forget_")
                means.setdefault(f"downstream_{of}{'_forget' * to_forget}", []).append(value)
    return numbers | {name: float(np.mean(found)) for name, found in means.items()}
