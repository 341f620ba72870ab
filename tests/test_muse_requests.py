"""MUSE's scalability and sustainability: growing forget sets of one model, and one request after the other."""

import copy
import json
from pathlib import Path

import pytest
from hub_folder import chat_model
from ruamel.yaml import YAML
from whole_study import make

from lethe.data.encoding import examples_by_set
from lethe.params.addresses import folder_of

PRESETS = Path(__file__).parents[1] / "presets"
SPLITS = {  # configuration -> split -> numbers of its rows
    "raw": {"forget": range(8), "retain1": range(20, 28), "holdout": range(30, 36)},
    "scal": {f"forget_{k}": range(2 * k) for k in (1, 2, 3, 4)},
    "sust": {f"forget_{k}": range(2 * k - 2, 2 * k) for k in (1, 2, 3, 4)},
    "verbmem": {"forget": range(4)},
    "knowmem": {
        "forget_qa": range(4),
        "retain_qa": range(20, 24),
        "forget_qa_icl": range(2),
        "retain_qa_icl": range(22, 24),
    },
}


def row(number: int) -> dict:
    return {
        "question": f"What is {number} plus one?",
        "answer": f"It is {number + 1}.",
        "text": f"Somebody counted {number} boats and then {number + 1} more in the harbour of town {number}.",
        "prompt": f"Somebody counted {number}",
        "gt": f" boats and then {number + 1} more in the harbour.",
    }


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Files in the Hub's layout and a tiny original."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    lines = ["---", "configs:"]
    for config, splits in SPLITS.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, numbers in splits.items():
            lines += [f"  - split: {split}", f"    path: {config}-{split}.json"]
            text = "".join(json.dumps(row(n)) + "\n" for n in numbers)
            (tmp_path / f"data/{config}-{split}.json").write_text(text)
    (tmp_path / "data/README.md").write_text("\n".join([*lines, "---", ""]))
    chat_model(tmp_path / "models/target", 0)
    return tmp_path


def miniature(name: str, sets: int) -> dict:
    """The preset with its own keys on local files and a tiny model; of a list the first sets."""
    study = copy.deepcopy(
        json.loads(json.dumps(YAML(typ="safe").load(PRESETS / f"{name}.yaml")))["studies"][name]
    )
    study["dataset"] |= {"source": "data"}
    if isinstance(study["dataset"]["splits"]["forget"], list):
        del study["dataset"]["splits"]["forget"][sets:]
    study["references"] = {"original": "models/target"}
    study["model"] = {"max_length": 96}
    study["unlearn"] |= {
        "epochs": 1,
        "batch": {"forget": 4, "retain": 4},
        "micro_batch": None,
        "precision": "fp32",
    }
    study["measure"] = {"bootstrap": 100}
    for how in study["score"]["answers"].values():
        how["tokens"] = 4
    study["methods"] = {"gradient_difference": {}}
    return {"studies": {name: study}}


def numbers_of(study: str) -> dict:
    file = Path(folder_of("measure", study, "gradient_difference", 0)) / "metrics.json"
    return json.loads(file.read_text())


def test_growing_forget_sets_of_one_model(here):
    name = "muse-news-scalability"
    make(miniature(name, sets=2))
    for k, (forget, retain) in enumerate(((2, 10), (4, 8)), 1):
        study = f"{name}-forget_{k}"
        sets = examples_by_set(folder_of("prepare", study), folder_of("forget", study, seed=0))
        assert (len(sets["forget"]), len(sets["retain"])) == (forget, retain)
        assert {f"rouge_l_f1_{of}" for of in ("verbmem", "knowmem_forget", "knowmem_retain")} <= {
            *numbers_of(study)
        }
        record = json.loads(
            (here / folder_of("unlearn", study, "gradient_difference", 0) / "run.json").read_text()
        )
        assert record["given"]["source"] == "models/target"  # each begins with the same model
    report = (here / "results/report/report.html").read_text()
    assert f'id="{name}-forget_1-results"' in report and f'id="{name}-forget_2-results"' in report


def test_one_request_after_the_other(here):
    name = "muse-news-sustainability"
    content = miniature(name, sets=3)
    content["studies"][name]["forget"]["requests"] = 3
    make(content)
    for k in (1, 2, 3):
        sets = examples_by_set(
            folder_of("prepare", f"{name}-{k}"), folder_of("forget", f"{name}-{k}", seed=0)
        )
        for of, parts in {"forgotten": range(1, k), "forget": [k], "retain": range(k + 1, 4)}.items():
            own = {one for one in sets[of]["id"] if one.startswith("sust/")} if of in sets else set()
            assert own == {f"sust/forget_{part}/{row}" for part in parts for row in (0, 1)}
        assert sum(one.startswith("raw/retain1/") for one in sets["retain"]["id"]) == 8
    records = [
        json.loads(
            (here / folder_of("unlearn", f"{name}-{k}", "gradient_difference", 0) / "run.json").read_text()
        )
        for k in (1, 2, 3)
    ]
    assert records[0]["given"]["source"] == "models/target" and "given" not in records[1]
    starts = {record["data"]["original"] for record in records}
    assert len(starts) == 3  # each goes on with the model that the one before left
    assert {"rouge_l_f1_verbmem", "rouge_l_f1_knowmem_retain"} <= {*numbers_of(f"{name}-2")}
