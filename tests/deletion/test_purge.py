"""What is left of a text after a request: found wherever it lies, deleted where lethe put it, named elsewhere."""

import gzip
import json
import os
import shutil
import signal
import subprocess
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import save_file
from served_study import ask, bits, listed, make_in_process, subject

from lethe import purge as purging
from lethe import request as requests
from lethe.__main__ import main
from lethe.deletion import places
from lethe.params.file import load_params
from lethe.system.files import digest, remove

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


def test_every_place_is_listed_and_nothing_is_deleted_without_yes(left, here, tmp_path, capsys, monkeypatch):
    """On a terminal neither, and nobody is asked, so that a script never waits."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
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


def test_purging_again_finds_nothing_of_lethes_and_a_certificate_still_verifies_what_is_left(left, capsys):
    for _ in range(2):
        capsys.readouterr()
        main([*REQUEST, "--yes"])
    assert [path for path, whose in listed(capsys.readouterr().out).items() if whose == "lethe"] == []
    assert main(["verify", CERTIFICATE]) == 0
    output = capsys.readouterr().out
    assert "purged: data/prepared/people-request-1" in output
    assert "purged: results/train/people/original/seed1/model" in output
    Path("results/unlearn/people-request-1/npo/seed1/model/config.json").write_text("{}")
    assert main(["verify", CERTIFICATE]) == 1


@pytest.mark.parametrize("after", [1, 9])
def test_a_purge_that_is_killed_goes_on_though_the_source_is_without_the_text(left, monkeypatch, after):
    rows = Path("texts.jsonl").read_text().splitlines(keepends=True)
    Path("texts.jsonl").write_text("".join(row for row in rows if json.loads(row)["text"] != left))
    calls = iter(range(after))

    def remove_some(path):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(purging, "discard", remove_some)
        with pytest.raises(KeyboardInterrupt):
            main([*REQUEST, "--yes"])
    main([*REQUEST, "--yes"])
    assert [path for path in OURS if Path(path).exists()] == []


def ended_at(unlinked: int) -> int:
    """Status of a purge that SIGTERM ends at the deletion of that file; 1 if it goes to its end."""
    child = os.fork()
    if not child:
        status, left, unlink = 3, count(unlinked - 1, -1), os.unlink

        def unlink_some(*given, **more):
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            unlink(*given, **more)

        os.unlink = unlink_some
        try:
            status = main([*REQUEST, "--yes"])
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_purge_that_is_terminated_anywhere_leaves_nothing_half_done(left, capsys):
    """Also within the folder of a model; what a certificate names is there as it was, or known to be gone."""
    for unlinked in count(4, 5):
        if (ended := ended_at(unlinked)) == 1:
            break
        assert ended == -signal.SIGTERM
        capsys.readouterr()
        assert main(["verify", CERTIFICATE, "--trust-scores"]) == 0
    assert unlinked > 10
    assert [path for path in OURS if Path(path).exists()] == []
    for name in json.loads(Path(CERTIFICATE).with_name("purged.json").read_text())["purged"]:
        assert not Path(name).exists()
    assert [file for top in ("data", "results") for file in Path(top).rglob(".*.old")] == []


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


# ---------------------------------------------------------------- models composed of several

PAIR = {"source": "tiny-gpt-neo", "options": {"hidden_size": 8, "num_layers": 2, "num_heads": 2}}
COMPOSED = {  # method that serves -> its settings, and what of the version it makes holds the texts
    "o3": ({"hyper": {"rank": 2, "least": 2, "most": 64}}, ["base/model", "adapters", "gates"]),
    "npo": ({"training": {"offset": {"model": PAIR}}}, ["large/model", "start/model", "trained/model"]),
}


@pytest.mark.parametrize("method", COMPOSED)
def test_parts_of_the_model_in_use_are_named_and_stay(made, tmp_path, monkeypatch, capsys, method):
    """The original, features of the texts and the pair of an offset are in it; without them there would be no model."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(requests, "make", make_in_process)
    content, (settings, parts) = yaml.safe_load(Path("params.yaml").read_text()), COMPOSED[method]
    study = content["studies"]["people"]
    training = study["methods"].pop("npo")["training"] | settings.get("training", {})
    study["methods"][method] = settings | {"training": training}
    study["requests"] |= {"method": method, "retrains": 0}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    assert main(["request", str(ask(Path(), "DSR-1", subject(Path(), 0)))]) == 0
    model = Path(f"results/unlearn/people-request-1/{method}/seed1/model")
    before = digest(model)
    capsys.readouterr()
    assert main([*REQUEST, "--yes"]) == 1
    first, last = (listed(part) for part in capsys.readouterr().out.split("what remains:"))
    for found in (first, last):
        assert {path for path, whose in found.items() if whose == "in use"} == {
            f"{model}/{p}.safetensors" for p in parts
        }
    assert first["results/train/people/original/seed1/model/model.safetensors"] == "lethe"
    assert "lethe" not in last.values() and digest(model) == before
    assert not Path("results/train/people/original/seed1/model").exists()
    assert main(["verify", CERTIFICATE]) == 0


def test_shards_are_clean_where_no_text_was_in_them_and_copies_of_the_original_never(tmp_path, monkeypatch):
    """SISA's are trained again without the texts; a method that changes no weights, as in_context, makes a copy."""
    monkeypatch.chdir(tmp_path)
    Path("data/forget/s/seed1").mkdir(parents=True)
    sets = pd.DataFrame({"id": ["r1", "r2"], "set": ["forget", "retain"]})
    sets.to_parquet("data/forget/s/seed1/sets.parquet")

    def weights(file, value):
        path = Path("results", file)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"a": np.full(3, value, np.float32)}, path)
        return digest(path)

    original = weights("train/s/original/seed1/model/model.safetensors", 1)
    shards = [weights(f"unlearn/s/sisa/seed1/model/shard{k}/model.safetensors", 2 + k) for k in range(2)]
    Path("results/unlearn/s/sisa/seed1/model/composed.json").write_text('{"rule": "mean"}')
    weights("unlearn/s/in_context/seed1/model/model.safetensors", 1)
    weights("unlearn/s/uld/seed1/model/assistant/model.safetensors", 5)
    Path("results/unlearn/s/uld/seed1/model/composed.json").write_text('{"rule": "difference"}')
    assert {*places.clean_weights(frozenset({"r1"}))} == {*shards}
    assert original not in {*places.clean_weights(frozenset({"r1"}))}
    assert {*places.clean_weights(frozenset({"r2"}))} == set()
