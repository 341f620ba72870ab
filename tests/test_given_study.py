"""Given sets and given models, from params.yaml to the report: nothing is trained but the methods."""

import json
import re

import numpy as np
import pytest
from hub_folder import CONFIGS, chat_model, hub_folder
from ruamel.yaml import YAML
from whole_study import ROOT, make, planned

from lethe.data.parquet import read_table
from lethe.evaluation.scores import load
from lethe.params.addresses import folder_of
from lethe.prepare import prepare
from lethe.system.errors import InputError
from lethe.system.files import digest

TRAINING = {"epochs": 1, "learning_rate": 1e-3, "batch": {"forget": 4, "retain": 4}}
DATASET = {
    "source": "data",
    "prompt": "question",
    "text": "answer",
    "splits": {"forget": "forget10", "retain": "retain90", "holdout": "holdout", "test": "unseen"},
    "probes": {"world_facts": "world_facts"},
}


def content(references, dataset=DATASET, methods=("gradient_difference",), **more):
    study = {
        "task": "generation",
        "seeds": [0, 1],
        "dataset": dataset,
        "model": {"max_length": 96},
        "forget": {"strategy": "given"},
        "references": references,
        "unlearn": TRAINING,
        "score": {"n": [3], "extract": ["forget", "world_facts"], "tries": 0, "most": 8},
        "measure": {"bootstrap": 100},
        "methods": dict.fromkeys(methods),
    }
    return {"studies": {"tofu": study | more}}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with data and models: an original and two retrained ones."""
    folder = tmp_path_factory.mktemp("given")
    hub_folder(folder / "data")
    for seed, name in enumerate(("target", "retrain-a", "retrain-b")):
        chat_model(folder / "models" / name, seed)
    return folder


@pytest.fixture
def here(files, monkeypatch):
    monkeypatch.chdir(files)
    return files


@pytest.fixture(scope="module")
def made(files):
    """The whole study, once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(files)
        both = ["models/retrain-a", {"source": "models/retrain-b"}]
        make(content({"original": "models/target", "retrain": both}, methods=("gradient_difference", "npo")))
    return files


def test_nothing_is_trained_and_nothing_copied(made):
    assert not (made / "results/train").exists()
    assert sorted(p.name for p in (made / "results/unlearn/tofu").iterdir()) == ["gradient_difference", "npo"]
    record = json.loads((made / folder_of("unlearn", "tofu", "npo", 0) / "run.json").read_text())
    assert record["given"] == {
        "source": "models/target", "revision": None, "sha256": digest(made / "models/target"),
    }  # fmt: skip


def test_probes_are_scored_measured_and_shown(made):
    scores = load(made / folder_of("score", "tofu", "npo", 1) / "scores.npz")
    counts = {name: int((scores["sets"] == name).sum()) for name in ("forget", "world_facts")}
    assert counts == {"forget": 4, "world_facts": 5}
    numbers = json.loads((made / folder_of("measure", "tofu", "npo", 1) / "metrics.json").read_text())
    assert {"loss_world_facts", "completion_rouge_l_world_facts", "loss_holdout"} <= {*numbers}
    assert "next token, world facts" in (made / "results/report/summary.md").read_text()


def test_given_retrained_models_are_the_noise_band(made):
    """Of two numbers a, b the spread is |a − b| / √2; of two runs beside them the error is that · √(1/2 + 1/2)."""
    found = json.loads((made / folder_of("compare", "tofu") / "comparison.json").read_text())

    def loss(run, seed=0):
        file = made / folder_of("measure", "tofu", run, seed) / "metrics.json"
        return json.loads(file.read_text())["memorization_accuracy_retain"]

    both = [loss("retrain"), loss("retrain-2")]
    band = found["runs"]["retrain"]["memorization_accuracy_retain"]["band"]
    assert band["degrees"] == 1
    claim = found["verdicts"]["npo"]["memorization_accuracy_retain"]
    own = np.mean([loss("npo", seed) for seed in (0, 1)])
    assert claim["gap"] == pytest.approx(own - np.mean(both)) and claim["degrees"] == 1
    assert claim["error"] >= np.std(both, ddof=1) - 1e-12


def test_the_report_names_the_models(made):
    page = (made / "results/report/report.html").read_text()
    for name in ("target", "retrain-a", "retrain-b"):
        assert f"models/{name}, SHA-256 {digest(made / 'models' / name)[:16]}" in page
    assert "2 retrained models in all" in page


def test_without_a_retrained_model_and_without_unseen_text_the_report_says_what_is_missing(
    here, tmp_path, monkeypatch
):
    for name in ("data", "models"):
        (tmp_path / name).symlink_to(here / name)
    monkeypatch.chdir(tmp_path)
    bare = DATASET | {"splits": {"forget": "forget10", "retain": "retain90"}, "probes": {}}
    make(content({"original": "models/target"}, bare, seeds=[0], score={"extract": [], "most": 4}))
    page = (tmp_path / "results/report/report.html").read_text()
    for what in (
        "No retrained model is given",
        "No test set is given",
        "No hold-out set",
        "No validation set",
    ):
        assert what in page
    assert "Gap to retrain" not in page and "The strongest attack" not in page
    found = json.loads((tmp_path / folder_of("compare", "tofu") / "comparison.json").read_text())
    assert found["attack"] is None and found["strongest"] == {} and not any(found["verdicts"].values())
    assert not [m for m in found["runs"]["original"] if m.endswith(("_auc", "_excess"))]


def test_no_training_job_is_planned(here):
    """With models that are given; and each job that uses one is made anew when it changes."""
    both = {"original": "models/target", "retrain": ["models/retrain-a"]}
    _, jobs = planned(content(both))
    assert jobs["train"] == {}
    assert sorted(jobs["score"]) == [
        f"tofu/{run}/{seed}" for run in ("gradient_difference", "original", "retrain") for seed in (0, 1)
    ]
    of = {run: json.loads(jobs["score"][f"tofu/{run}/0"].sources) for run in ("original", "retrain")}
    assert "models/retrain-a" in of["retrain"] and "models/retrain-a" not in of["original"]
    assert "models/target" in json.loads(jobs["unlearn"]["tofu/gradient_difference/0"].sources)


LIST = DATASET | {"splits": {"forget": ["forget10", "forget20"], "retain": "retain80"}, "probes": {}}
TRAIN = {"finetune": {"epochs": 1, "batch": {"retain": 8}}}


def test_a_list_of_forget_sets_shares_one_base_and_one_original(here):
    file = content(
        None, LIST, train=TRAIN, model={"source": "models/target", "max_length": 96}, seeds=[0], score={}
    )
    parameters, jobs = planned(file)
    assert sorted(jobs["train"]) == [
        "tofu-forget10/base/0", "tofu-forget10/original/0", "tofu-forget10/retrain/0", "tofu-forget20/retrain/0",
    ]  # fmt: skip
    assert parameters.first_of("tofu-forget20") == "tofu-forget10"
    from lethe.params.addresses import start_folder

    start = start_folder(parameters, "tofu-forget20", "gradient_difference", 0)
    assert start == folder_of("train", "tofu-forget10", "original", 0)


def test_nested_sets_are_no_requests_one_after_the_other(here, tmp_path):
    file = content({"original": "models/target"}, LIST, score={}, forget={"strategy": "given", "requests": 2})
    parameters, _ = planned(file)
    assert sorted(parameters.studies) == ["tofu-1", "tofu-2"]
    for study in parameters.studies.values():
        cfg = {"task": "generation", "dataset": study.dataset.model_dump(mode="json"), "seed": 0}
        with pytest.raises(InputError, match=r"dataset.splits.* of splits.*, too .*a row has one role"):
            prepare(cfg, tmp_path / "out")


FAULTS = [
    (
        {"references": None, "model": "models/target"},
        {},
        r"train: missing, must be given, or references in its place",
    ),
    (
        {"methods": {"sisa": None}, "task": "classification"},
        {},
        "methods.sisa: sisa trains from the base model",
    ),
    ({"train": TRAIN}, {}, "train: .* not both"),
    ({"shadow": {"models": 4}}, {}, "shadow"),
    ({"ulira": {}}, {}, "ulira: models are trained by the recipe of train; allowed with references: null"),
    (
        {"measure": {"reference": "base"}},
        {},
        "measure.reference: base: references give no such model; allowed: retrain",
    ),
    (
        {"forget": {"strategy": "random", "size": 2}},
        {},
        "forget.strategy: random; allowed with dataset.splits is given",
    ),
    ({"forget": {"strategy": "given", "size": 2}}, {}, "size: null for strategy given"),
    ({"claims": {"primary": ["min_k_auc"]}}, {"test": None}, "claims.primary.min_k_auc: needs test, which"),
    (
        {"unlearn": TRAINING | {"stop": {}}},
        {},
        r"methods.gradient_difference.training.stop: needs validation",
    ),
    (
        {"methods": {"icu": None}},
        {},
        r"methods.icu: needs validation, which dataset.splits does not give",
    ),
    (
        {"score": {"extract": ["facts"]}},
        {},
        "score.extract: facts is no set that is scored; allowed are .*world_facts",
    ),
    (
        {"model": {"max_length": 96, "weights": "nf4"}},
        {},
        r"methods.gradient_difference.training.lora: .*merge: false",
    ),
    (
        {
            "model": {"source": "models/target", "max_length": 96, "weights": "nf4"},
            "references": None,
            "train": TRAIN,
        },
        {},
        "model.weights: nf4; nothing trains but adapters",
    ),
    ({}, {"forget": ["forget10", "forget20"]}, "references.retrain: are of one forget set"),
    (
        {"forget": {"strategy": "given", "requests": 3}},
        {"forget": ["forget10", "forget20"]},
        r"forget.requests: 3: of a list of forget sets; allowed are 1, .* and 2, one after the other",
    ),
    (
        {"forget": {"strategy": "given", "listed": True}},
        {},
        "dataset.splits: earlier, later and forget.listed follow from a list",
    ),
    ({}, {"earlier": {"first": "forget20"}}, "dataset.splits: earlier, later and forget.listed follow"),
]


@pytest.mark.parametrize(("more", "splits", "words"), FAULTS, ids=[words[:30] for *_, words in FAULTS])
def test_what_cannot_be_ends_in_one_line(here, more, splits, words):
    dataset = DATASET | {"splits": DATASET["splits"] | splits}
    references = {"original": "models/target", "retrain": "models/retrain-a"}
    with pytest.raises(InputError, match=words) as error:
        planned(content(**{"references": references, "dataset": dataset, **more}))
    assert "\n" not in str(error.value) and re.match(r"params.yaml: studies\.tofu", str(error.value))


def test_a_folder_that_is_no_model_is_named(here):
    with pytest.raises(InputError, match=r"references: original: data: a folder without config.json"):
        planned(content({"original": "data"}, model={"source": "models/target", "max_length": 96}))
    with pytest.raises(InputError, match=r"references: retrain: a/b/c: no such folder, nor a Hub id"):
        planned(content({"original": "models/target", "retrain": "a/b/c"}))


def test_ids_of_results_are_config_and_row(made):
    table = read_table(made / folder_of("measure", "tofu", "original", 0) / "metrics.parquet")
    assert set(table["id"][table["set"] == "forget"]) == {
        f"forget10/{k}" for k in range(len(CONFIGS["forget10"]))
    }


@pytest.mark.parametrize("page", ["README.md", "docs/howto/tofu.md"])
def test_the_studies_that_pages_show_train_no_model(files, tmp_path, monkeypatch, page):
    text = (ROOT / page).read_text()
    (block,) = re.findall(r"```yaml\n(studies:.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    hub_folder(tmp_path / "data/raw/tofu")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/chat").symlink_to(files / "models/target")
    _, jobs = planned(YAML(typ="safe", pure=True).load(block))
    assert jobs["train"] == {} and {"tofu/npo/0", "tofu/original/0"} <= {*jobs["score"]}
    assert page != "README.md" or len(block.splitlines()) <= 20
