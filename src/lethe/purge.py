"""`lethe purge`: where the texts of a deletion request still lie, and, with --yes, deletes what lethe made of them.

It searches for the texts themselves, by their n-grams, before and after. What is not lethe's, such as the source and
the history of git, is named and left alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lethe.data.parquet import read_table
from lethe.data.texts import whole_texts
from lethe.deletion.certificate import read
from lethe.deletion.certifying import FOLDER, PURGED, purged
from lethe.deletion.places import Place, Search, clean_weights, decoders, places, stores
from lethe.deletion.request_file import read_request
from lethe.deletion.resolving import said as said_of
from lethe.deletion.searching import wanted_of
from lethe.params.addresses import ROOTS, folder_of
from lethe.params.file import load_params, request_name
from lethe.request import PARAMS, answers_to, one_at_a_time, serving
from lethe.system.files import digest, files_in, remove, write_json

VERIFIED_BY = ("forget", "score", "measure")
DELETES = "; nothing was deleted: --yes deletes those that are lethe's"
ELSEWHERE = (
    "not searched: other clones, backups, stores on other machines, what was shipped (models, adapters, detectors),"
    " caches of the Hub (HF_HOME), the free space of disks"
)


def purge(file: Path, study: str | None, yes: bool) -> int:
    """List every place of a request's texts; delete those that are lethe's if `yes`; 1 if more is left than is kept.

    Raises:
        InputError: the request or params.yaml cannot be read.
    """
    with one_at_a_time():
        search = search_for(file, study)
        found = list(places(search))
        for place in found:
            print(said(place))
        ours = [place for place in found if place.ours]
        if ours and yes:
            delete(ours)
            found = list(places(search))
            print(f"\ndeleted {len(ours)} files; what remains:")
            for place in found:
                print(said(place))
        for name, url in stores():
            if not os.path.isdir(url):
                print(f"not searched: the store {name}, {url}; `dvc gc --workspace --cloud` clears it")
        print(ELSEWHERE)
        texts = sum(place.kind == "text" for place in found)
        print(f"{len(found)} places, {texts} of them with text" + ("" if yes or not ours else DELETES))
    return int(not all(place.kept for place in found))


def said(place: Place) -> str:
    whose = "lethe" if place.ours else "kept" if place.kept else "not lethe"
    return f"{whose}: {place.path}: {place.kind}: {place.what}"


def search_for(file: Path, named: str | None) -> Search:
    """What a request's texts, records and models are known by."""
    request = read_request(file)
    name, study, served = serving(load_params(PARAMS), named)
    answers, texts = answers_to(request, name, study, served)
    print("\n".join(said_of(answer) for answer in answers))
    ids = {i for answer in answers for found in (*answer.matches.values(), answer.forget) for i in found}
    ids |= {i for answer in answers for found in answer.earlier.values() for i in found}
    ids |= {i for one in served.served if one.reference == request.reference for i in one.records}
    steps = [request_name(name, k) for k in range(1, len(served.served) + 1)]
    mine = texts.table["id"].isin(ids)
    wanted = {*texts.table["text"][mine], *(line.value for line in request.lines if line.asked == "text")}
    for step in (name, *steps):  # the source may have them no more
        table = Path(folder_of("prepare", step), "examples.parquet")
        if table.exists():
            rows = read_table(table)
            wanted |= {*whole_texts(rows[rows["id"].isin(ids)])}
    kept = [f for step in steps for stage in VERIFIED_BY for f in files_in(Path(ROOTS[stage], step))]
    return Search(
        wanted_of(sorted(wanted), texts.table["text"][~mine], texts.ngram) if wanted else None,
        frozenset(ids),
        frozenset(clean_weights(frozenset(ids))),
        frozenset(digest(f) for f in kept if f.is_file()),
        decoders(),
    )


def delete(found: Iterable[Place]) -> None:
    """Delete files; a folder that a certificate names goes as a whole, and is written down beside the certificate."""
    gone = {Path(place.path) for place in found}
    for file in sorted(Path(FOLDER).glob("*/*/certificate.json")):
        certificate = read(file)
        named = {certificate.before.path, certificate.after.path, *certificate.files}
        lost = sorted(name for name in named if any(path.is_relative_to(name) for path in gone))
        if lost:
            write_json(file.with_name(PURGED), {"purged": sorted({*lost, *purged(file)})})
        for name in lost:
            remove(Path(name))
    for path in sorted(gone):
        if path.parent.name == "model":
            shutil.rmtree(path.parent, ignore_errors=True)
        remove(path)
