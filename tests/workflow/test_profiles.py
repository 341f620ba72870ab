"""What a machine owner turns changes how jobs run, and never what is out of date."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from repository import HERE, ROOT, Repo

PROFILES = ROOT / "workflow/profiles"


def with_stand_in(here: Repo, folder: Path, script: str) -> Repo:
    """The repository, in which `lethe` is another script."""
    (folder / "commands").mkdir()
    (folder / "commands/lethe").symlink_to(HERE / script)
    return Repo(here.path, folder / "commands")


def test_no_setting_of_a_machine_makes_anything_out_of_date(here):
    """Threads and resources in the rules and in the profiles, also seen through the profile for Slurm."""
    here.edit("workflow/profiles/slurm/config.yaml", "4000 * attempt", "9000 * attempt + 1")
    here.edit("workflow/profiles/slurm/config.yaml", "# slurm_partition: NAME", "slurm_partition: other")
    here.edit("workflow/profiles/slurm/config.yaml", "# set-threads: {", "set-threads: {")
    here.edit("workflow/profiles/default/config.yaml", "cores: all", "cores: 3")
    for stage, count in {
        "train": 'processes("train")',
        "unlearn": 'processes("unlearn")',
        "score": "1",
    }.items():
        here.edit(f"workflow/rules/{stage}.smk", f"threads: {count}", "threads: 2")
        here.edit(f"workflow/rules/{stage}.smk", f"gpu={count},", "gpu=2,\n        mem_mb=500,")
    assert here.plans_nothing()
    assert "Nothing to be done" in here("snakemake -n --profile profiles/slurm")
    assert here.changed_stages() == set()


def test_retries_are_in_profiles_only():
    """A rule's own would count once more inside a job on Slurm."""
    assert yaml.safe_load((PROFILES / "slurm/config.yaml").read_text())["retries"] > 0
    for file in ROOT.glob("workflow/rules/*.smk"):
        assert "retries:" not in file.read_text()


def test_every_library_keeps_to_the_threads_of_its_job(here, tmp_path):
    """One, as the rule says, where cores and a setting of the user's say something else."""
    repo = with_stand_in(here, tmp_path, "count_threads.py")
    (here.path / "data/prepared/topics/prepared.json").unlink()
    command = "snakemake --cores 2 data/prepared/topics/prepared.json"
    repo.attempt(command, OMP_NUM_THREADS="7", RAYON_NUM_THREADS="7")
    counts = json.loads((here.path / "threads").read_text())
    assert counts.keys() >= {"torch", "arrow", "tokenizers"}
    assert len(counts) > 3
    assert counts.pop("tokenizers") <= 1, counts  # threads more than before; another may have ended meanwhile
    assert set(counts.values()) == {1}, counts


JOB = (
    "snakemake --mode remote --target-jobs unlearn_examples:study=records,run=icu,seed=0"
    " --allowed-rules unlearn_examples --cores 1 --force --nolock --no-hooks --ignore-incomplete"
)


def test_a_job_on_a_cluster_is_made_of_the_parameters_of_its_run(here, made):
    """It reads the Snakefile when it starts, which may be long after the run did, and after an edit."""
    folder = "results/unlearn/records/icu/seed0"
    (here.path / folder / "model.sha256").unlink()
    here.edit("params.yaml", "      icu:\n", "      other:\n        objective: icu\n")
    here(JOB)
    assert (here.path / folder / "model.sha256").exists()
    assert here.results() == made.results()


APPTAINER = """#!/bin/sh
[ "$1" = --version ] && echo "apptainer version 1.4.0" && exit
echo "$@" >> calls
for last; do :; done
exec bash -c "$last"
"""


def test_a_job_runs_in_the_container(here, tmp_path):
    """Through a stand-in for Apptainer, which notes what it is asked for and runs it outside."""
    repo = with_stand_in(here, tmp_path, "fake_lethe.py")
    for name in ("apptainer", "singularity"):
        (repo.commands / name).write_text(APPTAINER)
        (repo.commands / name).chmod(0o755)
    (here.path / "lethe.sif").touch()
    (here.path / "results/unlearn/records/icu/seed0/model.sha256").unlink()
    repo("snakemake --sdm apptainer -- results/unlearn/records/icu/seed0/model.sha256")
    (call,) = (here.path / "calls").read_text().splitlines()
    assert call.startswith(f"exec --home {here.path} ")
    assert " lethe.sif " in call and " lethe unlearn " in call


def test_no_two_jobs_hold_one_gpu(here, tmp_path):
    """Two made-up GPUs, both at work, and more jobs than GPUs at a time."""
    repo = with_stand_in(here, tmp_path, "gpu_lethe.py")
    models = sorted(here.path.glob("results/unlearn/*/*/*/model.sha256"))
    for model in models:
        model.unlink()
    targets = " ".join(str(model.relative_to(here.path)) for model in models)
    status, output = repo.attempt(
        f"snakemake --profile profiles/gpu --cores 4 --resources gpu=4 -- {targets}",
        CUDA_VISIBLE_DEVICES="0,1",
        TMPDIR=str(tmp_path),  # where the locks lie
    )
    assert status == 0, output
    journal = [line.split() for line in (here.path / "journal").read_text().splitlines()]
    assert {gpu for _, gpu in journal} == {"0", "1"}
    for gpu in "01":
        words = [word for word, of in journal if of == gpu]
        assert words == ["claim", "release"] * (len(words) // 2)
    assert len(journal) == 2 * len(models)
