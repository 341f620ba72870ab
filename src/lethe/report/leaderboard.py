"""A leaderboard of methods by suites, from the numbers that reports wrote, also those of other repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lethe.params.names import BLIND, VARIANT
from lethe.report.descriptions import digits
from lethe.report.tables import BARE, Table, markdown, number
from lethe.system.records import SUMMARIES, read_record

Entries = dict[str, dict[str, Any]]  # metric -> {mean, sd, n, gap}, as comparison.json has them
COLUMNS = {  # metric, without the name of the set that it is of -> heading
    "forget_quality": "forget quality",
    "model_utility": "model utility",
    "truth_ratio_forget": "truth ratio, forget",
    "rouge_l_recall_forget": "ROUGE-L, forget",
    "privacy_leak": "privacy leak, %",
    "rouge_l_f1_verbmem": "VerbMem",
    "rouge_l_f1_knowmem_forget": "KnowMem, forget",
    "rouge_l_f1_knowmem_retain": "KnowMem, retain",
    "transfer_auc": "transfer AUC",
    "accuracy_forget": "accuracy, forget",
    "accuracy_test": "accuracy, test",
    "memorization_accuracy_excess": "MA, forget − test",
    "downstream_accuracy_forget": "accuracy, tasks to forget",
    "downstream_probability_forget": "right answer, tasks to forget",
    "downstream_accuracy": "accuracy, tasks",
}
MEMORY = (
    "rouge_l_recall_forget",
    "memorization_accuracy_forget",
    "accuracy_forget",
)  # under tests of forgetting


def leaderboard(folders: list[Path]) -> str:
    """Markdown: a table for each study of each report, a row for each run.

    A cell is the mean over seeds, and in brackets the interval of the gap to retrain where there is one. Under tests of
    forgetting, such as relearning and quantising, it is what is remembered then.

    Args:
        folders: of reports, each with metrics.json and cost.json.
    Raises:
        InputError: a file is missing, or holds something else.
    """
    parts = ["# Leaderboard\n"]
    for folder in folders:
        metrics, costs = (
            read_record(Path(folder) / name, SUMMARIES, "`lethe report` makes it")
            for name in ("metrics.json", "cost.json")
        )
        for study, runs in metrics.items():
            said = f"## {study}\n\nFrom `{folder}`. {how(runs)}\n"
            parts += [said, markdown(table(runs, costs.get(study, {})))]
    return "\n".join(parts)


def how(runs: dict[str, Entries]) -> str:
    """How to read a table."""
    tests, said = tests_of(runs), "Means over seeds; in brackets the interval of the gap to retrain."
    return said + (f" After {', '.join(tests)}: `{remembered(runs)}`." if tests else "")


def tests_of(runs: dict[str, Entries]) -> list[str]:
    """Tests of forgetting, in the order of their runs."""
    return list(dict.fromkeys(run.partition(VARIANT)[2] for run in runs if VARIANT in run))


def remembered(runs: dict[str, Entries]) -> str:
    """The metric that is shown under tests of forgetting."""
    plain = [entries for run, entries in runs.items() if VARIANT not in run and run != BLIND]
    return next((key for key in MEMORY if any(named(key, entries) for entries in plain)), MEMORY[0])


def table(runs: dict[str, Entries], costs: dict[str, Entries]) -> Table:
    """A row for each run, a column for each number that any run has, for each test of forgetting, and for the time."""
    plain = [run for run in runs if VARIANT not in run and run != BLIND]
    tests, memory = tests_of(runs), remembered(runs)
    shown = {key: head for key, head in COLUMNS.items() if any(named(key, runs[run]) for run in plain)}
    rows = []
    for run in plain:
        cells = [cell(named(key, runs[run]), key) for key in shown]
        cells += [cell(named(memory, runs.get(f"{run}{VARIANT}{test}", {})), memory) for test in tests]
        seconds = costs.get(run, {}).get("wall_seconds")
        rows.append([run, *cells, number(seconds["mean"], 0) if seconds else BARE])
    return Table(["run", *shown.values(), *tests, "seconds"], rows)


def named(key: str, entries: Entries) -> dict[str, Any] | None:
    """A number, or that of the probe that is the set with other wordings, such as forget_perturbed."""
    return entries.get(key) or entries.get(f"{key}_perturbed")


def cell(entry: dict[str, Any] | None, key: str) -> str:
    if entry is None:
        return BARE
    places, gap = digits(key), entry.get("gap", {})
    bounds = f" [{number(gap['low'], places)}, {number(gap['high'], places)}]" if "low" in gap else ""
    return number(entry["mean"], places) + bounds
