"""Exact deletion by SISA from the request to what is left of it: shards that held the texts go, all others stay."""

import json
from pathlib import Path

import pandas as pd
import pytest
import study
import workflow_in_process
import yaml
from served_study import ask, listed, make_in_process

from lethe import request as requests
from lethe.__main__ import main
from lethe.objectives.sisa import Hyper, shard_and_slice, work
from lethe.params.file import load_params
from lethe.system.files import digest
from lethe.training.job import Job

HYPER = {"shards": 2, "slices": 2}
SEED = 1
EPOCHS = study.TRAINING["epochs"]
OWN = Path("results/unlearn/people/sisa/seed1/model")  # of the study, which forgot other texts
SERVES = Path("results/unlearn/people-request-1/sisa/seed1/model")
ORIGINAL = "results/train/people/original/seed1/model/model.safetensors"


def shard(name: str) -> int:
    (found,), _ = shard_and_slice(Hyper(**HYPER), [name], SEED)
    return int(found)


@pytest.fixture
def requested(tmp_path, monkeypatch):
    """A classifier of which SISA has forgotten one text on request, beside checkpoints of all slices; its shard."""
    monkeypatch.chdir(tmp_path)
    cfg = study.parameters(tmp_path, "classification")
    of = {key: cfg[key] for key in ("task", "dataset", "model", "forget", "train")}
    of["forget"]["size"] = 1
    of |= {
        "seeds": [SEED],
        "score": {"extract": []},
        "measure": {"bootstrap": 100},
        "methods": {"sisa": {"hyper": HYPER}},
        "requests": {"method": "sisa", "retrains": 0},
    }
    Path("params.yaml").write_text(yaml.safe_dump({"studies": {"people": of}}))
    workflow_in_process.run_study(load_params("params.yaml"), "people", ["base", "original", "sisa"], SEED)
    sets = pd.read_parquet("data/forget/people/seed1/sets.parquet")
    (forgotten,) = sets["id"][sets["set"] == "forget"]
    name = next(i for i in sets["id"][sets["set"] == "retain"] if shard(i) == shard(forgotten))
    monkeypatch.setattr(requests, "make", make_in_process)
    monkeypatch.setattr(Job, "forget_checkpoints", lambda _: None)
    assert main(["request", str(ask(tmp_path, "DSR-1", {"id": name}))]) == 0
    return shard(name)


def test_what_held_the_text_is_deleted_and_the_model_in_use_stays_whole(requested, capsys):
    slices = [f"beforehand-shard{s}-slice{p}" for s in range(2) for p in range(2)]
    slices = {f"checkpoints/{SERVES.parent}/state-parts/{name}.safetensors" for name in slices}
    held, other = (f"shard{s}/model.safetensors" for s in (requested, 1 - requested))
    assert all(Path(name).exists() for name in slices)
    sets = pd.read_parquet("data/forget/people-request-1/seed1/sets.parquet").set_index("id")["set"]
    pool = sets[sets.isin(["forget", "retain"])]
    passed, _ = work(Hyper(**HYPER), [*pool.index], [*pool.index[pool == "forget"]], SEED, EPOCHS)
    assert json.loads((SERVES.parent / "cost.json").read_text())["examples"] == passed
    assert digest(OWN / other) == digest(SERVES / other), "no text that was deleted was in it"
    before = digest(SERVES)
    capsys.readouterr()
    assert main(["purge", "--request", "data/requests/DSR-1.jsonl", "--yes"]) == 1  # for the source is left
    first, last = (listed(part) for part in capsys.readouterr().out.split("what remains:"))
    assert {name for name in first if first[name] == "lethe" and name.endswith(".safetensors")} >= {
        *slices, ORIGINAL, f"{OWN}/{held}",
    }  # fmt: skip
    assert not [name for name in first if name.startswith(str(SERVES)) or name == f"{OWN}/{other}"]
    assert {*last.values()} == {"kept", "not lethe"}
    assert not [*Path("checkpoints").rglob("*.safetensors")] and not OWN.exists()
    assert digest(SERVES) == before
    assert main(["verify", "results/requests/people/DSR-1/certificate.json"]) == 0
    assert "yes, 0 things differ" in capsys.readouterr().out
