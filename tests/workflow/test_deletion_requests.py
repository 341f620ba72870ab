"""Deletion requests in the workflow: a chain of versions that adds its own jobs, and that a clone takes over."""

from __future__ import annotations

import json

import pytest
import yaml
from repository import jobs

pytestmark = pytest.mark.slow

SERVED = {"date": "2026-11-29", "digest": "0" * 64, "method": "npo"}


def test_a_chain_of_versions_is_made_pushed_and_taken_over(here, tmp_path):
    params = yaml.safe_load((here.path / "params.yaml").read_text())
    served = [SERVED | {"reference": f"R-{k}", "records": [f"person-{k}.0"]} for k in (1, 2)]
    params["studies"]["records"]["requests"] = {"method": "npo", "served": served}
    (here.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    output = here("snakemake")
    expected = {"prepare": 2, "forget": 2, "train": 2, "unlearn": 2, "score": 6, "measure": 8}
    expected |= {"report": 1}  # which links to requests, once the study serves some
    assert jobs(output) == expected  # and no comparison or other run
    seals = json.loads((here.path / "results/provenance/unlearn.json").read_text())
    versions = [f"results/unlearn/records-request-{k}/npo/seed0/model" for k in (1, 2)]
    starts = ["results/train/records/original/seed0/model", versions[0]]
    for k, (start, version) in enumerate(zip(starts, versions, strict=True), 1):
        job = seals[f"records-request-{k}/npo/0"]
        assert start in job["inputs"]
        assert version in job["outputs"]
    assert here.plans_nothing()
    assert here.is_clean()

    here.commit()
    here("dvc push -q")
    fresh = here.clone(tmp_path / "fresh")
    assert fresh.plans_nothing()
    assert (fresh.path / versions[1]).is_dir()

    params = yaml.safe_load((fresh.path / "params.yaml").read_text())
    third = SERVED | {"reference": "R-3", "records": ["person-3.0"]}
    params["studies"]["records"]["requests"]["served"].append(third)
    (fresh.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    own, runs = "records-request-3", ("original", "retrain", "npo")
    next_one = {f"prepare/{own}", f"forget/{own}/0", f"train/{own}/retrain/0", f"unlearn/{own}/npo/0"}
    next_one |= {f"score/{own}/{run}/0" for run in runs}
    next_one |= {f"measure/{own}/{run}/0" for run in (*runs, "blind")}
    assert fresh.changed_jobs() == next_one  # the chain goes on from there
