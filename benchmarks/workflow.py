"""What the workflow itself costs: starting with nothing to do, planning, and each job beside its work.

    python benchmarks/workflow.py                # some minutes, most of them for a thousand jobs
    python benchmarks/workflow.py --jobs 100

The work inside the jobs is the stand-in of the tests; git, dvc and snakemake are real. Seconds are the least of
several turns, with the processor time of the same turn, which other load on the machine touches less.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/workflow"))

from repository import HERE, Repo, make  # noqa: E402

TURNS = 3
METHODS = [f"run{i}" for i in range(10)]


def seconds(repo: Repo, command: str, turns: int = TURNS) -> tuple[float, float]:
    """Wall and processor seconds of a command, of the turn that took least."""
    return min(once(repo, command) for _ in range(turns))


def once(repo: Repo, command: str) -> tuple[float, float]:
    began = time.monotonic()
    process = subprocess.Popen(
        command.split(),
        cwd=repo.path,
        env=repo.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    errors = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command}: {errors.decode()}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime


def show(name: str, measured: tuple[float, float], limit: float | None = None) -> None:
    bound = f"limit {limit:4.1f}" if limit else ""
    print(f"{name:45} {measured[0]:6.2f} s wall {measured[1]:6.2f} s cpu  {bound}", flush=True)


def repository(folder: Path, params: Path) -> Repo:
    commands = folder / "commands"
    commands.mkdir(parents=True)
    (commands / "lethe").symlink_to(HERE / "fake_lethe.py")
    return make(folder / "repository", commands, params)


def wide(file: Path, count: int) -> int:
    """Write parameters of one study with about `count` jobs; returns how many."""
    per_seed = 1 + 2 + len(METHODS) + 2 * (3 + len(METHODS))
    seeds = list(range(-(-count // per_seed)))
    study = yaml.safe_load((HERE / "params_tiny.yaml").read_text())["studies"]["records"]
    study |= {"seeds": seeds, "methods": {name: {"objective": "icu"} for name in METHODS}}
    file.write_text(yaml.safe_dump({"studies": {"wide": study}}))
    return 3 + per_seed * len(seeds)


def default(folder: Path) -> None:
    """The default parameters, all up to date."""
    repo = repository(folder, ROOT / "params.yaml")
    show("default: all jobs, without their work", once(repo, "snakemake"))
    show("default: snakemake, nothing to do", seconds(repo, "snakemake"), 3.5)
    show("default: dvc repro, nothing to do", seconds(repo, "dvc repro"), 3.0)
    show("default: dvc status", seconds(repo, "dvc status"))
    show("default: the plan alone", seconds(repo, "python workflow/plan.py"))
    subprocess.run(["rm", "-r", repo.path / ".snakemake"], check=True)
    show("default: snakemake -n as after a pull", once(repo, "snakemake -n"), 3.5)


def many(folder: Path, count: int) -> None:
    """Planning of many jobs, and what each costs beside its work."""
    params = folder / "params.yaml"
    folder.mkdir()
    jobs = wide(params, count)
    repo = repository(folder, params)
    show(f"{jobs} jobs: planned from nothing (-n -q)", seconds(repo, "snakemake -n -q"), 5.0)
    made = once(repo, "snakemake -q")
    show(f"{jobs} jobs: all made, {1000 * made[1] / jobs:.0f} ms cpu each", made)
    show(f"{jobs} jobs: snakemake, nothing to do", seconds(repo, "snakemake -q"), 5.0)
    show(f"{jobs} jobs: dvc repro, nothing to do", seconds(repo, "dvc repro"), 3.0)
    subprocess.run(["rm", "-r", repo.path / ".snakemake"], check=True)
    show(f"{jobs} jobs: snakemake -n as after a pull", once(repo, "snakemake -n -q"))
    size = sum(f.stat().st_size for f in (repo.path / "results/provenance").glob("*.json"))
    print(f"{jobs} jobs: {size / 1e6:.1f} MB of provenance in git")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder:
        default(Path(folder, "default"))
        many(Path(folder, "many"), jobs)
