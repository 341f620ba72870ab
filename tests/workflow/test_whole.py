"""The whole workflow with the real command line, on the tiny configuration with one method a study."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from repository import HERE, Repo, jobs, make

pytestmark = pytest.mark.slow

SIZE_LIMIT = 100  # KiB, less than the model of any run


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Repo:
    """A repository in which `snakemake` made everything."""
    folder = tmp_path_factory.mktemp("whole")
    params = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
    del params["studies"]["topics"]["methods"]["gradient_ascent"]
    del params["studies"]["records"]["methods"]["npo"]
    params["studies"]["records"]["seeds"] = [0]
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    repo = make(folder / "repo", Path(sys.executable).parent, folder / "params.yaml")
    repo.commit("sources")
    repo("snakemake")
    return repo


def test_every_run_has_its_metrics(whole):
    metrics = json.loads((whole.path / "results/report/metrics.json").read_text())
    assert {study: set(runs) for study, runs in metrics.items()} == {
        "topics": {"original", "retrain", "blind", "deepcut"},
        "records": {"base", "original", "retrain", "blind", "icu"},
    }
    assert (whole.path / "results/report/report.html").stat().st_size > 10_000
    assert whole.plans_nothing()
    assert whole.is_clean()


def test_an_equal_run_gives_equal_bits(whole, tmp_path):
    """All that is made for one method of each study, made again."""
    results = {stage: whole.path / "results" / stage for stage in ("unlearn", "score", "measure", "compare")}
    before = contents(whole.path / "results")
    shutil.rmtree(results.pop("compare"))
    for folder in results.values():
        shutil.rmtree(folder / "topics/deepcut")
        shutil.rmtree(folder / "records/icu/seed0")
    assert jobs(whole("snakemake")) == {"unlearn": 2, "score": 2, "measure": 2, "compare": 2, "report": 1}
    assert differing(before, contents(whole.path / "results")) <= {"cost.json"}
    assert whole.plans_nothing()


def test_a_full_disk(whole):
    """While a model is written the disk refuses; the message names the file, and the next run recovers."""
    folder = whole.path / "results/unlearn/topics/deepcut/seed0"
    before = contents(folder)
    shutil.rmtree(folder / "model")
    command = f"ulimit -f {SIZE_LIMIT}; snakemake results/unlearn/topics/deepcut/seed0/model"
    full = subprocess.run(
        ["bash", "-c", command], cwd=whole.path, env=whole.environment(), capture_output=True, text=True
    )
    assert full.returncode != 0
    assert "results/unlearn/topics/deepcut/seed0" in full.stdout + full.stderr
    log = (whole.path / "logs/unlearn/topics/deepcut/seed0.log").read_text()
    assert "File too large" in log
    assert "model.safetensors" in log.splitlines()[-1]
    assert not (folder / "model").exists()
    whole("snakemake")
    assert differing(before, contents(folder)) <= {"cost.json"}
    assert whole.plans_nothing()
    assert whole.is_clean()


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of all files, but what describes the report's costs and what Snakemake and DVC keep."""
    skipped = {".snakemake_timestamp", ".gitignore"}
    files = [
        f for f in folder.rglob("*") if f.is_file() and f.name not in skipped and "provenance" not in f.parts
    ]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files if "report" not in f.parts} | {
        "metrics": (folder / "report/metrics.json").read_bytes() if (folder / "report").exists() else b""
    }


def differing(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """Names of files that are not the same in both."""
    return {Path(name).name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
