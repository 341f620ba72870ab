"""Which jobs a change of one key of the parameters makes again, of all keys that a stage needs, and no others."""

from __future__ import annotations

import copy
import fnmatch
import json
from typing import Any

import pytest
import yaml
from repository import HERE

from lethe.params.file import check_params
from lethe.params.names import SHADOW

TINY = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
BOTH = ("topics", "records")


@pytest.fixture
def plan(importable, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    from workflow import plan

    return plan


def jobs_of(plan, content: dict[str, Any]) -> dict[str, Any]:
    """STAGE/ADDRESS -> job."""
    found = plan.jobs(
        check_params(copy.deepcopy(content), "params.yaml"), plan.Digests(plan.Path("digests.json"))
    )
    assert [*found] == ["prepare", "forget", "train", "unlearn", "score", "measure", "compare", "report"]
    return {f"{stage}/{address}": job for stage, of in found.items() for address, job in of.items()}


def changed(key: str, value: Any) -> dict[str, Any]:
    """The parameters with another value of a key, such as records.forget.size or report.title."""
    content = copy.deepcopy(TINY)
    at = content if key.startswith("report") else content["studies"]
    *path, last = key.split(".")
    for name in path:
        at = at.setdefault(name, {})
    at[last] = value
    return content


TRAINED = ("train/records/*", "unlearn/records/*", "score/records/*")  # of a model of the study
CHANGES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "report.title": ("other", ()),
    "report.confidence": (0.5, ("compare/*",)),
    "report.returned": (0.25, ("compare/*",)),
    "records.dataset.sizes.test": (12, ("prepare/records",)),
    "records.dataset.general.size": (24, ("prepare/records",)),
    "records.split_seed": (5, ("prepare/records",)),
    "records.model.max_length": (24, ("prepare/records", *TRAINED)),
    "records.model.freeze": (["x"], TRAINED),
    "records.forget.size": (4, ("forget/records/*",)),
    "records.train.pretrain.epochs": (2, ("train/records/base/0",)),
    "records.train.finetune.epochs": (2, ("train/records/original/*", "train/records/retrain/*")),
    "records.train.match": ("epochs", ("train/records/retrain/*",)),
    "records.score.start": (2, ("score/records/*",)),
    "records.measure.bootstrap": (200, ("measure/records/*", "compare/records")),
    "records.claims.near": (0.3, ("compare/records",)),
    "records.methods.npo.hyper.beta": (0.2, ("unlearn/records/npo/*",)),
    "records.methods.icu.training.epochs": (2, ("unlearn/records/icu/*",)),
    "topics.measure.min_k": (0.3, ("measure/topics/*", "compare/topics")),
    "topics.methods.deepcut.training.epochs": (2, ("unlearn/topics/deepcut/0",)),
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_key_makes_again_what_needs_it(plan, key):
    before = jobs_of(plan, TINY)
    value, patterns = CHANGES[key]
    after = jobs_of(plan, changed(key, value))
    assert after.keys() == before.keys()
    found = {name for name in before if before[name] != after[name]}
    expected = {name for name in before if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}
    assert found == expected | {"report/"}
    assert all(any(fnmatch.fnmatch(name, pattern) for name in before) for pattern in patterns)


def test_the_jobs_of_a_study(plan):
    """Every run is trained, scored and measured in every seed; base is trained once."""
    found = {name for name in jobs_of(plan, TINY) if "topics" in name or name == "report/"}
    runs = {"original", "retrain", "deepcut", "gradient_ascent"}
    expected = {"prepare/topics", "forget/topics/0", "compare/topics", "report/", "measure/topics/blind/0"}
    expected |= {f"train/topics/{run}/0" for run in ("base", "original", "retrain")}
    expected |= {f"unlearn/topics/{run}/0" for run in ("deepcut", "gradient_ascent")}
    expected |= {f"{stage}/topics/{run}/0" for stage in ("score", "measure") for run in runs}
    assert found == expected
    records = {name for name in jobs_of(plan, TINY) if name.startswith("train/records")}
    made = {f"{run}/{seed}" for run in ("original", "retrain") for seed in (0, 1)}
    assert records == {f"train/records/{run}" for run in {"base/0", *made}}


def test_places_and_parameters_of_jobs(plan):
    jobs = jobs_of(plan, TINY)
    assert jobs["unlearn/records/npo/1"].where == {"study": "records", "run": "npo", "seed": "1"}
    assert jobs["forget/records/1"].where == {"study": "records", "seed": "1"}
    assert jobs["report/"].where == {}
    keys = {
        "prepare/records": {"task", "dataset", "seed", "model"},
        "forget/records/0": {"task", "forget"},
        "train/records/base/0": {"task", "model", "train"},
        "unlearn/records/npo/0": {"task", "model", "method"},
        "score/records/npo/0": {"task", "model", "score"},
        "measure/records/npo/0": {"task", "measure", "shadow"},
        "measure/records/blind/0": {"task", "measure"},
        "report/": {"report", "studies", "plugins"},
    }
    for name, expected in keys.items():
        assert {*json.loads(jobs[name].cfg)} >= expected, name
        if name != "report/":
            assert {*json.loads(jobs[name].cfg)} == expected, name
    train = {
        name: json.loads(jobs[f"train/records/{name}/0"].cfg)["train"]
        for name in ("base", "original", "retrain")
    }
    assert train["base"]["finetune"] == {} and train["base"]["pretrain"]["epochs"] == 1
    assert train["original"]["pretrain"] is None and train["original"]["finetune"]["epochs"] == 1
    assert train["retrain"]["match"] == "steps" and not {"match"} & {*train["base"], *train["original"]}
    for job in jobs.values():
        assert job.cfg == json.dumps(json.loads(job.cfg), sort_keys=True)
        assert job.sources == json.dumps(json.loads(job.sources), sort_keys=True)


def test_code_of_jobs(plan):
    """A method's file belongs to its runs, metrics to what is measured, the rule to its stage, 16 digits of each."""
    jobs = jobs_of(plan, TINY)

    def having(name: str) -> set[str]:
        return {job for job, of in jobs.items() if name in json.loads(of.sources)}

    assert having("lethe/objectives/npo.py") == {"unlearn/records/npo/0", "unlearn/records/npo/1"}
    assert having("lethe/metrics/rouge.py") >= {name for name in jobs if name.startswith("measure/")}
    assert not [name for name in having("lethe/metrics/rouge.py") if name.startswith(("train/", "forget/"))]
    assert having("lethe/datasets/records.py") == {"prepare/records"}
    for stage in ("prepare", "train", "unlearn", "score", "measure", "compare", "report"):
        assert having(f"rules/{stage}.smk") == {name for name in jobs if name.startswith(f"{stage}/")}
    digests = [digest for job in jobs.values() for digest in json.loads(job.sources).values()]
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)
    # one of a single seed is compared on resamples, with metrics
    assert "lethe/metrics/rouge.py" in json.loads(jobs["compare/topics"].sources)


def test_shadow_models_are_trained_scored_and_read_by_what_is_measured(plan):
    content = changed("records.shadow", {"models": 4, "first_seed": 50})
    before, after = jobs_of(plan, TINY), jobs_of(plan, content)
    new = after.keys() - before.keys()
    seeds = range(50, 54)
    expected = {f"forget/records/{seed}" for seed in seeds}
    expected |= {f"{stage}/records/{SHADOW}/{seed}" for stage in ("train", "score") for seed in seeds}
    assert new == expected
    found = {name for name in before if before[name] != after[name]}
    measured = {name for name in before if name.startswith("measure/records/") and "blind" not in name}
    assert found == measured | {"compare/records", "report/"}
    assert json.loads(after["forget/records/50"].cfg)["forget"] == {"strategy": SHADOW}
    score = json.loads(after[f"score/records/{SHADOW}/50"].cfg)["score"]
    plain = json.loads(after["score/records/npo/0"].cfg)["score"]
    assert score == plain | {"extract": [], "most": None} and plain["extract"]


def test_models_that_are_audited_are_decoded_not_at_all(plan):
    content = changed("records.ulira", {"models": 4, "methods": ["npo"]})
    jobs = jobs_of(plan, content)
    (first, *_) = check_params(content, "params.yaml").studies["records"].ulira.seeds
    assert json.loads(jobs[f"forget/records/{first}"].cfg)["audited"] == 0
    assert "audited" not in json.loads(jobs["forget/records/0"].cfg)
    plain = json.loads(jobs["score/records/npo/0"].cfg)["score"]
    score = json.loads(jobs[f"score/records/npo/{first}"].cfg)["score"]
    assert score == plain | {"extract": [], "most": None, "tasks": []}
    attacked = {name for name, job in jobs.items() if "ulira" in json.loads(job.cfg)}
    assert attacked == {"measure/records/npo/0", "measure/records/retrain/0"}
    assert "methods" not in json.loads(jobs["measure/records/npo/0"].cfg)["ulira"]


def test_data_are_read_whatever_is_remembered_of_them(plan, monkeypatch):
    monkeypatch.setattr("dependencies.TICK", -60.0)
    content = changed("records.forget", {"strategy": "ids", "file": "request"})
    file = plan.Path("request")
    file.write_text("abc")
    digests = plan.Digests(plan.Path("digests.json"))
    digests.of(file)
    digests.known["request"] = (digests.known["request"][0], "0" * 64)
    found = plan.jobs(check_params(content, "params.yaml"), digests)["forget"]["records/0"]
    assert json.loads(found.sources)["request"] == "ba7816bf8f01cfea"  # FIPS 180-4


def test_digests_of_texts_of_a_rule_are_those_of_what_it_does(plan):
    rule = """
rule a:
    input:
        "x",  # a comment within
    # a comment
        # another
    output:
        "y",
    log:
        "logs/y",
    params:
        cfg=1,
    resources:
        mem=1,
    shell:
        "do"


def f():
        return 1
"""
    found = [line.strip() for line in plan.decisive_lines(rule)]
    assert found == [
        "input:", '"x",  # a comment within', "output:", '"y",', "params:", "cfg=1,", "shell:", '"do"'
    ]  # fmt: skip
    assert plan.sha256("abc") == "ba7816bf8f01cfea"  # FIPS 180-4
    assert (
        plan.canonical({"b": [1, None], "a": {"d": 1.5, "c": True}})
        == '{"a": {"c": true, "d": 1.5}, "b": [1, null]}'
    )


def test_a_plan_is_written_where_it_changed(plan):
    made = {"s/0": plan.Job({"study": "s", "seed": "0"}, '{"a": 1}', '{"f": "0"}')}
    jobs = {"train": made}
    assert not plan.is_written(jobs, "train")
    plan.write(jobs)
    file = plan.Path("results/plan/train.json")
    more = {"t/0": plan.Job({"study": "t", "seed": "0"}, "{}", "{}")}
    assert plan.text_of(more | made) == plan.text_of(made | more)
    text = '{\n "s/0": {\n  "cfg": {\n   "a": 1\n  },\n  "sources": {\n   "f": "0"\n  }\n }\n}\n'
    assert file.read_text() == text and plan.is_written(jobs, "train")
    before = file.stat().st_mtime_ns
    plan.write(jobs)
    assert file.stat().st_mtime_ns == before
    file.write_text(text.replace("1", "2"))
    assert not plan.is_written(jobs, "train")
    plan.write(jobs)
    assert file.read_text() == text


def test_the_parameters_of_a_job_are_written_to_the_file_it_reads(plan):
    jobs = {"train": {"s/npo/0": plan.Job({"study": "s", "run": "npo", "seed": "0"}, '{"a": "é"}', "{}")}}
    plan.write_jobs(jobs)
    file = plan.Path(plan.JOB_FILES["train"].format(study="s", run="npo", seed=0))
    assert file.read_text(encoding="utf-8") == '{"a": "é"}' and [*file.parent.iterdir()] == [file]
    before = file.stat().st_mtime_ns
    plan.write_jobs(jobs)
    assert file.stat().st_mtime_ns == before
    file.write_text("{}")
    plan.write_jobs(jobs)
    assert file.read_text(encoding="utf-8") == '{"a": "é"}'


@pytest.mark.parametrize(
    ("config", "files", "given", "expected"),
    [
        ({}, [], {}, "params.yaml"),
        ({"params": "mine/a.yaml"}, [], {"params": "mine/a.yaml"}, "mine/a.yaml"),
        ({"params": "./a.yaml"}, ["other.yaml"], {}, "a.yaml"),
        ({"studies": {}, "report": {}}, ["b.yaml"], {}, "b.yaml"),
        ({"studies": {}}, ["b.yaml", "c.yaml"], {}, "config: studies: not used here"),
        ({"studies": {}}, ["b.yaml"], {"studies": {}}, "config: studies: not used here"),
        ({"params": "a.yaml", "seed": 1}, [], {"params": "a.yaml", "seed": 1}, "config: seed: not used here"),
        (
            {"params": "../a.yaml"},
            [],
            {},
            r"config: params: \.\./a.yaml: needed is a parameter file in this folder",
        ),
        ({"params": 3}, [], {}, "config: params: 3: needed is a parameter file"),
    ],
)
def test_the_parameter_file_of_a_run(plan, config, files, given, expected):
    if expected.startswith("config"):
        with pytest.raises(SystemExit, match=expected):
            plan.chosen(config, files, given)
    else:
        assert plan.chosen(config, files, given) == expected
