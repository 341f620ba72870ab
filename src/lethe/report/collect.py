"""All that the runs of a study left behind, read from their addresses."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lethe.params.addresses import folder_of, model_folder
from lethe.params.file import Params
from lethe.params.names import BLIND, VARIANT
from lethe.params.study import Study
from lethe.system.errors import InputError
from lethe.system.quoting import reason
from lethe.system.records import COMPARISON, COST, FORGOTTEN, NUMBERS, PREPARED, RUN, read_record
from lethe.tasks import Column

Series = dict[str, np.ndarray]  # column of a CSV file -> (rows,) float64; a number that is not there is NaN


@dataclass(frozen=True)
class Results:
    """What is known of a study. Runs are in the order of tables: references, then methods as in params.yaml."""

    name: str
    study: Study
    root: Path
    numbers: dict[str, dict[int, dict[str, float]]]  # run -> seed -> metric -> number
    variants: dict[str, dict[str, dict[int, dict[str, float]]]]  # variant -> the same, of every run but base
    costs: dict[
        str, dict[int, dict[str, Any]]
    ]  # run that was made here -> seed -> cost.json; base has its one seed
    records: dict[str, dict[int, dict[str, Any]]]  # the same of run.json
    epochs: dict[str, dict[int, Series]]  # run -> seed -> column -> numbers; methods only
    traces: dict[str, dict[int, Series]]  # the same, a row per step
    facts: dict[str, Any]  # {"prepared": prepared.json, "forget": forget.json of the first seed}
    text_only_control: dict[int, dict[str, float]]  # seed -> what an attack finds that sees no model
    comparison: dict[str, Any]  # comparison.json, see `lethe.compare`
    everyone: list[str]  # methods of all studies, in order: a name has one colour in the whole report

    @property
    def runs(self) -> list[str]:
        return self.study.runs

    @property
    def compared(self) -> list[str]:
        return self.study.compared

    @property
    def methods(self) -> list[str]:
        return list(self.study.methods)

    @property
    def seeds(self) -> list[int]:
        return self.study.seeds

    def examples(self, run: str, seed: int, *columns: str) -> dict[str, np.ndarray]:
        """Columns of metrics.parquet: id, set, and one value per example; of those named what there is, or all."""
        from pyarrow import parquet

        with reading(self.measured(run, seed)) as file:
            table = parquet.read_table(file, columns=list(columns) or None)
        return {column: table[column].to_numpy() for column in table.column_names}

    def columns_of(self, run: str, seed: int) -> list[str]:
        """Names of the columns of metrics.parquet."""
        from pyarrow import parquet

        with reading(self.measured(run, seed)) as file:
            return parquet.read_schema(file).names

    def measured(self, run: str, seed: int) -> Path:
        return self.root / folder_of("measure", self.name, run, seed) / "metrics.parquet"

    @property
    def summaries(self) -> dict[str, dict[str, dict[str, Any]]]:
        """run -> metric -> entry of the comparison: the runs, the control, and the variants of the runs."""
        varied = [run + VARIANT + variant for variant in self.study.variants for run in self.compared]
        return {run: self.comparison["runs"][run] for run in (*self.runs, BLIND, *varied)}

    @property
    def columns(self) -> list[Column]:
        """The metrics that tell most about the study."""
        return [Column(**column) for column in self.comparison["columns"]]

    @property
    def memory(self) -> list[Column]:
        """What measures how much of the forget set is left."""
        return [Column(**column) for column in self.comparison["memory"]]

    @property
    def identities(self) -> dict[str, dict[str, Any]]:
        """run -> source, revision and sha256 of the models that were not made here."""
        given = [run for run in ("original", *self.study.retrained) if self.study.given(run)]
        return {run: json.loads(str(self.scores(run, self.seeds[0], "model")[0])) for run in given}

    def scores(self, run: str, seed: int, *names: str) -> list[np.ndarray]:
        """Arrays of scores.npz; only those named are read."""
        path = self.root / folder_of("score", self.name, run, seed) / "scores.npz"
        with reading(path), np.load(path, allow_pickle=False) as file:
            return [file[name] for name in names]


def collect(name: str, params: Params, root: Path) -> Results:
    """Read the small files of all runs of a study.

    Raises:
        InputError: a file is missing.
    """
    study = params.studies[name]
    everyone = list(dict.fromkeys(run for other in params.studies.values() for run in other.methods))
    seeds = {run: study.seeds[:1] if run == "base" else study.seeds for run in study.runs}

    def read(stage_file: str, runs: list[str], reader) -> dict[str, dict[int, Any]]:
        return {
            run: {
                seed: reader(root / model_folder(params, name, run, seed) / stage_file) for seed in seeds[run]
            }
            for run in runs
        }

    def measured(run: str) -> dict[int, dict[str, float]]:
        at = {seed: root / folder_of("measure", name, run, seed) for seed in study.seeds}
        return {seed: read_record(at[seed] / "metrics.json", NUMBERS) for seed in study.seeds}

    numbers = {run: measured(run) for run in study.runs}
    variants = {v: {run: measured(run + VARIANT + v) for run in study.compared} for v in study.variants}
    facts = {
        "prepared": read_record(root / folder_of("prepare", name) / "prepared.json", PREPARED),
        "forget": read_record(
            root / folder_of("forget", name, seed=study.seeds[0]) / "forget.json", FORGOTTEN
        ),
    }
    methods, made = list(study.methods), [run for run in study.runs if not study.given(run)]
    costs = read("cost.json", made, partial(read_record, shape=COST))
    records = read("run.json", made, partial(read_record, shape=RUN))
    epochs, traces = read("epochs.csv", methods, read_series), read("trace.csv", methods, read_series)
    control = measured(BLIND)
    comparison = read_record(root / folder_of("compare", name) / "comparison.json", COMPARISON)
    return Results(
        name, study, root, numbers, variants, costs, records, epochs, traces, facts, control, comparison, everyone,
    )  # fmt: skip


def tokens(prepared: dict[str, Any]) -> tuple[int, int]:
    """Tokens of the study's texts, and those of them that its model reads."""
    counted = [each for split, each in prepared.get("tokens", {}).items() if split != "general"]
    return sum(each["there"] for each in counted), sum(each["kept"] for each in counted)


@contextmanager
def reading(path: Path) -> Iterator[Path]:
    """A file that a step wrote; what is wrong with it, on one line."""
    if not path.exists():
        raise InputError(f"{path}: no such file; `snakemake` makes it")
    try:
        yield path
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); `snakemake` makes it") from None


def read_series(path: Path) -> Series:
    with reading(path), open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
        names = list(rows[0]) if rows else []
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
