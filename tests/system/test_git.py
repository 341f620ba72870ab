import shutil
import subprocess
from pathlib import Path

import pytest

from lethe.data.texts import load
from lethe.params.data import Source
from lethe.system.git import is_kept

ROOT = Path(__file__).parents[2]


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )


@pytest.fixture
def project(tmp_path):
    """A repository with the .gitignore of this one."""
    shutil.copy(ROOT / ".gitignore", tmp_path)
    git(tmp_path, "init", "-q")
    return tmp_path


def written(file, content="text\nsecret\n"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def test_adding_everything_adds_no_text(project):
    kept = {
        "data/raw/README.md",
        "data/raw/people.csv.dvc",
        "data/raw/clinic/a.jsonl.dvc",
        "results/README.md",
    }
    kept |= {"results/measure/topics/metrics.json", "results/provenance/prepare.json", ".gitignore"}
    private = {
        "data/raw/people.csv",
        "data/raw/clinic/a.jsonl",
        "data/raw/.hidden",
        "data/prepared/s/examples.parquet",
    }
    private |= {
        "results/score/s/scores.npz",
        "results/train/s/model.safetensors",
        "results/unlearn/s/trace.csv",
    }
    for name in kept - {".gitignore"} | private:
        written(project / name)
    git(project, "add", "-A")
    assert set(git(project, "ls-files").stdout.split()) == kept


def test_what_git_keeps(project):
    ignored = written(project / "data/raw/people.csv")
    loose = written(project / "people [1].csv")
    tracked = written(project / "data/raw/old.csv")
    git(project, "add", "--force", str(tracked))
    assert [is_kept(file) for file in (ignored, loose, tracked)] == [False, True, True]
    assert is_kept(project / "data/raw")  # of a folder it is enough that one file is
    git(project, "rm", "-q", "--cached", str(tracked))
    assert not is_kept(project / "data/raw")


def test_outside_a_repository_git_keeps_nothing(tmp_path):
    assert not is_kept(written(tmp_path / "people.csv"))
    assert not is_kept(tmp_path / "none/people.csv")


def test_a_source_in_git_is_warned_of(project, caplog):
    load(Source(source=str(written(project / "data/raw/people.csv"))), 0)
    assert not caplog.messages
    load(Source(source=str(written(project / "people.csv"))), 0)
    (message,) = caplog.messages
    assert message.startswith(f"dataset.source: {project}/people.csv is in git") and "secret" not in message
