"""Options of Snakemake and DVC that might have old results called new."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from repository import jobs
from selection import named, table

COUNTS = {"unlearn": 2, "score": 2, "measure": 2, "compare": 1, "report": 1}
NPO = {f"{stage}/records/npo/{seed}" for stage in ("unlearn", "score", "measure") for seed in (0, 1)} | {
    "compare/records",
    "report",
}


@pytest.fixture
def changed(here):
    """The repository with its results, and one parameter of the method npo changed since."""
    here.edit("params.yaml", "beta: 0.1", "beta: 0.2")
    return here


@pytest.mark.parametrize("options", ["--touch", "--touch --forceall", "-t results/report/report.html"])
def test_touching_makes_nothing_new(changed, made, options):
    status, output = changed.quick(f"snakemake {options}")
    assert status != 0
    assert "--touch: not used here" in output and "Traceback" not in output
    assert changed.changed_jobs() == NPO
    assert changed.results() == made.results()


@pytest.mark.slow
def test_records_are_kept_and_hooks_called_whatever_the_options_say(changed):
    assert jobs(changed("snakemake --drop-metadata --no-hooks")) == COUNTS
    assert changed.plans_nothing()
    assert changed.is_clean()


def test_records_elsewhere_are_refused(changed):
    status, output = changed.quick("snakemake --persistence-backend db")
    assert status != 0
    assert "--persistence-backend: only `file` is allowed" in output and "Traceback" not in output


@pytest.mark.parametrize("edit", table(named("params.yaml", "src/lethe/objectives/npo.py"), {"params.yaml"}))
def test_dvc_calls_no_single_stage_up_to_date_after_a_change(here, edit):
    if edit == "params.yaml":
        here.edit(edit, "beta: 0.1", "beta: 0.2")
    else:
        (here.path / edit).write_text((here.path / edit).read_text() + "\nCHANGED = 1\n")
    assert "up to date" not in here.quick("dvc status unlearn")[1]
    for command in ("dvc repro -s unlearn", "dvc repro --downstream score"):
        status, output = here.quick(command)
        assert status != 0
        assert "changed after DVC wrote its plan" in output and "up to date" not in output
    assert jobs(here("dvc repro")) == COUNTS
    assert here.is_clean()


def test_forced_by_dvc_it_is_said_that_nothing_is_made_again(here):
    output = here("dvc repro --force --single-item measure")
    assert "measure is as sealed and nothing is made again; `snakemake --forceall measure` would" in output


@pytest.mark.slow
def test_the_report_of_snakemake_where_some_records_were_given_back(fresh):
    fresh.edit("params.yaml", "beta: 0.1", "beta: 0.2")
    fresh("snakemake")
    fresh("snakemake --report page.html")
    page = (fresh.path / "page.html").read_text()
    for told in (
        '"Report"',
        '"Tables"',
        '"Figures"',
        "records_all",
        "each method costs",
        "says how to read it",
        "hold all numbers",
    ):
        assert told in page, told


def test_a_clone_with_other_line_ends(made, tmp_path):
    made.attempt(f"git clone -q -c core.autocrlf=true {made.path} {tmp_path}/clone")
    clone = made.copy(tmp_path / "unused").__class__(tmp_path / "clone", made.commands)
    clone("dvc pull -q")
    assert clone.plans_nothing()
    assert clone.is_clean()


# ------------------------------------------------------------------ what DVC is told


@pytest.mark.slow
def test_a_lock_of_dvc_that_is_gone_is_written_again(here):
    lock = here.path / "dvc.lock"
    content = lock.read_text()
    lock.unlink()
    assert "Nothing to be done" in here("snakemake -n")
    assert not lock.exists()
    assert "dvc.lock is up to date" in here("snakemake")
    assert lock.read_text() == content
    lock.write_text(content.replace("md5: ", "md5: 0"))
    here("snakemake")
    assert here.is_clean()


@pytest.mark.parametrize("folder", ["results", "results/train"])
@pytest.mark.slow
def test_results_on_another_disk(here, made, tmp_path, folder):
    """Where git cannot follow a link, DVC still can."""
    shutil.move(here.path / folder, tmp_path / "scratch")
    (here.path / folder).symlink_to(tmp_path / "scratch")
    assert here.plans_nothing()
    here.edit("params.yaml", "beta: 0.1", "beta: 0.2")
    assert "dvc.lock is up to date" in here("snakemake")
    assert here.plans_nothing()
    (here.path / folder).unlink()
    shutil.move(tmp_path / "scratch", here.path / folder)
    assert here.results() == here.truth()
    assert here.plans_nothing()


def test_without_git_dvc_is_told_all_the_same(here):
    shutil.rmtree(here.path / ".git")
    here.edit("params.yaml", "title: tiny", "title: other")
    assert "dvc.lock is up to date" in here("snakemake")


def test_the_reason_is_given_where_dvc_cannot_write(here):
    here.edit("params.yaml", "title: tiny", "title: other")
    shutil.rmtree(here.path / ".dvc/cache")
    (here.path / ".dvc/cache").write_text("no folder")
    output = here("snakemake")
    assert re.search(r"not in dvc.lock; `dvc repro` will do it \(.{10,}\)", output), output


# ------------------------------------------------------------------ what is no output any more


@pytest.mark.slow
def test_what_a_removed_method_leaves_is_set_aside_once_and_for_a_week(here):
    checkpoint = here.path / "checkpoints/results/unlearn/records/npo/seed0/state.safetensors"
    kept = here.path / "checkpoints/results/unlearn/records/icu/seed0/state.safetensors"
    for file in (checkpoint, kept):
        file.parent.mkdir(parents=True)
        file.write_text("state")
    text = (here.path / "params.yaml").read_text()
    (here.path / "params.yaml").write_text(text[: text.index("      npo:")])
    assert "kept there until" in here("snakemake")
    orphans = here.path / ".snakemake/orphans"
    assert (orphans / "results/unlearn/records/npo/seed0/model/weights.safetensors").exists()
    assert (orphans / "checkpoints/results/unlearn/records/npo/seed0/state.safetensors").exists()
    assert not checkpoint.exists() and kept.exists()
    for file in orphans.rglob("*"):
        os.utime(file, (0, 0))
    here("snakemake --forcerun write_report")
    assert not orphans.exists()
