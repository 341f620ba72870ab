"""A part of the page for each method: what it is, its settings, its numbers beside the references, and its cost."""

from __future__ import annotations

from dataclasses import dataclass

from lethe.report.collect import Results
from lethe.report.settings import defaults, settings, text
from lethe.report.tables import BARE, Table
from lethe.system import plugins


@dataclass(frozen=True)
class Part:
    """What is told of a method in one place."""

    run: str
    what: str  # the first line of its objective's docstring
    objective: str
    numbers: Table  # a row per metric of the main table
    settings: Table  # a row per setting
    changed: int  # settings that differ from their defaults
    cost: Table | None
    survives: str | None  # a sentence


def parts(results: Results, tables: dict[str, Table], verdicts: list[str]) -> list[Part]:
    """Of every method, in order; numbers are those of the tables."""
    said = {sentence.partition(":")[0]: sentence for sentence in verdicts}
    return [part(results, run, tables, said.get(run)) for run in results.methods]


def part(results: Results, run: str, tables: dict[str, Table], survives: str | None) -> Part:
    objective = results.study.methods[run].objective
    rows, changed = setting_rows(results, run)
    return Part(
        run=run,
        what=plugins.first_line("objectives", objective),
        objective=objective,
        numbers=turned(tables["headline"], ["original", "retrain", run], tables.get("gaps")),
        settings=Table(["setting", "value", "default"], rows),
        changed=changed,
        cost=turned(tables["costs"], ["retrain", run]),
        survives=survives,
    )


def setting_rows(results: Results, run: str) -> tuple[list[list[str]], int]:
    """A row per setting, those that differ from their defaults first, and how many of them there are."""
    used, usual = settings(results.records[run]), defaults(results, run)
    unlike = [name for name in sorted(used) if name not in usual or usual[name] != used[name]]
    same = [name for name in sorted(used) if name not in unlike]
    rows = [
        [name, text(used[name]), text(usual[name]) if name in usual else BARE] for name in [*unlike, *same]
    ]
    return rows, len(unlike)


def turned(table: Table, runs: list[str], gaps: Table | None = None) -> Table:
    """Rows of a table as columns, and the gap of the last of them beside, where there is one."""
    found = {row[0]: row[1:] for row in table.rows}
    columns = [found[run] for run in runs if run in found]
    head = [run for run in runs if run in found]
    own = {row[0]: row[1:] for row in gaps.rows}.get(runs[-1]) if gaps else None
    rows = [[name, *cells] for name, *cells in zip(table.head[1:], *columns, strict=True)]
    if own:
        beside = [*own, *[BARE] * (len(rows) - len(own))]
        rows = [[*row, gap] for row, gap in zip(rows, beside, strict=True)]
        head = [*head, "run − retrain"]
    return Table(["metric" if own or gaps else "what", *head], rows)
