"""A request from its file to the certificate, on a small study whose jobs run in this process."""

import json
import shutil
import subprocess
import threading
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import study
import yaml
from served_study import ask, bits, make_in_process, subject

from lethe import request as requests
from lethe import verify_certificate
from lethe.__main__ import main
from lethe.deletion.certificate import Number, canonical, read, sealed, together, verdict_of
from lethe.deletion.certifying import measured, score_files
from lethe.deletion.checking import PURGED, differences, other_numbers
from lethe.params.file import load_params
from lethe.request import Order, serve, write_certificate
from lethe.system.errors import InputError
from lethe.system.files import digest, files_in

ROOT = Path(__file__).parents[2]
CERTIFICATE = Path("results/requests/people/DSR-1/certificate.json")
SECRET = [study.text(k) for k in range(24)]


def is_found(params) -> bool:
    try:
        return bool(differences(CERTIFICATE, params))
    except InputError:  # it is no certificate
        return True


# ---------------------------------------------------------------- serving


def test_the_certificate_says_what_was_done_and_holds_no_text(here):
    text = (
        CERTIFICATE.read_text()
        + CERTIFICATE.with_suffix(".html").read_text()
        + Path("params.yaml").read_text()
    )
    assert not [one for one in SECRET if one.split()[0] in text]
    certificate = read(CERTIFICATE)
    assert (
        certificate.asked.records == load_params("params.yaml").studies["people"].requests.served[0].records
    )
    sets = pd.read_parquet("data/forget/people-request-1/seed1/sets.parquet")
    forgotten = sets["id"][sets["set"] == "forget"]
    assert {name.split("/")[0] for name in forgotten} == {
        *certificate.asked.records
    }  # texts, by their windows
    assert len(forgotten) > len(certificate.asked.records)
    assert certificate.before.path == "results/train/people/original/seed1/model"
    assert certificate.after.path == "results/unlearn/people-request-1/npo/seed1/model"
    assert certificate.verdict == "holds"
    names = {one.metric for one in certificate.numbers}
    assert {"memorization_accuracy_retain", "min_k_auc"} <= names
    one = next(n for n in certificate.numbers if n.metric == "memorization_accuracy_retain")
    at = "results/measure/people-request-1/{}/seed1/metrics.json"
    for key, run in (("value", "npo"), ("original", "original"), ("retrain", "retrain")):
        expected = json.loads(Path(at.format(run)).read_text())["memorization_accuracy_retain"]
        assert getattr(one, key) == pytest.approx(expected, abs=1e-12)
    assert one.low <= one.value <= one.high


def test_the_schema_is_kept_and_fits(here, capsys):
    """If not: lethe schema certificate > workflow/schemas/certificate.schema.json"""
    assert main(["schema", "certificate"]) == 0
    kept = (ROOT / "workflow/schemas/certificate.schema.json").read_text()
    assert capsys.readouterr().out == kept
    jsonschema.validate(json.loads(CERTIFICATE.read_text()), json.loads(kept))


def test_the_same_request_again_changes_nothing(here, capsys):
    before = bits(here)
    assert serve(Order(Path("data/requests/DSR-1.jsonl"))) == 0
    assert bits(here) == before
    assert "served already" in capsys.readouterr().out


def test_the_reference_of_another_request_is_refused(here):
    with pytest.raises(InputError, match="DSR-1 was served with another content"):
        serve(Order(ask(here, "DSR-1", subject(here, 1))))


def test_a_request_for_what_is_gone_makes_no_version(here, capsys):
    before = bits(here)
    file = ask(here, "DSR-2", subject(here, 0), {"id": "nosuch"})
    assert serve(Order(file)) == 0
    said = capsys.readouterr().out
    assert "removed by the earlier request DSR-1" in said
    assert "line 2 (id): matches nothing" in said
    assert "no new version" in said
    file.unlink()
    assert bits(here) == before


@pytest.mark.parametrize(
    ("block", "method", "status", "beside"),
    [
        ({"method": "retrain", "retrains": 2}, "retrain", 0, True),
        ({"method": "npo", "retrains": 0, "thresholds": {"loss_retain": {"most": -1.0}}}, "npo", 1, False),
    ],
)
def test_retraining_may_serve_and_may_be_too_dear(
    made, tmp_path, monkeypatch, capsys, block, method, status, beside
):
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(requests, "make", make_in_process)
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["studies"]["people"]["requests"] = block
    Path("params.yaml").write_text(yaml.safe_dump(content))
    assert serve(Order(ask(Path(), "DSR-1", {"id": "r1"}, subject(Path(), 0)))) == status
    certificate = read(CERTIFICATE)
    assert (certificate.method, certificate.verdict) == (method, "fails" if status else "not judged")
    assert {one.retrain is not None for one in certificate.numbers} == {beside}
    assert {one.band is not None for one in certificate.numbers} == {beside}
    assert differences(CERTIFICATE, load_params("params.yaml")) == []


def test_a_plan_makes_nothing(here, capsys):
    before = bits(here)
    file = ask(here, "DSR-2", subject(here, 1))
    assert main(["request", str(file), "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("line 1 (subject): subject 2 (")
    assert [line.split()[0] for line in lines if line][-4:-2] == ["npo", "retrain"]
    assert lines[-2:] == [
        "retrained models beside the version: 1 (requests.retrains)",
        "–: was not run in the study; `snakemake` runs all methods",
    ]
    file.unlink()
    assert bits(here) == before


def test_the_second_of_two_requests_waits_for_the_first(here, capsys):
    inside, leave, order = threading.Event(), threading.Event(), []

    def first():
        with requests.one_at_a_time():
            inside.set()
            leave.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    threading.Timer(0.1, leave.set).start()
    assert serve(Order(Path("data/requests/DSR-1.jsonl"))) == 0
    order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "waiting" in capsys.readouterr().out


@pytest.mark.parametrize("flush", [False, True])
def test_only_what_was_served_is_added_to_the_parameters(tmp_path, flush):
    """Comments, order and layout stay; `git diff` shows the request alone."""
    content = (
        (ROOT / "params.yaml")
        .read_text()
        .replace("    methods:\n      icu:", "    requests:\n      method: icu\n    methods:\n      icu:")
    )
    if flush:
        content = yaml.safe_dump(yaml.safe_load(content), sort_keys=False).replace("stop: null", "stop:")
    file = tmp_path / "params.yaml"
    file.write_text(content)
    for k in (1, 2):
        entry = requests.Served(
            reference=f"R-{k}", date="2026-11-29", digest="0" * 64, method="icu", records=[f"person-{k}.0"]
        )
        requests.add_served(file, "records", entry)
    now = file.read_text().splitlines()
    added = [line for line in now if line not in content.splitlines()]
    assert [line for line in now if line not in added or line in content.splitlines()] == content.splitlines()
    assert load_params(file).studies["records-request-2"].forget.parts == [["person-1.0"], ["person-2.0"]]


def test_versions(here, capsys):
    assert main(["versions"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("people 0: results/train/people/original/seed1/model, ")
    assert "people 1: results/unlearn/people-request-1/npo/seed1/model" in second
    assert "DSR-1 of 2026-11-29, 2 records by npo: holds; " in second
    for one in read(CERTIFICATE).numbers:
        others = f"(original {one.original:.3g}, retrained {one.retrain:.3g})"
        assert f"{one.metric} {one.value:.3g} {others}" in second


# ---------------------------------------------------------------- verifying


def test_a_certificate_verifies(here, capsys):
    assert main(["verify", str(CERTIFICATE), "--request", "data/requests/DSR-1.jsonl"]) == 0
    output = capsys.readouterr().out.splitlines()
    assert "scored again: original, retrain, npo: the same to the bit" in output
    assert output[-1] == f"{CERTIFICATE}: yes, 0 things differ"
    Path(CERTIFICATE.with_suffix(".html")).write_text("<p>all is well")
    assert main(["verify", str(CERTIFICATE), "--trust-scores"]) == 1
    ask(here, "DSR-1", subject(here, 1))
    assert main(["verify", str(CERTIFICATE), "--trust-scores", "--request", "data/requests/DSR-1.jsonl"]) == 1


def test_one_flipped_byte_in_each_of_a_hundred_places_is_found(here):
    params = load_params("params.yaml")
    certificate = read(CERTIFICATE)
    draw = np.random.default_rng(0)
    models = [f for m in (certificate.before, certificate.after) for f in Path(m.path).iterdir()]
    data = [f for name in certificate.files for f in files_in(Path(name))]
    assert "results/train/people-request-1/retrain/seed1/model" in certificate.files
    for files, count in (([CERTIFICATE], 40), (sorted(models), 30), (sorted(data), 30)):
        for k in range(count):
            file = files[k % len(files)]
            content = file.read_bytes()
            place = int(draw.integers(len(content)))
            flipped = bytes([content[place] ^ int(draw.integers(1, 256))])
            file.write_bytes(content[:place] + flipped + content[place + 1 :])
            assert is_found(params), f"{file}, byte {place}"
            file.write_bytes(content)
    assert differences(CERTIFICATE, params) == []


def test_numbers_that_were_made_up_are_found_though_every_digest_fits(here):
    certificate = read(CERTIFICATE)
    first, *others = certificate.numbers
    better = first.model_copy(update={"value": first.value + 0.01})
    CERTIFICATE.write_bytes(canonical(sealed(certificate.model_copy(update={"numbers": [better, *others]}))))
    (line,) = differences(CERTIFICATE, load_params("params.yaml"))
    assert line.startswith(f"{first.metric}: value certified")


def resealed(**changes) -> None:
    """A forged certificate whose digest, and page, fit."""
    certificate = sealed(read(CERTIFICATE).model_copy(update=changes))
    write_certificate(CERTIFICATE, certificate)


def forget_more(arrays: dict) -> None:
    arrays["logprob"] = np.where(arrays["mask"], arrays["logprob"] - 1, 0).astype(arrays["logprob"].dtype)


def change_scores(change) -> None:
    """Scores of the new version are others, which digests and numbers of the certificate, made anew, fit."""
    of, certificate = load_params("params.yaml").studies["people-request-1"], read(CERTIFICATE)
    files = score_files("people-request-1", of)
    with np.load(files["npo"]) as kept:
        arrays = dict(kept)
    change(arrays)
    np.savez(files["npo"], allow_pickle=False, **arrays)
    numbers = measured("people-request-1", of, files)
    resealed(numbers=numbers, files=certificate.files | {str(files["npo"]): digest(files["npo"])})


@pytest.fixture
def scored_before(served, monkeypatch):
    """Scoring a model again gives what it gave before, as it does where a certificate verifies."""

    def score_anew(of, run, prepared, forget, model, out):
        out.parent.mkdir()
        shutil.copy(served / score_files("people-request-1", of)[run], out)

    monkeypatch.setattr(verify_certificate, "score_anew", score_anew)


def test_scores_that_were_made_up_are_found_by_scoring_again(here, scored_before, capsys):
    """Every digest fits, and every number follows from the scores, which are not those of the model."""
    change_scores(forget_more)
    assert main(["verify", str(CERTIFICATE), "--trust-scores"]) == 0
    assert "no model was scored again" in capsys.readouterr().out
    assert main(["verify", str(CERTIFICATE)]) == 1
    output = capsys.readouterr().out
    assert "scored again: npo: not the same to the bit" in output
    assert "loss_forget: value certified" in output or "perplexity" in output
    assert main(["verify", str(CERTIFICATE), "--tolerance", "1e9"]) == 0


def other_digits(arrays: dict) -> None:
    """As another device rounds them: by a part in a million or less."""
    noise = 1 + 1e-6 * np.random.default_rng(0).uniform(-1, 1, arrays["logprob"].shape)
    arrays["logprob"] = (arrays["logprob"] * noise).astype(np.float32)


def test_scores_of_another_device_verify_within_the_tolerance(here, scored_before, capsys):
    change_scores(other_digits)
    certificate = read(CERTIFICATE)
    resealed(code=certificate.code.model_copy(update={"device": "NVIDIA H200"}))
    before = {one.metric: one.value for one in read(CERTIFICATE).numbers}
    assert main(["verify", str(CERTIFICATE), "--tolerance", "1e-5"]) == 0
    assert "scored again: npo: not the same to the bit" in capsys.readouterr().out
    assert main(["verify", str(CERTIFICATE), "--tolerance", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    differing = {line.split(":")[0] for line in lines if ": value certified" in line}
    assert differing and differing < {*before}  # those that count, such as of right tokens, are the same


@pytest.mark.parametrize(
    ("said", "found", "differ"),
    [
        ({"value": 0.5}, {"value": 0.5 + 0.9e-3}, []),
        ({"value": 0.5}, {"value": 0.5 + 1.1e-3}, ["value"]),
        ({"value": 200.0}, {"value": 200.1}, []),  # of large numbers it is a share
        ({"value": 200.0}, {"value": 200.3}, ["value"]),
        ({"value": 0.5, "high": 0.6}, {"value": 0.5, "high": 0.7}, ["high"]),
        ({"value": 0.5, "retrain": 0.5}, {"value": 0.5}, ["retrain"]),
        ({"value": 0.5, "verdict": "met"}, {"value": 0.5001, "verdict": "open"}, ["verdict"]),
    ],
)
def test_the_tolerance_is_of_numbers_alone(said, found, differ):
    lines = other_numbers([Number(metric="m", **said)], [Number(metric="m", **found)], 1e-3)
    assert [line.split()[1] for line in lines] == differ


def test_another_model_under_the_digest_of_its_files_is_found(here):
    certificate = read(CERTIFICATE)
    shutil.rmtree(certificate.after.path)
    shutil.copytree(certificate.before.path, certificate.after.path)
    after = certificate.after.model_copy(update={"digest": certificate.before.digest})
    resealed(after=after)
    assert main(["verify", str(CERTIFICATE), "--trust-scores"]) == 0
    assert main(["verify", str(CERTIFICATE)]) == 1


def test_without_the_data_scores_are_taken_as_they_are(here, capsys):
    """As after a purge, which deletes what holds texts."""
    gone = ["data/prepared/people-request-1"]
    CERTIFICATE.with_name(PURGED).write_text(json.dumps({"purged": gone}))
    shutil.rmtree(gone[0])
    assert main(["verify", str(CERTIFICATE)]) == 0
    assert (
        "taken as they are, by their digests: data/prepared/people-request-1 is not"
        in capsys.readouterr().out
    )


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")
def test_a_signature_is_checked(here, capsys):
    for name in ("own", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name], check=True)
    assert main(["request", "data/requests/DSR-1.jsonl", "--key", "own"]) == 0
    for name in ("own", "other"):
        Path(f"{name}.signers").write_text(f"dpo@example.org {Path(f'{name}.pub').read_text()}")
    assert main(["verify", str(CERTIFICATE), "--trust-scores", "--signers", "own.signers"]) == 0
    assert "dpo@example.org" in capsys.readouterr().out
    assert main(["verify", str(CERTIFICATE), "--trust-scores"]) == 0
    assert "--signers" in capsys.readouterr().out
    assert main(["verify", str(CERTIFICATE), "--trust-scores", "--signers", "other.signers"]) == 1
    content = CERTIFICATE.read_bytes()
    CERTIFICATE.write_bytes(content.replace(b'"version": 1', b'"version": 2'))
    assert main(["verify", str(CERTIFICATE), "--trust-scores", "--signers", "own.signers"]) == 1
    assert "certificate.json.sig: is no signature of it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "low", "high", "least", "most", "verdict"),
    [
        (0.5, 0.4, 0.6, None, 0.6, "met"),
        (0.5, 0.4, 0.6, None, 0.55, "open"),
        (0.5, 0.4, 0.6, None, 0.39, "not met"),
        (0.5, 0.4, 0.6, 0.4, 0.7, "met"),
        (0.5, 0.4, 0.6, 0.61, None, "not met"),
        (0.5, None, None, 0.5, None, "met"),
        (0.5, None, None, None, 0.49, "not met"),
        (0.5, 0.4, 0.6, None, None, None),
    ],
)
def test_thresholds(value, low, high, least, most, verdict):
    assert verdict_of(value, low, high, least, most) == verdict


def test_all_thresholds_together():
    assert together([]) == "not judged"
    assert together(["met", "met"]) == "holds"
    assert together(["met", "open"]) == "open"
    assert together(["open", "not met"]) == "fails"
