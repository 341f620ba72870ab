"""Whose forgetting survives what: how much of what was forgotten is back in each variant of a run.

In one variant, with m the memory of the forget set under that same variant,

    returned = (m(run) − m(retrain)) / (m(original) − m(retrain))

0 is retrain, 1 the model that never forgot. Forgetting survives if the interval over seeds of the paired difference
m(run) − m(retrain) − limit · (m(original) − m(retrain)) lies below zero, and is undone if it lies above.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lethe.evaluation.comparing import Numbers
from lethe.evaluation.headline import memory
from lethe.metrics.common.statistics import mean_interval
from lethe.tasks import Column

SURVIVES, UNDONE, OPEN = "survives", "undone", "open"
PLAIN, SAMPLED = "as it is", "sampled decoding"


@dataclass(frozen=True)
class Test:
    """One test of all runs: the variant, the metric, and run -> seed -> metric -> number."""

    variant: str
    column: Column
    numbers: Numbers


def survival(
    task: str,
    numbers: Numbers,
    variants: dict[str, Numbers],
    runs: Sequence[str],
    limit: float,
    confidence: float,
) -> list[dict[str, Any]]:
    """The verdict of every test on every run.

    Args:
        task: of the study.
        numbers: run -> seed -> metric -> number, of the runs as they are.
        variants: variant -> the same.
        runs: those that are judged.
        limit: share that is back from which on forgetting counts as undone, in (0, 1).
        confidence: level of the interval.
    Returns:
        Per test {variant, metric, label, runs: {run: {verdict, returned}}}, the runs as they are first; a run is None
        where the original itself has no more than retrain. Empty without variants.
    """
    return [
        {
            "variant": test.variant,
            "metric": test.column.key,
            "label": test.column.label,
            "runs": {run: judged(test, run, limit, confidence) for run in runs},
        }
        for test in tests(task, numbers, variants)
    ]


def tests(task: str, numbers: Numbers, variants: dict[str, Numbers]) -> list[Test]:
    """Every variant by every measure of memory, the runs as they are first; none for a study without variants."""
    if not variants:
        return []
    here = available(numbers)
    shown = memory(task, here)
    found = [Test(PLAIN, column, numbers) for column in shown]
    sampled = Column("sampled_rouge_l_best_forget", "best ROUGE-L", "retrain")
    if sampled.key in here:
        found.append(Test(SAMPLED, sampled, numbers))
    for variant, of in variants.items():
        found += [Test(variant, column, of) for column in shown if column.key in available(of)]
    return found


def available(numbers: Numbers) -> Collection[str]:
    """Metrics that retrain has."""
    return set().union(*numbers["retrain"].values())


def judged(test: Test, run: str, limit: float, confidence: float) -> dict[str, Any] | None:
    """The verdict and the share that is back, or None where the original itself has no more than retrain."""
    of, original, retrain = (values(test, name) for name in (run, "original", "retrain"))
    reach = np.mean(original - retrain)
    if reach <= 0:
        return None
    interval = mean_interval(of - retrain - limit * (original - retrain), confidence)
    returned = float(np.mean(of - retrain) / reach)
    if interval is None or interval[0] <= 0 <= interval[1]:
        return {"verdict": OPEN, "returned": returned}
    return {"verdict": SURVIVES if interval[1] < 0 else UNDONE, "returned": returned}


def values(test: Test, run: str) -> np.ndarray:
    """(seeds,) the test's metric of a run."""
    return np.array([numbers[test.column.key] for _, numbers in sorted(test.numbers[run].items())])
