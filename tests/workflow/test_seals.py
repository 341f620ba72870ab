"""What of a job decides that its outputs are used again, and how a seal keeps it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

CFG, SOURCES = '{"a": 1, "b": [2]}', '{"lethe/code.py": "0123"}'


@pytest.fixture
def seals(importable, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    from workflow import seals

    return seals


@pytest.fixture
def job(seals):
    return seals.Job({"study": "s"}, CFG, SOURCES)


def test_a_seal_holds_all_that_snakemake_records_of_a_job(seals, job):
    params = [repr(SOURCES), "'results/x'", repr(CFG), "'data/y'"]
    seal = seals.seal("score_model", job, params, {"in": "sha256:1"}, {"out": "2"})
    assert seal == seals.Seal(
        "score_model",
        {"a": 1, "b": [2]},
        {"lethe/code.py": "0123"},
        ["'data/y'", "'results/x'"],
        {"in": "sha256:1"},
        {"out": "2"},
    )
    assert seals.params_of(seal) == sorted(params)
    unordered = replace(seal, cfg={"b": [2], "a": 1})
    assert seals.params_of(unordered) == sorted(params), "the order of keys is no change"


def test_parameters_and_sources_decide_what_a_job_makes_and_its_place_does_not(seals, job):
    assert seals.params_of_job(job) == {repr(CFG), repr(SOURCES)}
    assert seals.params_of_job(replace(job, where={"study": "t"})) == {repr(CFG), repr(SOURCES)}


def test_seals_of_a_stage_lie_in_a_file_of_its_name(seals, job):
    seal = seals.seal("r", job, [], {"in": None}, {"out": "2"})
    assert seals.file_of("score").read() is None
    seals.file_of("score").write({"s/0": seal})
    kept = json.loads(Path("results/provenance/score.json").read_text())
    assert kept == {"s/0": {"rule": "r", "cfg": json.loads(CFG), "sources": json.loads(SOURCES), "others": [],
                            "inputs": {"in": None}, "outputs": {"out": "2"}}}  # fmt: skip
    assert seals.file_of("score").read() == {"s/0": seal}
    assert seals.file_of("train").read() is None
