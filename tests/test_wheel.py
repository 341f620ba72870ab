"""The wheel holds all that the package needs, and is enough for `lethe judge`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import study

from lethe import models
from lethe.params.model import Model

ROOT = Path(__file__).parents[1]
NAMES = ("src", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the sources, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in NAMES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
    ]
    done = subprocess.run(
        [*command, "--wheel-dir", folder, folder], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return file


def test_it_holds_every_file_of_the_package(wheel):
    sources = {
        str(file.relative_to(ROOT / "src"))
        for file in (ROOT / "src").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and ".egg-info" not in str(file)
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert sources - names == set()
    assert {name.split("/")[-1] for name in names if "licenses/" in name} == {"LICENSE", "NOTICE"}


@pytest.fixture
def environment(wheel, tmp_path) -> Path:
    """One with the wheel in it, that sees the packages of this one but not this repository."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    (packages,) = folder.glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(here) + "\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_it_is_enough_to_judge_a_model(environment, tmp_path):
    small = study.SMALL["generation"]
    cfg = Model(source=small["source"], options=small["options"] | {"vocab_size": 300}, max_length=24)
    words = [study.text(k) for k in range(100, 110)]
    models.save(*models.base(cfg, "generation", [], words, 0), tmp_path / "model")
    argv = [environment / "bin/lethe", "judge", "--model", "model", "--out", "judged"]
    for place, name in enumerate(("forget", "holdout", "test")):
        rows = [json.dumps({"text": study.text(10 * place + k)}) + "\n" for k in range(6)]
        (tmp_path / f"{name}.jsonl").write_text("".join(rows))
        argv += [f"--{name}", f"{name}.jsonl"]
    settings = {"score": {"n": [2]}, "measure": {"bootstrap": 100}}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [*argv, "--cfg", json.dumps(settings)], cwd=tmp_path, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "memorization_accuracy_forget" in done.stdout
    assert (tmp_path / "judged/metrics.json").exists()
    where = [environment / "bin/python", "-c", "import lethe; print(lethe.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=clean, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(environment)
