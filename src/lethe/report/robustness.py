"""Whose forgetting survives what, as a table and as sentences."""

from __future__ import annotations

from lethe.report.collect import Results
from lethe.report.tables import BARE, Table, number

MARKS = {"survives": "✓", "undone": "✗", "open": "?"}
WORDS = {"survives": "survives", "undone": "is undone by", "open": "undecided under"}


def robustness_table(results: Results) -> Table | None:
    """A row per test, a column per method: verdict and share that is back; None without variants."""
    rows = []
    for test in results.comparison["robustness"]:
        cells = [test["runs"][run] for run in results.methods]
        shown = (f"{MARKS[c['verdict']]} {number(c['returned'], 2)}" if c else BARE for c in cells)
        rows.append([f"{test['variant']}: {test['label']}", *shown])
    return Table(["test", *results.methods], rows) if rows else None


def ratios_table(results: Results) -> Table | None:
    """A row per test and measure, a column per method: R, Q and area; None without variants."""
    rows = []
    for test in results.comparison["ratios"]:
        cells = [test["runs"][run] for run in results.methods]
        shown = (
            " / ".join(number(c[key], 2) if key in c else BARE for key in ("R", "Q", "area")) for c in cells
        )
        rows.append([f"{test['test']}: {test['label']}", *shown])
    return Table(["R / Q / area", *results.methods], rows) if rows else None


def verdicts(results: Results) -> list[str]:
    """A sentence per method: what its forgetting survives, what undoes it, and what stays open.

    A test counts as undone if any measure of memory says so, and as survived if all do; those in which the original has
    no more than retrain say nothing.
    """
    sentences = []
    tests = results.comparison["robustness"]
    for run in results.methods if tests else []:
        kinds: dict[str, list[str]] = {kind: [] for kind in WORDS}
        for variant in dict.fromkeys(test["variant"] for test in tests):
            found = {t["runs"][run]["verdict"] for t in tests if t["variant"] == variant and t["runs"][run]}
            if found:
                kinds[next(kind for kind in ("undone", "open", "survives") if kind in found)].append(variant)
        parts = [f"{WORDS[kind]} {', '.join(names)}" for kind, names in kinds.items() if names]
        said = f"forgetting {'; '.join(parts)}"
        nothing = "no test says anything, as the original itself shows no more than retrain"
        sentences.append(f"{run}: {said if parts else nothing}.")
    return sentences
