"""Requests where the model and its sets are given, and its texts are answers to questions: nothing is trained but
what serves them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hub_folder import CONFIGS, chat_model, hub_folder
from served_study import ask, make_jobs, make_once
from test_given_study import DATASET, content
from test_hub import COMMITS, cache, cached

from lethe import request as requests
from lethe.__main__ import main
from lethe.deletion.certificate import ModelFiles, read
from lethe.params.addresses import folder_of
from lethe.params.file import check_params, load_params
from lethe.request import Order, serve
from lethe.system.errors import InputError
from lethe.system.files import digest

SERVES = {"method": "npo", "thresholds": {"memorization_accuracy_retain": {"least": 0.0}}}
BEFORE = ("prepare", "forget")  # without which no request can be resolved


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data, a given original, and two requests that were served."""
    folder = tmp_path_factory.mktemp("given")
    hub_folder(folder / "data")
    chat_model(folder / "models/target")
    references = {"original": "models/target"}
    cfg = content(references, methods=("npo",), seeds=[0], requests=SERVES)
    (folder / "params.yaml").write_text(yaml.safe_dump(cfg))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(requests, "make", make_once)
        make_jobs("tofu", BEFORE)
        answer, question = CONFIGS["retain90"][0]["answer"], CONFIGS["retain90"][7]["question"]
        assert serve(Order(ask(folder, "DSR-1", {"text": answer}, {"text": question.upper()}))) == 0
        assert serve(Order(ask(folder, "DSR-2", {"id": "forget10/3"}))) == 0
    return folder


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def test_what_was_said_is_found_by_its_answer_or_its_question(here):
    first = read(Path("results/requests/tofu/DSR-1/certificate.json"))
    by_answer, by_question = first.asked.answers
    assert by_answer.matches["exact"] == ["retain90/0"]
    assert by_question.matches["normalised"] == ["retain90/7"]
    assert {"retain90/0", "retain90/7"} <= {*first.asked.records}
    sets = pd.read_parquet(Path(folder_of("forget", "tofu-request-1", seed=0), "sets.parquet"))
    assert {*sets["id"][sets["set"] == "forget"]} == {*first.asked.records}


def test_a_chain_goes_on_from_the_given_model(here, capsys):
    first, second = (read(Path(f"results/requests/tofu/DSR-{k}/certificate.json")) for k in (1, 2))
    assert first.before.path == "models/target"
    assert second.before == first.after
    assert not Path("results/train").exists()
    for certificate in (first, second):
        assert {one.retrain for one in certificate.numbers} == {None}
        assert all(one.original is not None for one in certificate.numbers)
    assert second.files["models/target"] == first.before.digest
    assert main(["verify", "results/requests/tofu/DSR-2/certificate.json"]) == 0
    assert "scored again: original, npo: the same to the bit" in capsys.readouterr().out
    assert main(["versions"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "tofu 0: models/target, given"


def test_what_still_holds_the_texts_is_listed(here, capsys):
    assert main(["purge", "--request", "data/requests/DSR-1.jsonl"]) == 1
    found = capsys.readouterr().out
    assert "not lethe: data/retain90.json: text" in found
    assert "not lethe: models/target/model.safetensors: weights: version 0 of the model" in found
    assert "lethe: data/prepared/tofu/examples.parquet: text" in found


def test_a_model_of_the_hub_is_certified_by_its_commit(made, tmp_path, monkeypatch, capsys):
    """The branch may move on; where the client keeps the commit no more, one line says so."""
    hub = cache(tmp_path, monkeypatch)
    kept = cached(hub, "owner/chat", made / "models/target", "v1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requests, "make", make_once)
    for name in ("data", ".snakemake"):
        shutil.copytree(made / name, name, ignore=shutil.ignore_patterns("*request*"))
    cfg = content({"original": "owner/chat@v1"}, methods=("npo",), seeds=[0], requests=SERVES)
    Path("params.yaml").write_text(yaml.safe_dump(cfg))
    assert serve(Order(ask(tmp_path, "DSR-1", {"id": "forget10/3"}))) == 0
    file = "results/requests/tofu/DSR-1/certificate.json"
    assert read(Path(file)).before == ModelFiles(path=f"owner/chat@{COMMITS['v1']}", digest=digest(kept))
    (kept.parents[1] / "refs/v1").write_text(COMMITS["main"])
    capsys.readouterr()
    assert main(["verify", file]) == 0
    assert "scored again: original, npo: the same to the bit" in capsys.readouterr().out
    shutil.rmtree(hub)
    assert main(["verify", file]) == 1
    assert capsys.readouterr().out.splitlines()[0] == f"owner/chat@{COMMITS['v1']}: is not here"
    assert main(["request", str(ask(tmp_path, "DSR-2", {"id": "forget10/2"}))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lethe request: model.source: owner/chat: cannot be loaded (")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"requests": {"method": "retrain"}}, "requests.method: retrain; allowed are npo"),
        (
            {"requests": SERVES, "measure": {"reference": "retrain"}},
            "references: no version has a retrained model; measure.reference: retrain needs one",
        ),
        (
            {
                "requests": SERVES,
                "dataset": DATASET | {"splits": {"forget": ["forget10", "forget20"], "retain": "retain80"}},
            },
            "requests: serve one model, and each set of a list is a study",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(here, more, said):
    references = {"original": "models/target", "retrain": ["models/target"]}
    cfg = content({"original": "models/target"} if "dataset" in more else references, methods=("npo",))
    cfg["studies"]["tofu"] |= more
    with pytest.raises(InputError, match=said):
        check_params(cfg, "params.yaml")


def test_given_retrained_models_stand_beside_the_study_and_no_version(here):
    references = {"original": "models/target", "retrain": ["models/target"]}
    params = check_params(content(references, methods=("npo",), seeds=[0], requests=SERVES), "params.yaml")
    assert params.studies["tofu"].retrained == ["retrain"]
    assert load_params("params.yaml").studies["tofu-request-2"].retrained == []
