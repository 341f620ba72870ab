"""certificate.json: what was asked, done and measured of one deletion request, and by which files that can be checked.

It holds record ids, digests and numbers, no text. Equal runs on one machine write equal certificates: it has no time of
its own. Its file is canonical JSON, so that every byte of it counts, and `digest` is of all the rest.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from lethe.deletion.resolving import Answer
from lethe.params.faults import one_line
from lethe.params.schema import DRAFT, Untitled, as_text
from lethe.params.strict_model import StrictModel
from lethe.system.errors import InputError
from lethe.system.files import write_json

Verdict = Literal["met", "not met", "open"]
LIMITS = [
    "Numbers say how far the model can be told, by these means, from one that never saw the texts; none proves that"
    " nothing is left.",
    "Another attack, other prompts, further training or another precision may bring back what these do not.",
    "It is about the model named as `after` alone: earlier versions, copies elsewhere and what was made with them are"
    " not changed by it.",
    "Texts that are named as staying, and whatever repeats the same facts in other words, were not forgotten.",
]


class Asked(StrictModel):
    """What was asked for."""

    reference: str
    """Reference number of the request."""
    date: str
    """Its day."""
    digest: str
    """HMAC-SHA-256 of the request's file, with the key of data/requests/key."""
    answers: list[Answer]
    """What each of its lines came to, by record ids."""
    records: list[str]
    """Record ids of the examples that were forgotten."""


class ModelFiles(StrictModel):
    """A version of the model."""

    path: str
    """Folder of the model, or ID@COMMIT of one on the Hub."""
    digest: str
    """SHA-256 over the names and contents of its files."""


class Code(StrictModel):
    """What made the new version, as its run.json says it."""

    digest: str
    """SHA-256 of the package's Python files and of plug-ins."""
    commit: str | None
    """Last commit that changed the package; null outside git."""
    modified: bool | None
    """Whether the package differed from it."""
    versions: dict[str, str | None]
    """Of Python, torch, transformers, lethe."""
    device: str
    """Name of the GPU, or cpu."""
    threads: int
    """Of a process on the CPU."""


class Number(StrictModel):
    """One number of the new version, beside those of other models of the same texts.

    low and high bound it, gap_low and gap_high its difference to the retrained model, both over resamples of the
    examples; what has no interval has nulls. Nulls stand where there is no such model, too.
    """

    metric: str
    """Name in metrics.json."""
    value: float
    """Of the new version."""
    low: float | None = None
    """Lower end of its interval."""
    high: float | None = None
    """Upper end."""
    original: float | None = None
    """Of the model before any request, on the same texts."""
    retrain: float | None = None
    """Of a model trained without the texts."""
    gap_low: float | None = None
    """Lower end of the interval of value - retrain."""
    gap_high: float | None = None
    """Upper end."""
    band: float | None = None
    """Noise band: another retrained model would have a gap within this; of two retrained models or more."""
    least: float | None = None
    """Declared threshold: smallest value."""
    most: float | None = None
    """Declared threshold: largest value."""
    verdict: Verdict | None = None
    """Of the threshold: open where the interval holds it; null without one."""


class JobRecord(StrictModel):
    """One job of the workflow."""

    stage: str
    """Its step."""
    address: str
    """Which of that step."""
    parameters: str
    """SHA-256 of its parameters."""
    sources: dict[str, str]
    """Code and local data -> beginning of its SHA-256."""
    inputs: dict[str, str | None]
    """Outputs of other jobs -> digest."""
    outputs: dict[str, str]
    """What it made -> SHA-256."""


class Certificate(StrictModel):
    """What is certified of a deletion request."""

    format: Literal[1] = 1
    """Of this file."""
    study: str
    """Study in params.yaml."""
    version: int
    """Number of the new version; the model before any request is version 0."""
    task: str
    """What the model does."""
    seed: int
    """Of the model."""
    asked: Asked
    """The request."""
    before: ModelFiles
    """The model that had to forget."""
    after: ModelFiles
    """The model that was made."""
    method: str
    """Run that made it: a method, or retrain."""
    settings: dict[str, Any]
    """Parameters of that run, with every default."""
    code: Code
    """What made it."""
    files: dict[str, str]
    """Data, models and scores that it was made from and measured on -> SHA-256."""
    confidence: float
    """Level of the intervals."""
    numbers: list[Number]
    """What was measured."""
    verdict: Literal["holds", "fails", "open", "not judged"]
    """Of all thresholds together; not judged where none was declared."""
    jobs: list[JobRecord]
    """What ran on what."""
    again: list[str]
    """Commands that do it again."""
    limits: list[str]
    """What this does not prove."""
    digest: str = ""
    """SHA-256 of the canonical JSON of all the rest."""


def digest_of(certificate: Certificate) -> str:
    content = certificate.model_dump(mode="json", exclude={"digest"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sealed(certificate: Certificate) -> Certificate:
    """The same with its digest."""
    return certificate.model_copy(update={"digest": digest_of(certificate)})


def write(file: Path, certificate: Certificate) -> None:
    write_json(file, certificate.model_dump(mode="json"))


def canonical(certificate: Certificate) -> bytes:
    """The bytes of its file."""
    return (json.dumps(certificate.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def read(file: Path) -> Certificate:
    """Raise InputError if the file is no certificate; one line."""
    try:
        return Certificate.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; `lethe request` makes it") from None
    except ValidationError as error:
        raise InputError(f"{file}: is not a certificate: {one_line(error)}") from None


def schema_text() -> str:
    """JSON schema of certificate.json."""
    found = Certificate.model_json_schema(schema_generator=Untitled)
    return as_text({"$schema": DRAFT, **found})


def verdict_of(
    value: float, low: float | None, high: float | None, least: float | None, most: float | None
) -> Verdict | None:
    """Of a threshold: met if the whole interval is within it, not met if all of it is beyond; None without one."""
    if least is None and most is None:
        return None
    low, high = (value if end is None else end for end in (low, high))
    if (least is None or low >= least) and (most is None or high <= most):
        return "met"
    return "not met" if (least is not None and high < least) or (most is not None and low > most) else "open"


def together(verdicts: list[Verdict]) -> Literal["holds", "fails", "open", "not judged"]:
    if not verdicts:
        return "not judged"
    return "fails" if "not met" in verdicts else "open" if "open" in verdicts else "holds"
