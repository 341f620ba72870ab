import os
import shutil
from pathlib import Path

import pytest
import workflow_in_process
import yaml
from served_study import ask, make_in_process, parameters, subject

from lethe import request as requests
from lethe.params.file import load_params
from lethe.request import Order, serve


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with the original model of a study, and the records that it was trained on."""
    folder = tmp_path_factory.mktemp("made")
    before = Path.cwd()
    os.chdir(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump({"studies": {"people": parameters(folder)}}))
    params = load_params("params.yaml")
    workflow_in_process.run_study(params, "people", ["base", "original"], 1)
    os.chdir(before)
    return folder


@pytest.fixture(scope="session")
def served(made, tmp_path_factory):
    """The same after one request was served, and what was said of it."""
    folder = tmp_path_factory.mktemp("served") / "here"
    shutil.copytree(made, folder)
    before = Path.cwd()
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "make", make_in_process)
        assert serve(Order(ask(folder, "DSR-1", subject(folder, 0)))) == 0
    os.chdir(before)
    return folder


@pytest.fixture
def here(served, tmp_path, monkeypatch):
    """A copy of it, as the working folder, in which Snakemake must not be asked for anything."""
    shutil.copytree(served, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(requests, "make", lambda *_: pytest.fail("made again"))
    return tmp_path / "here"
