"""Requests one after the other: each goes on with the models of the one before, beside its own retrained model."""

from __future__ import annotations

import json

import pytest
import yaml
from repository import HERE, ROOT, Repo, copy

RUNS = ("original", "retrain", "deepcut", "gradient_ascent")  # base is made, and not measured


@pytest.fixture(scope="module")
def sequence(tmp_path_factory, commands) -> Repo:
    """Results of the study `topics`, whose examples are forgotten in two requests."""
    path = tmp_path_factory.mktemp("sequence")
    for part in ("README.md", "Snakefile", "workflow", "src/lethe"):
        copy(ROOT / part, path / part)
    (path / "profiles").symlink_to("workflow/profiles")
    topics = yaml.safe_load((HERE / "params_tiny.yaml").read_text())["studies"]["topics"]
    topics["forget"]["requests"] = 2
    (path / "params.yaml").write_text(yaml.safe_dump({"studies": {"topics": topics}}))
    repo = Repo(path, commands)
    repo("snakemake")
    return repo


def made_from(repo: Repo, stage: str) -> dict[str, set[str]]:
    """address -> the models it was made from."""
    jobs = json.loads((repo.path / f"results/provenance/{stage}.json").read_text())
    return {address: {i for i in job["inputs"] if i.endswith("model")} for address, job in jobs.items()}


def test_every_request_goes_on_with_the_models_of_the_one_before(sequence):
    found = made_from(sequence, "unlearn")
    assert set(found) == {f"topics-{k}/{run}/0" for k in (1, 2) for run in RUNS[2:]}
    base = "results/train/topics-1/base/seed0/model"
    for run in RUNS[2:]:
        assert found[f"topics-1/{run}/0"] == {base, "results/train/topics-1/original/seed0/model"}
        assert found[f"topics-2/{run}/0"] == {base, f"results/unlearn/topics-1/{run}/seed0/model"}


def test_every_request_has_its_own_retrained_model_and_base_and_original_are_shared(sequence):
    found = made_from(sequence, "train")
    assert set(found) == {
        "topics-1/base/0",
        "topics-1/original/0",
        "topics-1/retrain/0",
        "topics-2/retrain/0",
    }
    assert found["topics-2/retrain/0"] == {"results/train/topics-1/base/seed0/model"}


def test_every_run_is_measured_at_every_request(sequence):
    found = made_from(sequence, "score")
    assert set(found) == {f"topics-{k}/{run}/0" for k in (1, 2) for run in RUNS}
    assert found["topics-2/original/0"] == {"results/train/topics-1/original/seed0/model"}
    assert found["topics-2/deepcut/0"] == {"results/unlearn/topics-2/deepcut/seed0/model"}
    assert sequence.plans_nothing()


def test_a_change_of_the_requests_makes_again_what_it_affects(sequence):
    """A third request keeps base, and draws all parts anew."""
    sequence.edit("params.yaml", "requests: 2", "requests: 3")
    changed = sequence.changed_jobs()
    assert "train/topics-1/base/0" not in changed and "prepare/topics-1" not in changed
    assert {"prepare/topics-3", *(f"forget/topics-{k}/0" for k in (1, 2, 3))} <= changed
    assert {f"unlearn/topics-{k}/{run}/0" for k in (1, 2, 3) for run in RUNS[2:]} <= changed
    assert not {job for job in changed if job.startswith("train/topics-3/") and "retrain" not in job}
