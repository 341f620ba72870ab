"""Repositories for the tests of the workflow; `made` is made once and shared by all test processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path

import pytest
from repository import HERE, ROOT, Repo, make


@pytest.fixture
def importable(monkeypatch) -> None:
    """Modules of workflow/ can be imported, too as `workflow.NAME`, by which mutmut knows them."""
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder for all test processes of the session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def commands(shared) -> Path:
    """Folder with stand-ins for `lethe`, `dvc` and `snakemake`."""
    folder = shared / "commands"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):  # made by another test process
        (folder / "lethe").symlink_to(HERE / "fake_lethe.py")
        for name in ("dvc", "snakemake"):
            (folder / name).symlink_to(HERE / "command.py")
    return folder


@pytest.fixture(scope="session")
def made(shared, commands) -> Repo:
    """A repository with results made by `snakemake`, committed and pushed. Not to be changed."""
    path = shared / "made"
    with open(shared / "made.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "made.json").exists():
            repo = make(path, commands, HERE / "params_tiny.yaml")
            output = repo("snakemake")
            repo.commit("results")
            repo("dvc push -q")
            (shared / "made.json").write_text(json.dumps(output))
    return Repo(path, commands)


@pytest.fixture
def here(made, tmp_path) -> Repo:
    """The repository where the results were made."""
    return made.copy(tmp_path / "here")


@pytest.fixture
def fresh(made, tmp_path) -> Repo:
    """A fresh clone with pulled results."""
    return made.clone(tmp_path / "fresh")
