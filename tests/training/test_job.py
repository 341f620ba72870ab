"""What identifies a training job: each part of it alone makes another fingerprint, and nothing else does."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lethe.system import plugins
from lethe.training.job import Job


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files of code, in place of all of the package, and two of data."""
    monkeypatch.chdir(tmp_path)
    for name in ("code", "more", "data", "ids"):
        Path(name).write_text(f"content of {name}")
    monkeypatch.setattr(plugins, "source_files", lambda: [Path("code"), Path("more")])
    monkeypatch.setattr(torch, "__version__", "2.0")


@pytest.fixture
def job():
    return Job({"b": [1, {"x": 2}], "a": None}, 7, "npo", Path("out"), Path("kept/state.safetensors"), None)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_fingerprint_is_that_of_all_its_parts(files, job):
    digests = [sha(f"content of {name}") for name in ("data", "ids", "code", "more")]
    parts = ['{"a": null, "b": [1, {"x": 2}]}', "7", "npo", "2.0", *digests]
    assert job.fingerprint("data", Path("ids")) == sha("\n".join(parts))


CHANGES = {
    "a parameter": lambda job: replace(job, cfg={"b": [1, {"x": 3}], "a": None}),
    "one parameter more": lambda job: replace(job, cfg=job.cfg | {"c": None}),
    "one parameter less": lambda job: replace(job, cfg={"b": job.cfg["b"]}),
    "the seed": lambda job: replace(job, seed=8),
    "the run": lambda job: replace(job, run="simnpo"),
}
FILES = ("data", "ids", "code", "more")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_job_is_changes_its_fingerprint(files, job, change):
    assert change(job).fingerprint("data", "ids") != job.fingerprint("data", "ids")


@pytest.mark.parametrize("name", FILES)
def test_every_file_changes_the_fingerprint(files, job, name):
    before = job.fingerprint("data", "ids")
    Path(name).write_text("other content")
    assert job.fingerprint("data", "ids") != before


def test_inputs_count_by_their_place_and_number(files, job):
    found = {
        job.fingerprint(*inputs) for inputs in ((), ("data",), ("ids",), ("data", "ids"), ("ids", "data"))
    }
    assert len(found) == 5


def test_the_version_of_torch_and_the_files_of_code_change_the_fingerprint(files, job, monkeypatch):
    before = job.fingerprint("data")
    monkeypatch.setattr(torch, "__version__", "2.1")
    assert job.fingerprint("data") != before
    monkeypatch.setattr(torch, "__version__", "2.0")
    monkeypatch.setattr(plugins, "source_files", lambda: [Path("code")])
    assert job.fingerprint("data") != before


SAME = {
    "order of parameters": lambda job: replace(job, cfg=dict(reversed(job.cfg.items()))),
    "where its outputs go": lambda job: replace(job, out=Path("elsewhere")),
    "where its checkpoint lies": lambda job: replace(job, checkpoint=Path("elsewhere")),
    "live plots": lambda job: replace(job, live=Path("live")),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_does_not_change_the_work_does_not_change_its_fingerprint(files, job, change):
    assert change(job).fingerprint("data") == job.fingerprint("data")


def test_inputs_that_moved_are_the_same(files, job):
    before = job.fingerprint("data")
    Path("data").rename("moved")
    assert job.fingerprint("moved") == before


def test_the_code_is_that_of_the_package(job):
    """Whichever file it is: of 200 and more, all lie in the package, this one among them."""
    files = plugins.source_files()
    assert len(files) > 200 and any(file.parts[-2:] == ("training", "job.py") for file in files)
    assert job.fingerprint() == job.fingerprint()


def test_models_on_the_way_have_a_folder_beside_the_checkpoint(job):
    assert job.parts == Path("kept/state-parts")


def test_a_job_forgets_all_of_its_checkpoints_and_nothing_else(tmp_path, job):
    job = replace(job, checkpoint=tmp_path / "state.safetensors", out=tmp_path / "out")
    for file in (
        job.checkpoint,
        job.parts / "learnt.safetensors",
        job.out / "model",
        tmp_path / "other-parts/x",
    ):
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    job.forget_checkpoints()
    assert {file.name for file in tmp_path.iterdir()} == {"out", "other-parts"}
    job.forget_checkpoints()  # of which there are none
