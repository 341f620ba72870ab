"""Where a seal exists, content decides: results that changed though their times did not, and `lethe verify`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from selection import table

from lethe.__main__ import main
from lethe.system.files import digest

METRICS = "results/measure/records/icu/seed0/metrics.json"


def rot(path: Path, new_file: bool) -> None:
    """Change one byte, and keep time and size; in a file of another inode, as after a copy, or in place."""
    when, content = path.stat(), path.read_bytes()
    if new_file:
        path.unlink()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))


LOST = {
    "nothing": [],
    "digests": ["digests.json"],
    "digests and what was found": ["digests.json", "found.json"],
}


@pytest.mark.parametrize("lost", table(LOST, {"nothing"}))
def test_a_rotten_output_is_made_again(here, made, lost):
    rot(here.path / METRICS, new_file=not lost)
    for name in lost:
        (here.path / ".snakemake" / name).unlink()
    output = here("snakemake")
    assert "not as any run left them" in output and METRICS in output
    assert here.results() == made.results()
    assert here.is_clean()


def test_a_rotten_file_in_a_model_is_found_after_a_copy_of_everything(here, made, tmp_path):
    rot(here.path / "results/unlearn/records/icu/seed0/model/weights.safetensors", new_file=False)
    copy = here.copy(tmp_path / "copy")
    (copy.path / ".snakemake/digests.json").unlink()
    assert "unlearn/records/icu/0" in copy.changed_jobs()


def test_files_of_a_file_manager_are_no_change(here, made):
    for name in (".DS_Store", "._weights.safetensors", ".nfs0001", "Thumbs.db"):
        for folder in ("results/train/records/original/seed0/model", "results/train", "data/raw"):
            (here.path / folder / name).write_text("x")
    assert here.plans_nothing()
    assert here.is_clean()
    here("snakemake --forcerun write_report")
    assert (here.path / "results/train/.DS_Store").exists()


@pytest.mark.slow
def test_times_of_the_future_and_of_long_ago(here, made):
    """Of another machine's clock, or of an archive: nothing is made again, and a change makes what it affects."""
    for when in (4070908800, 0):
        for file in (f for top in ("data", "results") for f in (here.path / top).rglob("*") if f.is_file()):
            os.utime(file, (when, when))
        assert here.plans_nothing()
    here.edit("params.yaml", "beta: 0.1", "beta: 0.2")
    here("snakemake")
    assert here.results() == here.truth()
    assert here.plans_nothing()


# ------------------------------------------------------------------ lethe verify


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    """A folder with one output and its seal."""
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("results/score/a/scores.npz", "scores"),
        ("data/prepared/x", "data"),
        ("mine.csv", "rows"),
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    seal = {
        "rule": "score_model",
        "cfg": {},
        "sources": {"mine.csv": digest("mine.csv")[:16], "rules/score.smk": "0" * 16},
        "others": [],
        "inputs": {"data/prepared/x": f"sha256:{digest('data/prepared/x')}", "results/train/model": None},
        "outputs": {"results/score/a/scores.npz": digest("results/score/a/scores.npz")},
    }
    file = Path("results/provenance/score.json")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"a/0": seal}))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    return tmp_path


def test_all_is_as_sealed(sealed, capsys):
    assert main(["verify"]) == 0
    assert capsys.readouterr().out == "3 files and folders are as sealed, 0 differ\n"


@pytest.mark.parametrize("name", ["results/score/a/scores.npz", "data/prepared/x", "mine.csv"])
def test_every_file_is_read_whatever_its_time(sealed, capsys, name):
    Path(".snakemake").mkdir()
    Path(".snakemake/digests.json").write_text("{}")
    rot(Path(name), new_file=False)
    assert main(["verify"]) == 1
    output = capsys.readouterr().out
    assert output.startswith(f"{name}: is not what ")
    assert "2 files and folders are as sealed, 1 differ" in output
    assert not Path(".snakemake/digests.json").exists()


def test_what_is_not_here_is_no_fault(sealed, capsys):
    Path("results/score/a/scores.npz").unlink()
    assert main(["verify"]) == 0
    assert "0 differ, 1 outputs are not here" in capsys.readouterr().out


def test_no_seals_and_seals_that_cannot_be_read(sealed, capsys):
    Path("results/provenance/score.json").write_bytes(b"[\xff")
    assert main(["verify"]) == 2
    assert "results/provenance/score.json: is not a file of seals" in capsys.readouterr().err
    shutil.rmtree("results/provenance")
    assert main(["verify"]) == 2
    assert "holds no seals" in capsys.readouterr().err


def test_copies_beside_the_results_are_listed(sealed, capsys):
    place = Path(".snakemake/orphans/results/unlearn/old/model")
    place.mkdir(parents=True)
    (place / "weights").write_bytes(bytes(2_000_000))
    assert main(["verify"]) == 0
    assert "also there: .snakemake/orphans, 2.0 MB" in capsys.readouterr().out


def test_the_workflow_seals_what_verify_reads(made, monkeypatch, capsys):
    monkeypatch.chdir(made.path)
    assert main(["verify"]) == 0
    assert "0 differ" in capsys.readouterr().out
