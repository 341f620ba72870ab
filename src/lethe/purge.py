"""`lethe purge`: where the texts of a deletion request still lie, and, with --yes, deletes what lethe made of them.

It searches for the texts themselves, by their n-grams, before and after. What is not lethe's, such as the source and
the history of git, is named and left alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lethe.deletion.audit import audits, prepared_texts, write_found
from lethe.deletion.certificate import read
from lethe.deletion.certifying import FOLDER, first_version, folder_of_request, version_folder
from lethe.deletion.checking import PURGED, purged
from lethe.deletion.places import Place, Search, clean_weights, decoders, model_of_file, places, stores
from lethe.deletion.request_file import read_request
from lethe.deletion.resolving import Answer
from lethe.deletion.resolving import said as said_of
from lethe.deletion.searching import wanted_of
from lethe.params.addresses import ROOTS
from lethe.params.file import load_params, request_name
from lethe.request import PARAMS, answers_to, one_at_a_time, serving
from lethe.system.errors import InputError
from lethe.system.files import digest, discard, files_in, remove_leftovers, write_json

VERIFIED_BY = ("forget", "score", "measure")
DELETES = "; nothing was deleted: --yes deletes those that are lethe's"
ELSEWHERE = (
    "not searched: other clones, backups, stores on other machines, what was shipped (models, adapters, detectors),"
    " caches of the Hub (HF_HOME), the free space of disks"
)


def purge(file: Path, study: str | None, yes: bool) -> int:
    """List every place of a request's texts; delete those that are lethe's if `yes`; 1 if more is left than is kept.

    Raises:
        InputError: the request or params.yaml cannot be read, or what would be deleted has not been forgotten yet.
    """
    with one_at_a_time():
        asked = Asked.of(file, study)
        print("\n".join(map(said_of, asked.answers)))
        if not asked.ids and not asked.wanted:
            print("nothing to look for")
            return 0
        if yes and any(answer.forget for answer in asked.answers) and not asked.is_served:
            raise InputError(f"--yes: {file}: is not served yet: `lethe request` first, or no model is left")
        if yes:
            finish()
        search = asked.search()
        found = shown(search, asked.versions)
        ours = [place for place in found if place.ours]
        if ours and yes:
            delete(ours)
            print(f"\ndeleted {len(ours)} files; what remains:")
            found = shown(search, asked.versions)
        if asked.is_served:
            write_found(asked.folder, found)
            audits(load_params(PARAMS))
        for name, url in stores():
            if not os.path.isdir(url):
                print(f"not searched: the store {name}, {url}; `dvc gc --workspace --cloud` clears it")
        print(ELSEWHERE)
        texts = sum(place.kind == "text" for place in found)
        print(f"{len(found)} places, {texts} of them with text" + ("" if yes or not ours else DELETES))
    return int(not all(place.kept for place in found))


def shown(search: Search, versions: Mapping[str, int]) -> list[Place]:
    """All places, each printed as one line. versions: folder of a model -> which version of the model in use it is."""
    newest = max(versions, key=versions.__getitem__)
    found = list(places(search, newest))
    for place in found:
        whose = "lethe" if place.ours else "in use" if place.in_use else "kept" if place.kept else "not lethe"
        of = next((versions[str(f)] for f in Path(place.path).parents if str(f) in versions), None)
        age = "which serves it" if of == versions[newest] else "older than the request"
        which = "" if of is None else f"version {of} of the model, {age}: "
        print(f"{whose}: {place.path}: {place.kind}: {which}{place.what}")
    return found


@dataclass(frozen=True)
class Asked:
    """What a request asks for, now or when it was served.

    answers: to its lines. ids: of its records. wanted: their texts, and others: those of all others. versions: folder
    of a model -> number of the version. steps: names of the studies of the requests that were served. folder: of its
    certificate.
    """

    answers: list[Answer]
    ids: frozenset[str]
    wanted: list[str]
    others: list[str]
    ngram: int
    versions: dict[str, int]
    steps: list[str]
    is_served: bool
    folder: Path

    @classmethod
    def of(cls, file: Path, named: str | None) -> Self:
        request, params = read_request(file), load_params(PARAMS)
        name, study, served = serving(params, named)
        answers, texts = answers_to(request, name, study, served)
        own = [one for one in served.served if one.reference == request.reference]
        ids = {i for answer in answers for found in (*answer.matches.values(), answer.forget) for i in found}
        ids |= {i for answer in answers for found in answer.earlier.values() for i in found}
        ids |= {i for one in own for i in one.records}
        numbers = range(1, len(served.served) + 1)
        steps = [request_name(name, number) for number in numbers]
        mine = texts.table["id"].isin(ids)
        wanted = {*texts.table["text"][mine], *(line.value for line in request.lines if line.asked == "text")}
        wanted |= {text for step in (name, *steps) for text in prepared_texts(step, ids).values()}
        versions = {f"{version_folder(params, name, k)}/model": k for k in numbers}
        versions[first_version(params, name)] = 0
        others = texts.table["text"][~mine].tolist()
        folder = folder_of_request(name, request.reference)
        return cls(
            answers, frozenset(ids), sorted(wanted), others, texts.ngram, versions, steps, bool(own), folder
        )

    def search(self) -> Search:
        kept = [f for step in self.steps for stage in VERIFIED_BY for f in files_in(Path(ROOTS[stage], step))]
        return Search(
            wanted_of(self.wanted, self.others, self.ngram) if self.wanted else None,
            self.ids,
            frozenset(clean_weights(self.ids)),
            frozenset(digest(f) for f in kept if f.is_file()),
            decoders(),
        )


def delete(found: Sequence[Place]) -> None:
    """Delete files; a folder that a certificate names goes as a whole, and is written down beside the certificate.

    Prepared tables go last: what texts are known by may stand in them alone, and a purge that is killed goes on.
    """
    gone, whole = {Path(place.path) for place in found}, set()
    for file in certificates():
        certificate = read(file)
        named = {certificate.before.path, certificate.after.path, *certificate.files}
        lost = sorted(name for name in named if any(path.is_relative_to(name) for path in gone))
        if lost:
            write_json(file.with_name(PURGED), {"purged": sorted({*lost, *purged(file)})})
        whole |= {*map(Path, lost)}
    whole |= {target(place) for place in found}
    targets = [path for path in sorted(whole) if not whole.intersection(path.parents)]
    for path in sorted(targets, key=lambda path: path.is_relative_to(ROOTS["prepare"])):
        discard(path)


def certificates() -> list[Path]:
    return sorted(Path(FOLDER).glob("*/*/certificate.json"))


def finish() -> None:
    """Remove what a purge that was killed has moved away and not removed yet."""
    models = [f / "model" for stage in ("train", "unlearn") for f in Path(ROOTS[stage]).glob("*/*/seed*")]
    for path in [*models, *(Path(name) for file in certificates() for name in purged(file))]:
        remove_leftovers(path)


def target(place: Place) -> Path:
    """What is deleted of a place: of weights the whole model."""
    path = Path(place.path)
    return (model_of_file(path) if place.kind == "weights" else None) or path
