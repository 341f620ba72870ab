"""Whose forgetting survives what: how much of what was forgotten is back in each variant of a run.

In one variant, with m the memory of the forget set under that same variant,

    returned = (m(run) − m(retrain)) / (m(original) − m(retrain))

0 is retrain, 1 the model that never forgot. Forgetting survives if the interval over seeds of the paired difference
m(run) − m(retrain) − limit · (m(original) − m(retrain)) lies below zero, and is undone if it lies above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lethe.metrics.common.statistics import mean_interval
from lethe.report.collect import Results
from lethe.report.descriptions import Column, memory
from lethe.report.summarise import Numbers
from lethe.report.tables import BARE, Table

SURVIVES, UNDONE, OPEN = "✓", "✗", "?"
PLAIN, SAMPLED = "as it is", "sampled decoding"


@dataclass(frozen=True)
class Test:
    """One test of all runs: the variant, the metric, and run -> seed -> metric -> number."""

    variant: str
    column: Column
    numbers: Numbers


def tests(results: Results) -> list[Test]:
    """Every variant by every measure of memory, the runs as they are first; none for a study without variants."""
    if not results.variants:
        return []
    shown = memory(results.study.task, available(results.numbers["retrain"]))
    found = [Test(PLAIN, column, results.numbers) for column in shown]
    sampled = Column("sampled_rouge_l_best_forget", "best ROUGE-L", "retrain")
    if sampled.key in available(results.numbers["retrain"]):
        found.append(Test(SAMPLED, sampled, results.numbers))
    for variant, numbers in results.variants.items():
        there = available(numbers["retrain"])
        found += [Test(variant, column, numbers) for column in shown if column.key in there]
    return found


def available(seeds: dict[int, dict[str, float]]) -> set[str]:
    return set().union(*seeds.values())


def judged(test: Test, run: str, limit: float, confidence: float) -> tuple[str, float] | None:
    """The verdict and the share that is back, or None where the original itself has no more than retrain."""
    of, original, retrain = (values(test, name) for name in (run, "original", "retrain"))
    reach = np.mean(original - retrain)
    if reach <= 0:
        return None
    interval = mean_interval(of - retrain - limit * (original - retrain), confidence)
    returned = float(np.mean(of - retrain) / reach)
    if interval is None or interval[0] <= 0 <= interval[1]:
        return OPEN, returned
    return (SURVIVES if interval[1] < 0 else UNDONE), returned


def values(test: Test, run: str) -> np.ndarray:
    """(seeds,) the test's metric of a run."""
    return np.array([numbers[test.column.key] for _, numbers in sorted(test.numbers[run].items())])


def robustness_table(results: Results, limit: float, confidence: float) -> Table | None:
    """A row per test, a column per method: verdict and share that is back; None without variants."""
    rows = []
    for test in tests(results):
        cells = [judged(test, run, limit, confidence) for run in results.methods]
        label = f"{test.variant}: {test.column.label}"
        rows.append([label, *(BARE if c is None else f"{c[0]} {c[1]:.2f}".replace("-", "−") for c in cells)])
    return Table(["test", *results.methods], rows) if rows else None


def verdicts(results: Results, limit: float, confidence: float) -> list[str]:
    """A sentence per method: what its forgetting survives, what undoes it, and what stays open.

    A test counts as undone if any measure of memory says so, and as survived if all do; those in which the original has
    no more than retrain say nothing.
    """
    sentences = []
    found = tests(results)
    for run in results.methods if found else []:
        kinds: dict[str, list[str]] = {SURVIVES: [], UNDONE: [], OPEN: []}
        for variant in dict.fromkeys(test.variant for test in found):
            of = [judged(t, run, limit, confidence) for t in found if t.variant == variant]
            marks = {one[0] for one in of if one is not None}
            if marks:
                mark = UNDONE if UNDONE in marks else OPEN if OPEN in marks else SURVIVES
                kinds[mark].append(variant)
        words = {SURVIVES: "survives", UNDONE: "is undone by", OPEN: "undecided under"}
        parts = [f"{words[mark]} {', '.join(names)}" for mark, names in kinds.items() if names]
        said = f"forgetting {'; '.join(parts)}"
        nothing = "no test says anything, as the original itself shows no more than retrain"
        sentences.append(f"{run}: {said if parts else nothing}.")
    return sentences
