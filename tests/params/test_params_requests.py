"""Deletion requests in params.yaml: what they add to the plan, and what they leave as it is."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from lethe.params.addresses import model_folder, start_folder
from lethe.params.file import Params, check_params
from lethe.system.errors import InputError

ROOT = Path(__file__).parents[2]
TINY = yaml.safe_load((ROOT / "tests/workflow/params_tiny.yaml").read_text())
SERVED = {"date": "2026-11-29", "digest": "0" * 64, "method": "npo"}


def with_requests(served=(), **more):
    content = copy.deepcopy(TINY)
    content["studies"]["records"]["requests"] = {"method": "npo", "served": list(served), **more}
    return content


def two(**more):
    first = SERVED | {"reference": "R-1", "records": ["a"]}
    second = SERVED | {"reference": "R-2", "records": ["b", "c"], "method": "icu"}
    return check_params(with_requests([first, second], **more), "params.yaml")


def test_each_request_is_a_study_that_goes_on_with_the_version_before_it():
    params = two(seed=1)
    assert list(params.studies) == ["topics", "records", "records-request-1", "records-request-2"]
    second = params.studies["records-request-2"]
    assert (second.seeds, second.first_seed, second.version) == ([1], 0, "icu")
    assert second.runs == ["original", "retrain", "icu"]
    assert second.forget.parts == [["a"], ["b", "c"]]
    assert params.studies["records-request-1"].forget.parts == [["a"]]  # not what came later
    assert start_folder(params, "records-request-1", "npo", 1) == "results/train/records/original/seed1"
    assert (
        start_folder(params, "records-request-2", "icu", 1) == "results/unlearn/records-request-1/npo/seed1"
    )
    assert model_folder(params, "records-request-2", "base", 1) == "results/train/records/base/seed0"


def test_retraining_may_serve_and_may_be_too_dear():
    none = two(retrains=0).studies["records-request-2"]
    assert none.runs == ["original", "icu"]
    content = with_requests(
        [SERVED | {"reference": "R-1", "records": ["a"], "method": "retrain"}], method="retrain"
    )
    exact = check_params(content, "params.yaml")
    assert exact.studies["records-request-1"].runs == ["original", "retrain"]


def test_parameters_survive_being_written_and_read_again():
    params = two()
    assert Params.model_validate_json(params.model_dump_json()) == params
    assert Params.model_validate(json.loads(params.model_dump_json())) == params


def test_a_request_adds_its_jobs_and_changes_no_other(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    monkeypatch.chdir(ROOT)
    import plan
    from dependencies import Digests

    digests = Digests(tmp_path / "memory.json")
    before, bare = (plan.jobs(check_params(c, "p"), digests) for c in (TINY, with_requests()))
    assert {**bare, "report": None} == {**before, "report": None}
    assert bare["report"] != before["report"]  # it lists what was asked
    after = plan.jobs(two(), digests)
    for stage, jobs in bare.items():
        assert {k: v for k, v in after[stage].items() if k in jobs} == jobs
        assert all(k.startswith("records-request-") for k in after[stage] if k not in jobs)
    added = {f"{stage}/{k}" for stage in after for k in after[stage] if k not in bare[stage]}
    one = "records-request-1"
    assert {name for name in added if one in name} == {
        f"prepare/{one}", f"forget/{one}/0", f"train/{one}/retrain/0", f"unlearn/{one}/npo/0",
        *(f"score/{one}/{run}/0" for run in ("original", "retrain", "npo")),
        *(f"measure/{one}/{run}/0" for run in ("original", "retrain", "npo", "blind")),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ({"method": "nosuch"}, "requests.method: nosuch; allowed are icu, npo, retrain"),
        ({"seed": 7}, "requests.seed: 7; allowed are 0, 1"),
        ({"method": "retrain", "retrains": 0}, "retrains: 0"),
        ({"thresholds": {"nosuch_forget": {"most": 1.0}}}, "requests.thresholds.nosuch_forget"),
        ({"thresholds": {"loss_forget": {}}}, "least, most: both null"),
        ({"served": [SERVED | {"reference": "a/b", "records": ["a"]}]}, "reference"),
        ({"served": [SERVED | {"reference": "R", "records": ["a"], "date": "today"}]}, "is no day"),
    ],
)
def test_faults_end_in_one_line(requests, said):
    with pytest.raises(InputError) as error:
        check_params(with_requests(**requests), "params.yaml")
    assert said in str(error.value)


def test_the_name_of_a_request_is_no_other_study():
    content = with_requests([SERVED | {"reference": "R-1", "records": ["a"]}])
    content["studies"]["records-request-1"] = content["studies"]["topics"]
    with pytest.raises(InputError, match="is the name of a deletion request of records"):
        check_params(content, "params.yaml")


def test_a_chain_may_be_long():
    served = [SERVED | {"reference": f"R-{k}", "records": [f"r{k}"]} for k in range(150)]
    params = check_params(with_requests(served), "params.yaml")
    before = start_folder(params, "records-request-150", "npo", 0)
    assert before == "results/unlearn/records-request-149/npo/seed0"
