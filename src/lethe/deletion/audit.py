"""The audit view: a page for each request of what was asked, resolved, done, verified, and what remains and why.

It is made from the certificate and from what `lethe purge` found, and can be made anew at any time. It names records by
their ids. With `report.show_text` a second page beside it shows their texts, too, which git is told to ignore.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lethe.data.parquet import read_table
from lethe.data.texts import whole_texts
from lethe.data.windows import text_ids
from lethe.deletion.certificate import Certificate, read
from lethe.deletion.certifying import FOLDER, first_version, folder_of_request, version_folder
from lethe.deletion.page import shown
from lethe.deletion.places import Place
from lethe.deletion.resolving import Answer, said
from lethe.params.addresses import folder_of
from lethe.params.file import Params, request_name
from lethe.system.files import remove, replacing, write_json
from lethe.system.records import read_record
from lethe.system.templates import template

PAGE, INDEX = (Path(__file__).with_name(f"{name}.html.jinja") for name in ("audit", "audits"))
FOUND = "remains.json"  # beside a certificate: what the last `lethe purge` of its request found
WITH_TEXT = "audit_text.html"
STAYS = {  # list of an answer -> why they stay
    "others": "longer texts, or those of other subjects, that hold the same text: nobody asked for them",
    "general": "general text that holds it: the base was trained on it",
    "untrained": "in the data, but nothing was trained on them: there is nothing to forget",
}
CLUSTER = "near-duplicates that were not asked for: `requests.closed` is false"


@dataclass(frozen=True)
class Version:
    """A version of the model: its folder, and whether that is here."""

    number: int
    path: str
    here: bool


def audits(params: Params) -> Path:
    """Write the page of every request that has a certificate, and the page that lists them; the latter's path."""
    rows: list[tuple[Certificate | None, str, list[dict[str, Any]] | None]] = []
    for name, study in params.studies.items():
        served = study.requests.served if study.requests and study.version is None else []
        for one in served:
            folder = folder_of_request(name, one.reference)
            if (folder / "certificate.json").exists():
                certificate = read(folder / "certificate.json")
                write_audit(params, certificate, folder)
                rows.append((certificate, folder.relative_to(FOLDER).as_posix(), places_found(folder)))
            else:
                rows.append((None, one.reference, None))
    write_text(Path(FOLDER, "index.html"), template(INDEX).render(rows=rows))
    return Path(FOLDER, "index.html")


def write_audit(params: Params, certificate: Certificate, folder: Path) -> None:
    """Write the page of a request, and the one with texts if it is wanted; one that was wanted before is removed."""
    step = request_name(certificate.study, certificate.version)
    content: dict[str, Any] = {
        "of": certificate,
        "lines": [said(answer) for answer in certificate.asked.answers],
        "stays": [one for answer in certificate.asked.answers for one in staying(answer)],
        "older": [v for v in versions(params, certificate.study) if v.number < certificate.version],
        "found": places_found(folder),
    }
    page = template(PAGE, shown=shown)
    write_text(folder / "audit.html", page.render(**content, texts=None))
    if params.report.show_text:
        write_text(folder / ".gitignore", f"{WITH_TEXT}\n")
        texts = prepared_texts(step, certificate.asked.records)
        write_text(folder / WITH_TEXT, page.render(**content, texts=texts))
    else:
        remove(folder / WITH_TEXT)


def staying(answer: Answer) -> Iterable[tuple[int, list[str], str]]:
    """Line of the request, ids of what it found that was not forgotten, and why."""
    kinds = STAYS | ({} if answer.closed else {"cluster": CLUSTER})
    return [(answer.line, ids, why) for kind, why in kinds.items() if (ids := getattr(answer, kind))]


def versions(params: Params, study: str) -> Iterable[Version]:
    """All versions of the model of a study."""
    requests = params.studies[study].requests
    assert requests is not None, "it serves requests"
    later = (version_folder(params, study, k) for k in range(1, len(requests.served) + 1))
    for number, model in enumerate([first_version(params, study), *(f"{folder}/model" for folder in later)]):
        yield Version(number, model, Path(model).is_dir())


def write_found(folder: Path, found: Iterable[Place]) -> None:
    """Keep what a search found beside the certificate, if there is one."""
    if (folder / "certificate.json").exists():
        write_json(folder / FOUND, [asdict(place) for place in found])


def places_found(folder: Path) -> list[dict[str, Any]] | None:
    """What the last search found; None if there was none."""
    file = folder / FOUND
    return read_record(file, TypeAdapter(list[Place]), "`lethe purge` writes it") if file.exists() else None


def prepared_texts(study: str, ids: Collection[str]) -> dict[str, str]:
    """Record id -> text, as the prepared table of a study has it; nothing if it is not here.

    Of windows of a text, these one after the other.
    """
    file = Path(folder_of("prepare", study), "examples.parquet")
    if not file.exists():
        return {}
    rows = read_table(file)
    rows = rows.assign(whole=whole_texts(rows), of=text_ids(rows))
    return rows[rows["of"].isin(ids)].groupby("of")["whole"].agg("".join).to_dict()


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
