"""What steps wrote in JSON may hold anything when it is read again: one line that names it, never a stack."""

import json
from pathlib import Path

import numpy as np
import pytest

from lethe.compare import numbers_of
from lethe.data.encoding import facts
from lethe.datasets import families
from lethe.deletion.checking import purged
from lethe.deletion.places import rule_of
from lethe.evaluation import open_unlearning
from lethe.report.collect import Results, read_series
from lethe.report.leaderboard import leaderboard
from lethe.system.errors import InputError
from lethe.system.records import (
    COMPARISON,
    COST,
    NUMBERS,
    PREPARED,
    PURGES,
    RUN,
    TIMES,
    read_record,
    read_record_if_there,
)

WRONG = {
    "list": b"[]",
    "null": b"null",
    "another shape": b'{"job": 1}',
    "shape of one deeper": b'{"runs": {"a": []}, "settings": [], "labels": {}, "purged": 1, "a": {"b": {"c": 1}}}',
    "not UTF-8": b'{"\xff\xfe": 1}',
    "cut": b'{"a',
    "empty": b"",
    "merge": b"<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n",
    "deep": b"[" * 100_000,
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
}
READERS = {
    "numbers": lambda file: numbers_of(file.parents[2], "run", [0]),
    "prepared": lambda file: facts(file.parent),
    "purged": lambda file: purged(file.with_name("certificate.json")),
    "leaderboard": lambda file: leaderboard([file.parent]),
    "comparison": lambda file: read_record_if_there(file, COMPARISON),
    "cost": lambda file: read_record_if_there(file, COST),
    "run": lambda file: read_record(file, RUN),
    "open-unlearning": open_unlearning.read,
    "times": lambda file: read_record_if_there(file, TIMES),
    "rule": lambda file: rule_of(file.parent),
    "family": families.read,
}
LOOSE = {"numbers", "open-unlearning", "times"}  # that read a file which says nothing of theirs
NAMES = {"rule": "composed.json", "prepared": "prepared.json", "purged": "purged.json"}


@pytest.mark.parametrize("reader", READERS)
def test_what_has_another_shape_ends_in_one_line(tmp_path, reader):
    file = tmp_path / "run/seed0" / NAMES.get(reader, "metrics.json")
    file.parent.mkdir(parents=True)
    (file.parent / "cost.json").write_text("{}")
    for name, content in WRONG.items():
        if reader in LOOSE and name == "another shape":
            continue
        if reader in LOOSE - {"numbers"} and name == "shape of one deeper":
            continue
        file.write_bytes(content)
        with pytest.raises(InputError) as error:
            READERS[reader](file)
        message = str(error.value)
        assert str(file) in message and "\n" not in message and len(message) < 400, name


def test_what_fits_is_as_the_file_has_it(tmp_path):
    file = tmp_path / "metrics.json"
    found = {"loss": 0.1, "count": 3, "leak": True, "last": 1.0}
    file.write_text(json.dumps(found))
    assert json.dumps(read_record(file, NUMBERS)) == json.dumps(found)
    file.write_text('{"task": "generation", "labels": [], "more": {"a": [1]}}')
    assert read_record(file, PREPARED)["more"] == {"a": [1]}
    file.write_text('{"purged": ["a"]}')
    assert read_record(file, PURGES) == {"purged": ["a"]}


def test_what_is_not_there_is_said_with_what_makes_it(tmp_path):
    for path in (tmp_path / "none.json", Path(__file__) / "none.json"):
        with pytest.raises(InputError, match=r"none.json: no such file; `snakemake` makes it"):
            read_record(path, NUMBERS)
    with pytest.raises(InputError, match="Is a directory"):
        read_record(tmp_path, NUMBERS)


FAMILY = {"gender": ["female", "male"], "facts": [[1, "mother", 0]]}


def test_a_file_of_facts_is_read_by_its_shape(tmp_path):
    file = tmp_path / "family.json"
    file.write_text(json.dumps(FAMILY))
    assert families.read(file) == (["file.0f", "file.1m"], [("file.1m", "mother", "file.0f")])
    for key, value, said in (
        ("gender", ["female", "flag"], "gender.1"),
        ("facts", [[1, "mother", -1]], "facts.0.0|facts.0.2"),
        ("facts", [[True, "mother", 0]], "facts.0.0"),
        ("facts", [[1, "mother", 2]], "person 2 has no gender"),
        ("facts", [[1, "boss \ud800", 0]], r"boss .ud800'; allowed are"),
        ("facts", FAMILY["facts"] * 2, "a fact may be given once"),
    ):
        file.write_text(json.dumps(FAMILY | {key: value}))
        with pytest.raises(InputError, match=f"dataset.options.file: .*family.json.*({said})"):
            families.read(file)


TABLES = {
    "text": b"step,loss\n0,many\n",
    "not UTF-8": b"step,loss\n0,\xff\n",
    "short": b"PK\x03\x04PAR1",
    "list": b"[]",
}


def test_tables_and_arrays_that_a_report_cannot_read_end_in_one_line(tmp_path):
    results = Results("s", None, tmp_path, *[None] * 10)
    trace = tmp_path / "trace.csv"
    scores = tmp_path / "results/score/s/a/seed0/scores.npz"
    metrics = tmp_path / "results/measure/s/a/seed0/metrics.parquet"
    readers = {
        trace: lambda: read_series(trace),
        scores: lambda: results.scores("a", 0, "sets"),
        metrics: lambda: [results.columns_of("a", 0), results.examples("a", 0)],
    }
    for file, reader in readers.items():
        with pytest.raises(InputError, match=f"{file.name}: no such file; `snakemake` makes it"):
            reader()
        file.parent.mkdir(parents=True, exist_ok=True)
        for name, content in TABLES.items():
            if file == trace and name in ("short", "list"):  # a table of one column, without rows
                continue
            file.write_bytes(content)
            with pytest.raises(InputError, match=f"{file.name}: cannot be read") as error:
                reader()
            assert "\n" not in str(error.value), name
    np.savez(scores, sets=np.arange(2))
    assert results.scores("a", 0, "sets")[0].tolist() == [0, 1]
    with pytest.raises(InputError, match=r"scores.npz: cannot be read"):
        results.scores("a", 0, "none")
    trace.write_text("step,loss\n0,\n1,2.5\n")
    assert read_series(trace)["loss"].tolist() == pytest.approx([np.nan, 2.5], nan_ok=True)
