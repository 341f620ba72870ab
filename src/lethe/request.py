"""`lethe request`: serve a deletion request by a new version of the model, and certify what was measured of it.

A request that is served is a line of `params.yaml` (`requests.served`), from which the plan makes a study of its own,
STUDY-request-K: its forget set, its run, its retrained model and their scores are jobs as all others. So a request that
was killed goes on where it was, one that was served changes nothing, and a clone takes the chain over.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import secrets
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.representer import RoundTripRepresenter

from lethe.data.parquet import read_table
from lethe.data.splits import TRAINED
from lethe.data.texts import whole_texts
from lethe.data.windows import text_ids
from lethe.deletion.audit import audits
from lethe.deletion.certificate import Certificate, Number, write
from lethe.deletion.certificate import read as read_certificate
from lethe.deletion.certifying import (
    certify,
    existing,
    first_version,
    folder_of_request,
    keyed_digest,
    version_folder,
)
from lethe.deletion.expected import Pool, expected
from lethe.deletion.page import write_page
from lethe.deletion.request_file import Request, read_request
from lethe.deletion.resolving import TRAIN, Answer, Texts, records_of, resolve, said
from lethe.deletion.signature import signer
from lethe.params.addresses import folder_of
from lethe.params.file import Params, load_params, request_name
from lethe.params.names import BLIND
from lethe.params.requests import Requests, Served
from lethe.params.study import Study
from lethe.prepare import for_task, gathered
from lethe.report.choices import choices
from lethe.report.tables import plain
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.files import replacing

PARAMS = "params.yaml"
LOCK = Path(".snakemake/requests.lock")
KEY = Path("data/requests/key")
FLUSH = re.compile(
    r"^( *)[\w-]+:\n\1- ", re.MULTILINE
)  # items of a list stand below its key, not to the right
AGAIN = "the same command goes on where it was"


def serving(params: Params, name: str | None) -> tuple[str, Study, Requests]:
    """Name of the study that serves requests, the study, and how it serves them.

    Raises:
        InputError: none does, or several do and none is named.
    """
    able = {name: study for name, study in params.studies.items() if study.requests and study.version is None}
    if name is None and len(able) == 1:
        (name,) = able
    if name not in able:
        allowed = ", ".join(able) or "none, as no study has a block `requests`"
        raise InputError(f"{PARAMS}: studies.{name or '…'}.requests: missing; --study may be {allowed}")
    requests = able[name].requests
    assert requests is not None, "it is able"
    return name, able[name], requests


def answers_to(request: Request, name: str, study: Study, served: Requests) -> tuple[list[Answer], Texts]:
    """What each line of a request comes to in a study, and the study's texts.

    Only what was served before it counts as earlier, also when it is given again.
    """
    texts = texts_of(name, study)
    before = takewhile(lambda one: one.reference != request.reference, served.served)
    earlier = {record: one.reference for one in before for record in one.records}
    return resolve(request.lines, texts, earlier, served.closed), texts


def texts_of(name: str, study: Study) -> Texts:
    """All texts of a study's sources, those that were left out included, with their splits where they are prepared."""
    dataset = for_task(study.dataset, study.task)
    tagged = plugins.part("tasks", study.task, "LABELS") == "words"
    sources, _ = gathered(dataset, study.first_seed, tagged)
    table = pd.DataFrame({"id": sources["id"], "text": whole_texts(sources), "subject": sources["subject"]})
    if "prompt" in sources:
        table["asked"] = whole_texts(sources.assign(text=""))
        table["answer"] = sources["text"].to_numpy()
    file = Path(folder_of("prepare", name)) / "examples.parquet"
    splits, clusters = splits_in(read_table(file)) if file.exists() else ({}, {})
    table["split"] = [splits.get(name, "") for name in table["id"]]
    # what was left out is in no cluster of another
    table["cluster"] = [clusters.get(name, -1 - row) for row, name in enumerate(table["id"])]
    return Texts(table, dataset.ngram, dataset.similarity)


def splits_in(prepared: pd.DataFrame) -> tuple[dict[str, str], dict[str, int]]:
    """Text -> its split, `train` for all that the original is trained on; text -> its cluster; by ids of texts."""
    texts = prepared.assign(text=text_ids(prepared)).drop_duplicates("text").set_index("text")
    splits = texts["split"].mask(texts["split"].isin(TRAINED), TRAIN)
    return splits.to_dict(), texts["cluster"].to_dict()


def examples_of(prepared: pd.DataFrame, texts: Collection[str]) -> list[str]:
    """Ids of what training reads of texts: of a long one its windows."""
    return prepared["id"][text_ids(prepared).isin(texts)].tolist()


@dataclass(frozen=True)
class Order:
    """What `lethe request` was asked to do.

    file: of the request. study: its name; None: the only one that serves requests. key: private key of OpenSSH or
    minisign that signs the certificate, or None. arguments: more of Snakemake's.
    """

    file: Path
    study: str | None = None
    key: Path | None = None
    arguments: Sequence[str] = ()


def look(file: Path, named: str | None) -> str:
    """The answers to a request, and what each method would cost for it and showed in the study; nothing is made."""
    params, wanted = load_params(PARAMS), read_request(file)
    name, study, served = serving(params, named)
    prepared = existing(Path(folder_of("prepare", name)) / "examples.parquet")
    answers, texts = answers_to(wanted, name, study, served)
    earlier = [record for one in served.served for record in one.records]
    records = records_of(answers, texts.table, earlier)
    lines = "".join(f"{said(answer)}\n" for answer in answers)
    known = texts.table["id"][(texts.table["split"] == TRAIN) & ~texts.table["id"].isin(earlier)]
    pool = Pool(*(examples_of(read_table(prepared), ids) for ids in (known, records)))
    times = expected(params, name, pool)
    spent = {run: (of.measured, of.request, of.beforehand) for run, of in times.items()}
    table = plain(choices(params, name, len(pool.asked), spent))
    notes = (
        []
        if study.references
        else [f"retrained models beside the version: {served.retrains} (requests.retrains)"]
    )
    if any(of.measured is None for of in times.values()):
        notes.append("–: was not run in the study; `snakemake` runs all methods")
    return "\n".join([f"{lines}{len(records)} to be forgotten", "", table, *notes, ""])


def serve(order: Order) -> int:
    """Serve a request; 0, or 1 if the new version does not hold what was declared.

    Raises:
        InputError: the request cannot be read or served, or Snakemake stopped; one line.
    """
    wanted = read_request(order.file)
    sign = signer(order.key) if order.key else None
    with one_at_a_time():
        params = load_params(PARAMS)
        name, study, served = serving(params, order.study)
        mark = keyed_digest(own_key(), wanted.content)
        number = number_of(served, wanted, mark)
        if number is None:
            existing(Path(folder_of("prepare", name)) / "examples.parquet")
            answers, texts = answers_to(wanted, name, study, served)
            print("\n".join(said(answer) for answer in answers), flush=True)
            earlier = [record for one in served.served for record in one.records]
            records = records_of(answers, texts.table, earlier)
            if not records:
                print("nothing to be forgotten: no new version")
                return 0
            entry = Served(
                reference=wanted.reference,
                date=wanted.date,
                digest=mark,
                method=served.method,
                records=records,
            )
            add_served(Path(PARAMS), name, entry)
            params, number = load_params(PARAMS), len(served.served) + 1
        file = folder_of_request(name, wanted.reference) / "certificate.json"
        if not file.exists():
            make(params, name, number, order.arguments)
            answers, _ = answers_to(wanted, name, study, served)
            write_certificate(file, certify(params, name, number, answers))
        else:
            print("served already: nothing is made again")
        if sign is not None:
            sign(file)
        audits(params)
    certificate = read_certificate(file)
    print(f"version {number}: {certificate.after.path}\nverdict: {certificate.verdict}\n{file}")
    return int(certificate.verdict == "fails")


def write_certificate(file: Path, certificate: Certificate) -> None:
    """The page first: where the certificate is, all is."""
    write_page(file.with_suffix(".html"), certificate)
    write(file, certificate)


def number_of(requests: Requests, wanted: Request, mark: str) -> int | None:
    """Number of the version that served a request; None if none did.

    Raises:
        InputError: another request was served under its reference.
    """
    for number, one in enumerate(requests.served, 1):
        if one.reference == wanted.reference:
            if one.digest != mark:
                what = f"{one.reference} was served with another content, or under another {KEY}"
                raise InputError(
                    f"request: reference: {what}; give a request that has more another reference"
                )
            return number
    return None


def make(params: Params, name: str, number: int, arguments: Sequence[str]) -> None:
    """Let Snakemake make the version, the models beside it, and their metrics."""
    step = request_name(name, number)
    study = params.studies[step]
    runs = [*study.runs, *study.retrained[1:], BLIND]
    targets = [f"{folder_of('measure', step, run, study.seeds[0])}/metrics.json" for run in runs]
    try:
        done = subprocess.run(["snakemake", *targets, *arguments], check=False)
    except FileNotFoundError:
        raise InputError("snakemake: not found; activate the environment") from None
    if done.returncode:
        raise InputError(f"snakemake: ended with status {done.returncode}; {AGAIN}")


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other request is being served in this folder; without locks of files, go on."""
    LOCK.parent.mkdir(exist_ok=True)
    with open(LOCK, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another request is being served in this folder: waiting", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            print("this file system has no locks: take care that one request at a time is served", flush=True)
        yield


def own_key() -> bytes:
    """The key of digests of requests, made at the first one; whoever has it can check a request against them."""
    if not KEY.exists():
        with replacing(KEY) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(secrets.token_hex(32))
    return KEY.read_bytes()


class Null(str):
    """A null as it was written: `null`, `~` or nothing."""


class NullsAsWritten(RoundTripConstructor):
    """Remembers how nulls are written."""


class WritesNulls(RoundTripRepresenter):
    """Writes nulls as they were."""


NULL = "tag:yaml.org,2002:null"
NullsAsWritten.add_constructor(NULL, lambda constructor, node: Null(node.value))
WritesNulls.add_representer(Null, lambda representer, null: representer.represent_scalar(NULL, str(null)))


def add_served(file: Path, study: str, entry: Served) -> None:
    """Add a request to a study in the parameter file, whose other lines stay as they are."""
    yaml = YAML()
    yaml.Constructor, yaml.Representer = NullsAsWritten, WritesNulls
    yaml.preserve_quotes, yaml.width = True, 1_000_000
    text = file.read_text(encoding="utf-8-sig")
    if not FLUSH.search(text):
        yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    requests = content["studies"][study]["requests"]
    requests.setdefault("served", []).append(entry.model_dump(mode="json"))
    with replacing(file) as temporary, open(temporary, "w", encoding="utf-8") as out:
        yaml.dump(content, out)


# ---------------------------------------------------------------- what was served


def versions() -> Iterator[str]:
    """A line for each version of each study that serves requests: what made it, and what was measured of it."""
    params = load_params(PARAMS)
    for name, study in params.studies.items():
        if study.requests is None or study.version is not None:
            continue
        first = first_version(params, name)
        yield f"{name} 0: {first}, {'given' if study.references else state_of(Path(first).parent)}"
        for number, one in enumerate(study.requests.served, 1):
            after = version_folder(params, name, number)
            yield f"{name} {number}: {after}/model, {state_of(after)}, {of_request(name, one)}"


def state_of(folder: Path) -> str:
    """The beginning of a model's digest, as it was pinned."""
    pin = folder / "model.sha256"
    here = "" if (folder / "model").is_dir() else ", not here"
    return f"{pin.read_text(errors='replace').strip()[:16]}{here}" if pin.exists() else "not made"


def of_request(study: str, one: Served) -> str:
    """What a version was made for, and what its certificate says."""
    about = f"{one.reference} of {one.date}, {len(one.records)} records by {one.method}"
    file = folder_of_request(study, one.reference) / "certificate.json"
    if not file.exists():
        return f"{about}: no certificate"
    certificate = read_certificate(file)
    return f"{about}: {certificate.verdict}; {', '.join(map(beside_others, certificate.numbers))}"


def beside_others(number: Number) -> str:
    """A number of a version, and those of the original and of a retrained model on the same texts."""
    others = {"original": number.original, "retrained": number.retrain}
    known = ", ".join(f"{name} {value:.3g}" for name, value in others.items() if value is not None)
    return f"{number.metric} {number.value:.3g}{f' ({known})' if known else ''}"
