"""Writes the certificate of a request that was served."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lethe.deletion import certificate as certificates
from lethe.deletion.certificate import Asked, Certificate, Code, JobRecord, ModelFiles, Number
from lethe.deletion.measured import numbers
from lethe.deletion.resolving import Answer
from lethe.params.addresses import folder_of, given_start, model_folder, start_folder
from lethe.params.file import Params, request_name
from lethe.params.requests import Served
from lethe.params.sources import HUB_ID
from lethe.params.study import Study
from lethe.system.errors import InputError
from lethe.system.files import digest
from lethe.system.records import RUN, read_record
from lethe.system.seals import SEALS, SHAPE

FOLDER = "results/requests"
STAGES = ("prepare", "forget", "train", "unlearn", "score", "measure")
ADVICE = "`snakemake` makes it, `dvc pull` brings it"
DIFFERS = ("cost.json",)  # outputs that differ between equal runs


def folder_of_request(study: str, reference: str) -> Path:
    """Where the certificate of a request and its page lie."""
    return Path(FOLDER) / study / reference


def keyed_digest(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def version_folder(params: Params, study: str, number: int) -> Path:
    """Folder beside the model after a request."""
    step = request_name(study, number)
    of = params.studies[step]
    assert of.version is not None, "it is a request"
    return Path(model_folder(params, step, of.version, of.seeds[0]))


def first_version(params: Params, study: str) -> str:
    """The model before any request: that of the seed that serves them, or the one that is given."""
    of = params.studies[study]
    given = of.given("original")
    return given.address if given else f"{model_folder(params, study, 'original', of.serving_seed)}/model"


def certify(params: Params, study: str, number: int, answers: Sequence[Answer]) -> Certificate:
    """The certificate of request `number`, from what the workflow made of it."""
    requests = params.studies[study].requests
    assert requests is not None, "it serves requests"
    served, step = requests.served[number - 1], request_name(study, number)
    of = params.studies[step]
    seed = of.seeds[0]
    before, after = pinned(model_before(params, step)), version_folder(params, study, number)
    record = read_record(after / "run.json", RUN, ADVICE)
    files = [folder_of("prepare", step), folder_of("forget", step, seed=seed)]
    files += [str(after / "run.json"), *map(str, score_files(step, of).values())]
    files += sorted({*map(pinned, scored_models(params, step))} - {before, f"{after}/model"})
    return certificates.sealed(
        Certificate(
            study=study,
            version=number,
            task=of.task,
            seed=seed,
            asked=asked(served, answers),
            before=model_files(before),
            after=model_files(f"{after}/model"),
            method=str(of.version),
            settings=record["settings"],
            code=code_of(record),
            files={name: digest(existing(name)) for name in files},
            confidence=of.measure.confidence,
            numbers=(found := measured(step, of, score_files(step, of))),
            verdict=certificates.together([one.verdict for one in found if one.verdict]),
            jobs=list(jobs_of(step)),
            again=commands(record, after, folder_of_request(study, served.reference)),
            limits=certificates.LIMITS,
        )
    )


def asked(served: Served, answers: Sequence[Answer]) -> Asked:
    return Asked(
        reference=served.reference,
        date=served.date,
        digest=served.digest,
        answers=list(answers),
        records=served.records,
    )


def model_files(model: str) -> ModelFiles:
    return ModelFiles(path=model, digest=digest(existing(model)))


def code_of(record: dict[str, Any]) -> Code:
    known = {name: record[name] for name in ("commit", "modified", "versions", "device", "threads")}
    return Code(digest=record["code"], **known)


def commands(record: dict[str, Any], after: Path, folder: Path) -> list[str]:
    checkout = [f"git checkout {record['commit']}"] if record["commit"] else []
    return [*checkout, f"snakemake --force {after}/model", f"lethe verify {folder}/certificate.json"]


def score_files(step: str, of: Study) -> dict[str, Path]:
    """Run -> its scores, of all models that a certificate speaks of."""
    runs = [*of.runs, *of.retrained[1:]]
    return {run: Path(folder_of("score", step, run, of.seeds[0])) / "scores.npz" for run in runs}


def scored_models(params: Params, step: str) -> list[str]:
    """Models of these runs."""
    return [model_of(params, step, run) for run in score_files(step, params.studies[step])]


def model_of(params: Params, step: str, run: str) -> str:
    """Folder, or address on the Hub, of the model of a run of a study."""
    of = params.studies[step]
    given = of.given(run)
    return given.address if given else f"{model_folder(params, step, run, of.seeds[0])}/model"


def model_before(params: Params, step: str) -> str:
    """The same of the model that a request starts from."""
    of = params.studies[step]
    assert of.version is not None, "it is a request"
    given = given_start(of)
    return given.address if given else f"{start_folder(params, step, of.version, of.seeds[0])}/model"


def measured(step: str, of: Study, files: Mapping[str, Path]) -> list[Number]:
    """Args: files: run -> its scores."""
    assert of.requests is not None and of.version is not None, "it is a request"
    retrained = [files[run] for run in of.retrained]
    reference = files[of.measure.reference] if of.measure.reference else None
    thresholds, seed = of.requests.thresholds, of.seeds[0]
    return numbers(files[of.version], files["original"], retrained, reference, of.measure, thresholds, seed)


def pinned(name: str) -> str:
    """The name of a model that does not come to mean another: of one on the Hub ID@COMMIT, else the folder."""
    if os.path.exists(name):
        return name
    folder = existing(name)
    return f"{name.partition('@')[0]}@{folder.name}" if folder.parent.name == "snapshots" else name


def jobs_of(step: str) -> Iterator[JobRecord]:
    """What the workflow sealed of the jobs of a request, in the order of its steps; nothing without seals."""
    for stage in STAGES:
        file = SEALS / f"{stage}.json"
        seals = SHAPE.validate_python(read_record(file, SHAPE)) if file.exists() else {}
        for address in sorted(name for name in seals if name.split("/")[0] == step):
            seal = seals[address]
            made = {name: value for name, value in seal.outputs.items() if not name.endswith(DIFFERS)}
            cfg = hashlib.sha256(json.dumps(seal.cfg, sort_keys=True).encode()).hexdigest()
            yield JobRecord(
                stage=stage,
                address=address,
                parameters=cfg,
                sources=seal.sources,
                inputs=seal.inputs,
                outputs=made,
            )


def existing(name: str | Path) -> Path:
    """The file or folder of a name, or where the Hub's client keeps it.

    Raises:
        InputError: it is not here.
    """
    if not os.path.exists(name) and HUB_ID.fullmatch(str(name).partition("@")[0]):
        from lethe.models.existing import folder_of as folder_of_model  # which imports torch

        return folder_of_model(name)
    if not os.path.exists(name):
        raise InputError(f"{name}: no such file; {ADVICE}")
    return Path(name)
