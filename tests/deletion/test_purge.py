"""What is left of a text after a request: found wherever it lies, deleted where lethe put it, named elsewhere."""

import gzip
import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from served_study import ask, bits, subject

from lethe.__main__ import main
from lethe.deletion import places
from lethe.params.file import load_params

CERTIFICATE = "results/requests/people/DSR-1/certificate.json"
REQUEST = ["purge", "--request", "data/requests/DSR-1.jsonl"]
OURS = [
    "data/prepared/people/examples.parquet",
    "data/prepared/people-request-1/examples.parquet",
    "data/forget/people/seed1/sets.parquet",
    "results/score/people/original/seed1/scores.npz",
    "results/measure/people/original/seed1/metrics.parquet",
    "results/train/people/original/seed1/model/model.safetensors",
    "checkpoints/unlearn/state.safetensors",
    ".snakemake/orphans/train/model/model.safetensors",
    ".snakemake/orphans/examples.json.gz",
    ".dvc/cache/files/md5/ab/cdef",
    ".dvc/cache/files/md5/ab/weights",
    ".dvc/tmp/exps/exp1/data/examples.csv",
    "tuning/people/data/prepared/examples.parquet",
    "logs/score/people.log",
    "results/report/report.html",
]
THEIRS = ["texts.jsonl", "data/raw/more.jsonl", "notes.txt", "shipped/detector.npz", "shipped/adapter.bin"]
KEPT = [
    "results/unlearn/people-request-1/npo/seed1/model/model.safetensors",
    "results/train/people-request-1/retrain/seed1/model/model.safetensors",
    "results/train/people/base/seed1/model/model.safetensors",
    "results/score/people-request-1/npo/seed1/scores.npz",
    "data/forget/people-request-1/seed1/sets.parquet",
    CERTIFICATE,
]


@pytest.fixture
def left(here, tmp_path):
    """Copies of a forgotten text wherever runs, tools and people leave some; the text."""
    name, _ = load_params("params.yaml").studies["people"].requests.served[0].records
    rows = {row["id"]: row["text"] for row in map(json.loads, Path("texts.jsonl").read_text().splitlines())}
    text, other = rows[name], rows["r0"]
    weights = {"a": np.ones(3, np.float32)}
    for file in OURS + THEIRS:
        path = Path(file)
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        match path.suffix or path.name:
            case ".safetensors" | "weights":
                save_file(weights, path)
            case ".gz":
                path.write_bytes(gzip.compress(json.dumps({"text": text}).encode()))
            case ".npz":
                np.savez(path, features=np.array([other, text]))
            case ".parquet" | "cdef":
                pd.DataFrame({"text": [other, text]}).to_parquet(path)
            case _:
                path.write_text(f"before {text.upper()} after\n{other}")
    Path("logs/clean.log").write_text(other)
    Path(".dvc/config").write_text(f"['remote \"store\"']\n    url = {tmp_path}/store\n")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/object").write_text(text)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "notes.txt"], check=True)
    return text


def listed(output: str) -> dict[str, str]:
    """path -> whose it is."""
    lines = [
        line.split(": ")
        for line in output.splitlines()
        if line.startswith(("lethe: ", "not lethe: ", "kept: "))
    ]
    return {line[1]: line[0] for line in lines}


def test_every_place_is_listed_and_nothing_is_deleted_without_yes(left, here, tmp_path, capsys):
    before = bits(here)
    assert main(REQUEST) == 1
    output = capsys.readouterr().out
    found = listed(output)
    assert {path: found.get(path) for path in OURS} == dict.fromkeys(OURS, "lethe")
    assert {path: found.get(path) for path in THEIRS} == dict.fromkeys(THEIRS, "not lethe")
    assert found[f"{tmp_path}/store/object"] == "not lethe"
    assert any(path.startswith("git ") for path in found)
    assert "history of" in output and "--yes" in output
    assert "seed1/model/model.safetensors: weights: version 0 of the model, older than the request" in output
    assert not {*KEPT} & {path for path, whose in found.items() if whose == "lethe"}
    assert "logs/clean.log" not in found
    remembered = {"remains.json", "audit.html", "index.html"}  # what was found, for the audit
    now = {name: content for name, content in bits(here).items() if Path(name).name not in remembered}
    assert now == {name: content for name, content in before.items() if Path(name).name not in remembered}
    assert not [word for word in left.split() if word in output.lower()]


def test_what_is_lethes_is_deleted_and_the_rest_is_named(left, here, tmp_path, capsys):
    assert main([*REQUEST, "--yes"]) == 1
    remains = listed(capsys.readouterr().out.split("what remains:")[1])
    assert not [path for path in OURS if Path(path).exists()]
    assert [path for path in KEPT + THEIRS if not Path(path).exists()] == []
    assert "lethe" not in remains.values()
    raw = [f for f in here.rglob("*") if f.is_file() and ".git/" not in str(f)]
    holds = [f for f in raw if left.split()[4].encode() in f.read_bytes().lower()]
    assert {str(f.relative_to(here)) for f in holds} == {*THEIRS} - {"shipped/detector.npz"}  # UTF-32
    assert {*THEIRS, f"{tmp_path}/store/object"} <= {*remains}


def test_after_purging_a_certificate_still_verifies_what_is_left(left, capsys):
    main([*REQUEST, "--yes"])
    capsys.readouterr()
    assert main(["verify", CERTIFICATE]) == 0
    output = capsys.readouterr().out
    assert "purged: data/prepared/people-request-1" in output
    assert "purged: results/train/people/original/seed1/model" in output
    Path("results/unlearn/people-request-1/npo/seed1/model/config.json").write_text("{}")
    assert main(["verify", CERTIFICATE]) == 1


def test_purging_again_finds_nothing_of_lethes(left, capsys):
    main([*REQUEST, "--yes"])
    capsys.readouterr()
    main([*REQUEST, "--yes"])
    assert [path for path, whose in listed(capsys.readouterr().out).items() if whose == "lethe"] == []


def test_what_is_too_large_to_be_read_is_named_and_weights_of_any_size_are_found(left, capsys, monkeypatch):
    monkeypatch.setattr(places, "LARGEST", 100)
    assert main([*REQUEST, "--yes"]) == 1
    found = listed(capsys.readouterr().out)
    assert found["results/train/people/original/seed1/model/model.safetensors"] == "lethe"
    assert found["data/prepared/people/examples.parquet"] == "not lethe"
    assert Path("data/prepared/people/examples.parquet").exists()


def test_nothing_is_deleted_for_a_request_that_is_not_served(left, here, capsys):
    before = bits(here)
    file = ask(here, "DSR-2", subject(here, 1))
    assert main(["purge", "--request", str(file), "--yes"]) == 2
    assert "is not served yet" in capsys.readouterr().err
    nobody = ask(here, "DSR-3", {"id": "nosuch"})
    assert main(["purge", "--request", str(nobody), "--yes"]) == 0
    assert "nothing to look for" in capsys.readouterr().out
    file.unlink()
    nobody.unlink()
    assert bits(here) == before
