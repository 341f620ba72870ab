"""Whose forgetting survives what: how much of what was forgotten is back in each variant of a run.

In one variant, with m the memory of the forget set under that same variant,

    returned = (m(run) − m(retrain)) / (m(original) − m(retrain))

0 is retrain, 1 the model that never forgot. Forgetting survives if the interval over seeds of the paired difference
m(run) − m(retrain) − limit · (m(original) − m(retrain)) lies below zero, and is undone if it lies above.

Three ratios say how fast it comes back, of means over seeds, m before and m' after a test at its last level:

    R     min(1, (m'(retrain) − m(retrain)) / (m'(run) − m(run))): 1 if it gains no more than retrain does
    Q     min(1, m' / m): what is left of m, for tests that only take away, such as quantising
    area  under m over the levels, from 0 on, beside retrain's: 1 is a curve of relearning like that of retrain

R and Q are those of open-unlearning (arXiv:2506.12618), which judges metrics by them.
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
    """Every variant by every measure of memory, the runs as they are first; none without variants or retrain."""
    if not variants or "retrain" not in numbers:
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


def ratios(
    task: str, numbers: Numbers, variants: dict[str, Numbers], runs: Sequence[str]
) -> list[dict[str, Any]]:
    """R, Q and area of every test by every measure of memory.

    Args:
        task, numbers, variants, runs: as of `survival`; a variant is named TEST-LEVEL, the strongest level last.
    Returns:
        Per test and measure {test, metric, label, runs: {run: {R, Q, area}}}; what is not defined is absent. Empty
        without retrain.
    """
    levels: dict[str, list[str]] = {}
    for variant in variants if "retrain" in numbers else {}:
        levels.setdefault(variant.rpartition("-")[0], []).append(variant)
    found = []
    for name, of in levels.items():
        for column in [c for c in memory(task, available(numbers)) if c.key in available(variants[of[-1]])]:
            curves = [Test(v, column, n) for v, n in ((PLAIN, numbers), *((v, variants[v]) for v in of))]
            steps = [0, *(int(variant.rpartition("-")[2]) for variant in of)]
            each = {run: ratios_of(curve(curves, run), curve(curves, "retrain"), steps) for run in runs}
            found.append({"test": name, "metric": column.key, "label": column.label, "runs": each})
    return found


def curve(tests: list[Test], run: str) -> np.ndarray:
    """(L + 1,) the metric of a run as it is and at each level, means over seeds."""
    return np.array([values(test, run).mean() for test in tests])


def ratios_of(run: np.ndarray, retrain: np.ndarray, steps: list[int]) -> dict[str, float]:
    """R, Q and area from curves (L + 1,) over levels; R is 1 where the run gains nothing, 0 where only it gains."""
    gained, expected = (float(of[-1] - of[0]) for of in (run, retrain))
    found = {"R": 1.0 if gained <= 0 else min(1.0, max(0.0, expected / gained))}
    if run[0] > 0:
        found["Q"] = min(1.0, float(run[-1] / run[0]))
    below = float(np.trapezoid(retrain, steps))
    if steps == sorted(steps) and below > 0:
        found["area"] = float(np.trapezoid(run, steps)) / below
    return found
