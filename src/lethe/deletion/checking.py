"""Checks a certificate: against the files that it names, and against numbers that are computed anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lethe.deletion import certificate as certificates
from lethe.deletion.certificate import Number
from lethe.deletion.certifying import existing, measured, score_files
from lethe.params.file import Params, request_name
from lethe.system.errors import InputError
from lethe.system.files import digest
from lethe.system.records import PURGES, read_record

PURGED = "purged.json"  # beside a certificate: what `lethe purge` deleted of what it names
CLOSE = 1e-6  # of numbers from the same scores; another machine may add in another order


def differences(file: Path, params: Params | None) -> list[str]:
    """One line for each thing that is not as a certificate says; if all files are, numbers are computed from scores.

    Args:
        params: parameters, by which numbers are computed; None: there are none.
    Raises:
        InputError: it is no certificate.
    """
    said = certificates.read(file)
    found = []
    if file.read_bytes() != certificates.canonical(said):
        found.append(f"{file}: its bytes are not those that lethe writes")
    if said.digest != certificates.digest_of(said):
        found.append(f"{file}: digest is not that of the rest; it was changed")
    named = {model.path: model.digest for model in (said.before, said.after)} | said.files
    gone = {name for name in purged(file) if not Path(name).exists()}
    found += [
        line for name, expected in named.items() if name not in gone for line in differs(name, expected)
    ]
    if said.verdict != certificates.together([one.verdict for one in said.numbers if one.verdict]):
        found.append("verdict: does not follow from those of the numbers")
    step = request_name(said.study, said.version)
    if params is None or step not in params.studies:
        what = f"holds no request {said.version} of {said.study}"
        return [*found, f"params.yaml: {what}; numbers cannot be computed anew"]
    of = params.studies[step]
    files = score_files(step, of)
    if found or gone.intersection(map(str, files.values())):
        return found
    return list(other_numbers(said.numbers, measured(step, of, files), CLOSE))


def purged(file: Path) -> list[str]:
    """What `lethe purge` deleted of the files and folders that a certificate names."""
    beside = file.with_name(PURGED)
    return read_record(beside, PURGES, "`lethe purge` writes it")["purged"] if beside.exists() else []


def differs(name: str, expected: str) -> Iterator[str]:
    path = here(name)
    if path is None:
        yield f"{name}: is not here"
    elif (found := digest(path)) != expected:
        yield f"{name}: certified {expected[:16]}, now {found[:16]}"


def here(name: str) -> Path | None:
    """Where a certified file, folder or model of the Hub is on this machine; None if it is not here."""
    try:
        return existing(name)
    except InputError:
        return None


def other_numbers(said: Sequence[Number], found: Sequence[Number], close: float) -> Iterator[str]:
    """A line for each certified number that is farther than `close` from the one found, absolute and relative."""
    anew = {one.metric: one.model_dump() for one in found}
    for one in said:
        for key, value in one.model_dump().items():
            now = anew.get(one.metric, {}).get(key)
            if not same(value, now, close):
                yield f"{one.metric}: {key} certified {value}, computed {now}"
    for name in sorted({*anew} - {one.metric for one in said}):
        yield f"{name}: is measured and not certified"


def same(a: Any, b: Any, close: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=close, abs_tol=close)
    return a == b
