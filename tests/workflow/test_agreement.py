"""Snakemake and DVC agree about what is up to date, whatever happens in between."""

from __future__ import annotations

import pytest
from repository import jobs
from selection import named, table

ICU = {f"{stage}/records/icu/{seed}" for stage in ("unlearn", "score", "measure") for seed in (0, 1)} | {
    "compare/records",
    "report",
}
ICU_COUNTS = {"unlearn": 2, "score": 2, "measure": 2, "compare": 1, "report": 1}


def other_icu(repo) -> None:
    """Change one parameter of the method icu."""
    repo.edit(
        "params.yaml",
        "icu:\n        training:\n          epochs: 1",
        "icu:\n        training:\n          epochs: 2",
    )


def test_a_run_of_snakemake_updates_the_lock_of_dvc(here):
    assert here.is_clean()
    assert here.plans_nothing()
    assert "Running stage" not in here("dvc repro")


@pytest.mark.slow
def test_dvc_repro_leaves_snakemake_nothing_to_do(made, tmp_path):
    repo = made.clone(tmp_path / "clone", pull=False)
    repo("dvc repro")
    assert repo.plans_nothing()
    assert repo.is_clean()
    assert repo.results() == made.results()


def test_one_hyperparameter_in_snakemake(here, tmp_path):
    other_icu(here)
    assert here.changed_jobs() == ICU
    assert jobs(here("snakemake")) == ICU_COUNTS
    assert here.results() == here.truth()
    assert here.is_clean()
    assert here.plans_nothing()


def test_one_hyperparameter_in_dvc_after_a_clone(fresh, tmp_path):
    other_icu(fresh)
    assert jobs(fresh("dvc repro")) == ICU_COUNTS
    assert fresh.results() == fresh.truth()
    assert fresh.is_clean()
    assert fresh.plans_nothing()


@pytest.mark.parametrize("link", table(named("copy", "hardlink", "symlink"), {"copy"}))
def test_a_clone_needs_one_command(made, tmp_path, link):
    """Every way of DVC to link its cache; the fourth, reflink, is the repository's own setting in other tests."""
    repo = made.clone(tmp_path / "clone", pull=False)
    repo(f"dvc config --local cache.type {link}")
    repo("dvc pull -q")
    assert repo.is_clean()
    assert repo.plans_nothing()
    repo.edit("params.yaml", "bootstrap: 100", "bootstrap: 200")
    assert jobs(repo("dvc repro")) == {"measure": 5, "compare": 1, "report": 1}
    assert repo.results() == repo.truth()
    assert repo.is_clean()
    assert repo.plans_nothing()


@pytest.mark.slow
def test_older_revision_and_forward_again(here):
    old = here.results()
    here("git checkout -q -b other")
    other_icu(here)
    here("snakemake")
    here.commit()
    new = here.results()
    assert new != old
    for branch, expected in (("-", old), ("other", new), ("-", old)):
        here(f"git checkout -q {branch}")
        here("dvc checkout -q")
        assert here.results() == expected
        assert here.plans_nothing()
        assert here.is_clean()


@pytest.mark.slow
def test_a_checkout_of_one_stage_is_noticed(here, tmp_path):
    """Old models under new parameters: what was made from the new ones is stale, though not older."""
    here("git checkout -q -b other")
    other_icu(here)
    here("snakemake")
    here.commit()
    here("git checkout -q -")
    here("dvc checkout -q unlearn report")
    assert here.changed_jobs() >= {"score/records/icu/0", "measure/records/icu/0"}
    here("snakemake")
    assert here.results() == here.truth()
    assert here.is_clean()


@pytest.mark.slow
def test_sources_restored_with_an_old_time(here):
    """`cp -p engine.py backup; edit; run; mv backup engine.py`: the source is now older than what was made."""
    source = here.path / "src/lethe/objectives/icu.py"
    here(f"cp -p {source} {source}.backup")
    source.write_text(source.read_text() + "\nCHANGED = 1\n")
    here("snakemake")
    here(f"mv {source}.backup {source}")
    assert here.changed_jobs() == ICU


@pytest.mark.slow
def test_results_that_do_not_belong_to_the_sources(fresh):
    """A commit of sources without their results: a clone must not take the results as theirs."""
    source = fresh.path / "src/lethe/objectives/icu.py"
    source.write_text(source.read_text() + "\nCHANGED = 1\n")
    fresh.commit()
    clone = fresh.clone(fresh.path.with_name("second"), pull=False)
    clone(f"dvc remote modify --local store url {fresh.path.parent}/none")
    clone(f"dvc cache dir --local {fresh.path}/.dvc/cache")
    clone("dvc checkout -q")
    assert clone.changed_jobs() == ICU
    assert jobs(clone("dvc repro")) == ICU_COUNTS
    assert clone.plans_nothing()


# ------------------------------------------------------------------ results changed by hand

ROOT_OF = "results/unlearn/records/icu/seed0"
FROM_MODEL = {"unlearn": 1, "score": 1, "measure": 1, "compare": 1, "report": 1}


CHANGES = {
    "model": (f"rm -r {ROOT_OF}/model", FROM_MODEL),
    "file of a model": (f"rm {ROOT_OF}/model/weights.safetensors", FROM_MODEL),
    "truncated model": (f"truncate -s 5 {ROOT_OF}/model/weights.safetensors", FROM_MODEL),
    "metrics": (
        "rm results/measure/topics/original/seed0/metrics.json",
        {"measure": 1, "compare": 1, "report": 1},
    ),
    "comparison": ("rm results/compare/records/comparison.json", {"compare": 1, "report": 1}),
    "altered table": ("cp README.md results/report/tables/config.json", {"report": 1}),
    "page": ("rm results/report/report.html", {"report": 1}),
}


@pytest.mark.parametrize(("change", "expected"), table(CHANGES, {"truncated model", "metrics", "page"}))
def test_changed_by_hand(here, made, change, expected):
    here(change)
    assert jobs(here("snakemake")) == expected
    assert here.results() == made.results()
    assert here.plans_nothing()
    assert here.is_clean()


@pytest.mark.slow
def test_changed_by_hand_under_dvc(here, made):
    here(f"truncate -s 5 {ROOT_OF}/model/weights.safetensors")
    assert jobs(here("dvc repro"))["unlearn"] == 1
    assert here.results() == made.results()
    assert here.plans_nothing()


@pytest.mark.parametrize("tool", table(named("snakemake", "dvc repro"), {"snakemake"}))
def test_a_removed_method_leaves_nothing_behind(here, tmp_path, tool):
    text = (here.path / "params.yaml").read_text()
    (here.path / "params.yaml").write_text(text[: text.index("      npo:")])
    assert jobs(here(tool)) == {"compare": 1, "report": 1}
    assert here.results() == here.truth()
    assert not list((here.path / "results").rglob("*npo*"))
    assert here.is_clean()
    assert here.plans_nothing()
