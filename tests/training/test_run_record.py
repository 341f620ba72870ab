"""run.json: complete, the same for equal runs, another for other code, data or settings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import study

from lethe.system import files
from lethe.training import run_record

CFG = {"task": "generation", "model": "tiny-gpt-neo"}
TRAIN = {"train": {"finetune": {"epochs": 3}}}
METHOD = {"method": {"objective": "npo", "hyper": {"beta": 0.3}, "training": {"epochs": 2}}}


def record(folder: Path, cfg: dict, inputs: dict | None = None) -> dict:
    run_record.write(folder, cfg, "mine", 7, inputs or {})
    return json.loads((folder / "run.json").read_text())


def test_settings_hold_what_was_given_and_every_default(tmp_path):
    found = record(tmp_path, CFG | METHOD)["settings"]
    assert found["model"]["source"] == "tiny-gpt-neo" and found["model"]["max_length"] == 128
    assert found["method"]["hyper"]["beta"] == 0.3 and found["method"]["hyper"]["retain"] == 1.0
    assert found["method"]["training"]["epochs"] == 2 and found["method"]["training"]["clip"] is None
    assert "train" not in found and "finetune" not in found
    recipe = {"epochs": 4}
    assert record(tmp_path, CFG | METHOD | {"finetune": recipe})["settings"]["finetune"]["epochs"] == 4


def test_of_a_reference_the_recipe_of_its_own(tmp_path):
    run_record.write(tmp_path, CFG | TRAIN, "base", 7, {})
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["train"] is None
    found = record(tmp_path, CFG | TRAIN)
    assert (found["run"], found["seed"], found["settings"]["train"]["epochs"]) == ("mine", 7, 3)


def test_equal_runs_write_equal_bytes_and_other_data_others(tmp_path):
    """In other folders too: paths are not in it."""
    digests = []
    for number, content in enumerate(("a", "a", "b")):
        folder = tmp_path / str(number)
        (folder / "prepared").mkdir(parents=True)
        (folder / "prepared/examples").write_text(content)
        found = record(
            folder, CFG | METHOD, {"prepared": folder / "prepared", "base": None, "original": folder / "none"}
        )
        assert found["data"] == {"prepared": files.digest(folder / "prepared")}
        digests.append(files.digest(folder / "run.json"))
    assert digests[0] == digests[1] != digests[2]


def test_only_the_first_of_several_processes_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    run_record.write(tmp_path, CFG | TRAIN, "original", 1, {})
    assert not (tmp_path / "run.json").exists()


@pytest.fixture
def repository(tmp_path) -> Path:
    package = tmp_path / "repository/package"
    package.mkdir(parents=True)
    git(package.parent, "init", "-q")
    git(package, "config", "user.email", "someone@example.org")
    git(package, "config", "user.name", "someone")
    (package / "code.py").write_text("a = 1\n")
    return package


def git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_the_last_that_changed_the_package(repository):
    assert run_record.state_of_git(repository) == {"commit": None, "modified": None}
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "code")
    found = {"commit": git(repository, "rev-parse", "HEAD"), "modified": False}
    (repository.parent / "results").write_text("of a run")
    assert run_record.state_of_git(repository) == found
    git(repository.parent, "add", ".")
    git(repository, "commit", "-q", "-m", "results")
    assert run_record.state_of_git(repository) == found != git(repository, "rev-parse", "HEAD")
    (repository / "new.py").write_text("b = 2\n")
    assert run_record.state_of_git(repository) == found | {"modified": True}


def test_without_a_repository_or_git_there_is_no_commit(tmp_path, repository, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    assert run_record.state_of_git(tmp_path / "elsewhere") == {"commit": None, "modified": None}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_record.state_of_git(repository) == {"commit": None, "modified": None}


def test_train_and_unlearn_say_what_they_read(tmp_path):
    """The digests are those of the folders that were given."""
    from lethe.train import train
    from lethe.unlearn import unlearn

    cfg = study.prepared(tmp_path, "classification")
    prepared, forget = tmp_path / "prepared", tmp_path / "forget"
    base, original = tmp_path / "base/model", tmp_path / "original/model"
    train(study.job(tmp_path, cfg, "base"), prepared)
    train(study.job(tmp_path, cfg, "original"), prepared, forget, base)
    unlearn(study.job(tmp_path, cfg, "method"), prepared, forget, original)
    found = {
        run: json.loads((tmp_path / run / "run.json").read_text())["data"]
        for run in ("base", "original", "method")
    }
    digests = {path.parent.name if path.name == "model" else path.name: files.digest(path)
               for path in (prepared, forget, base, original)}  # fmt: skip
    assert found["base"] == {"prepared": digests["prepared"]}
    assert found["original"] == {name: digests[name] for name in ("prepared", "forget", "base")}
    assert found["method"] == {name: digests[name] for name in ("prepared", "forget", "original")}
