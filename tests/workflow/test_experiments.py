"""Experiments of DVC: each with its own results, made by the jobs it affects and no others."""

from __future__ import annotations

import csv
import json

import pytest
from repository import jobs

pytestmark = pytest.mark.slow

TOPICS = "studies.topics.measure.bootstrap"
RECORDS = "studies.records.measure.bootstrap"
COUNTS = {"measure": 5, "compare": 1, "report": 1}


def metrics(repo) -> dict:
    return json.loads((repo.path / "results/report/metrics.json").read_text())


FORGOTTEN = "studies.topics.forget.size=4"  # a name that DVC leaves out of the keys of its cache of runs
ALL = {"forget": 1, "train": 2, "unlearn": 2, "score": 4, "measure": 5, "compare": 1, "report": 1}


@pytest.mark.parametrize(
    ("where", "change", "counts"), [("", FORGOTTEN, ALL), ("--temp ", f"{TOPICS}=200", COUNTS)]
)
def test_one_experiment(here, where, change, counts):
    before = here.results()
    output = here(f"dvc exp run {where}-n one -S {change}")
    assert jobs(output) == counts
    if where:
        assert here.results() == before
        here("dvc exp apply one")
    assert here.results() == here.truth()
    assert here.plans_nothing()
    assert here.is_clean()
    here("git checkout -q .")
    here("dvc checkout -q")
    assert here.results() == before
    assert here.plans_nothing()
    here("dvc exp apply one")
    assert here.results() == here.truth()
    assert here.plans_nothing()


def test_a_queue_of_three(here):
    before = metrics(here)
    for value in (200, 300):
        here(f"dvc exp run --queue -n topics{value} -S {TOPICS}={value}")
    here(f"dvc exp run --queue -n records -S {RECORDS}=200")
    here("dvc exp run --run-all")
    table = list(csv.DictReader(here("dvc exp show --csv --no-pager").splitlines()))
    values = {row["Experiment"]: row["value"] for row in table if row["Experiment"] != "main"}
    assert {"topics200", "topics300", "records"} <= set(values)
    assert len(set(values.values())) >= 3
    assert metrics(here) == before
    here("dvc exp apply records")
    assert here.results() == here.truth()
    assert here.plans_nothing()
    changes = here("dvc params diff")
    assert RECORDS in changes
    assert "200" in changes
    assert "value" in here("dvc metrics diff")
