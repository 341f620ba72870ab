"""What each method that a study declares would cost for a request, and what it showed in the study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lethe.params.addresses import folder_of
from lethe.params.file import Params
from lethe.params.requests import RETRAIN
from lethe.report.descriptions import digits
from lethe.report.tables import BARE, Table, number
from lethe.system.records import COMPARISON, FORGOTTEN, read_record_if_there

Seconds = tuple[float | None, float | None, float | None]  # measured, expected, expected beforehand


def choices(params: Params, name: str, examples: int, times: Mapping[str, Seconds]) -> Table:
    """A row for each method and for retraining.

    What has not been run in the study has dashes. Gaps are to the retrained model, with their verdicts; `survives`
    counts the tests of robustness.

    Args:
        examples: how many are to be forgotten.
        times: run -> seconds in the study, of the request, and before it.
    """
    study = params.studies[name]
    compared = read_record_if_there(Path(folder_of("compare", name), "comparison.json"), COMPARISON)
    facts = read_record_if_there(
        Path(folder_of("forget", name, seed=study.seeds[0]), "forget.json"), FORGOTTEN
    )
    forgotten = facts.get("counts", {}).get("forget")
    metrics = [column["key"] for column in compared.get("columns", [])]
    rows = []
    for run in [*study.methods, RETRAIN]:
        spent = [time_of(seconds) for seconds in times[run]]
        cells = [shown(compared, run, metric) for metric in metrics]
        rows.append([run, *spent, *cells, surviving(compared, run)])
    then = BARE if forgotten is None else str(forgotten)
    head = [
        "method",
        f"s for {then} examples",
        f"s for {examples} examples",
        "s beforehand",
        *metrics,
        "survives",
    ]
    return Table(head, rows)


def time_of(seconds: float | None) -> str:
    return BARE if seconds is None else number(seconds, 1)


def shown(compared: Mapping[str, Any], run: str, metric: str) -> str:
    """The gap to retraining with its verdict, of retraining itself the value."""
    entry = compared["runs"].get(run, {}).get(metric)
    if entry is None:
        return BARE
    if "gap" not in entry:
        return number(entry["mean"], digits(metric))
    verdict = compared.get("verdicts", {}).get(run, {}).get(metric, {}).get("verdict")
    sign = "+" if entry["gap"]["mean"] > 0 else ""
    return f"{sign}{number(entry['gap']['mean'], digits(metric))}{f' {verdict}' if verdict else ''}"


def surviving(compared: Mapping[str, Any], run: str) -> str:
    """How many tests of robustness the forgetting survives, of those that tell."""
    tests = [test["runs"].get(run) for test in compared.get("robustness", [])]
    known = [test["verdict"] for test in tests if test]
    return f"{known.count('survives')} of {len(known)}" if known else BARE
