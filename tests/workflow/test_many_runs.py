"""No command grows with its study: of an argument, which a command of a shell is, Linux allows 128 KiB."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from repository import HERE, ROOT, Repo, copy, jobs

LIMIT = 128 * 1024  # bytes, MAX_ARG_STRLEN
REFERENCES = ("base", "original", "retrain")


@pytest.fixture
def repo(tmp_path, commands) -> Repo:
    """A repository without results."""
    for part in ("README.md", "Snakefile", "workflow", "src/lethe"):
        copy(ROOT / part, tmp_path / "many" / part)
    (tmp_path / "many/profiles").symlink_to("workflow/profiles")
    return Repo(tmp_path / "many", commands)


def declare(repo: Repo, name: str, **changes) -> None:
    topics = yaml.safe_load((HERE / "params_tiny.yaml").read_text())["studies"]["topics"]
    (repo.path / "params.yaml").write_text(json.dumps({"studies": {name: topics | changes}}))


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("{}")


def test_the_report_of_a_thousand_runs(repo):
    methods = [f"method-{k}" for k in range(1000)]
    declare(repo, "topics", methods={run: {"objective": "gradient_ascent"} for run in methods})
    put(repo.path / "data/prepared/topics", "prepared.json")
    put(repo.path / "data/forget/topics/seed0", "forget.json")
    put(repo.path / "results/compare/topics", "comparison.json")
    for run in (*REFERENCES, "blind", *methods):
        if run != "blind":
            stage = "train" if run in REFERENCES else "unlearn"
            made = repo.path / "results" / stage / "topics" / run / "seed0"
            put(made, "trace.csv", "epochs.csv", "cost.json", "run.json")
        if run not in ("base", "blind"):
            put(repo.path / f"results/score/topics/{run}/seed0", "scores.npz")
        if run != "base":
            put(repo.path / f"results/measure/topics/{run}/seed0", "metrics.json", "metrics.parquet")
    assert jobs(repo("snakemake results/report/report.html --allowed-rules write_report")) == {"report": 1}
    assert (repo.path / ".snakemake/run.jobs/report.json").stat().st_size > 2 * LIMIT
    assert (repo.path / "results/report/report.html").exists()


def test_the_metrics_of_a_run_with_a_thousand_shadow_models(repo):
    name, count = "-".join(map(str, range(37))), 1000
    declare(repo, name, shadow={"models": count})
    files = [f"results/score/{name}/shadow/seed{1000 + k}/scores.npz" for k in range(count)]
    assert len(" ".join(files)) > LIMIT
    for file in (f"results/score/{name}/original/seed0/scores.npz", *files):
        put((repo.path / file).parent, "scores.npz")
    target = f"results/measure/{name}/original/seed0/metrics.json"
    assert jobs(repo(f"snakemake {target} --allowed-rules measure_scores")) == {"measure": 1}
    assert (repo.path / target).exists()
