"""`lethe verify`: are the results on the disk those that were sealed, and is what they were made from still there?

Nothing is believed for its time: every file is read. What parameters would make today is not asked; `snakemake -n` says
that.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import ValidationError

import lethe
from lethe.system.errors import InputError
from lethe.system.files import digest, remove
from lethe.system.seals import SEALS, SHAPE, Seal

SOURCES = Path(lethe.__file__).parents[1]
REMEMBERED = Path(".snakemake/digests.json")  # by which a run knows files from their times
COPIES = {  # places that may hold data or models beside the results
    ".snakemake/orphans": "what is no output any more, for a week",
    "checkpoints": "trainings that were interrupted",
    "tuning": "trials of lethe tune",
    ".dvc/cache": "all versions that DVC keeps",
    ".dvc/tmp/exps": "experiments of DVC",
    "HF_DATASETS_CACHE": "data sets as the datasets library keeps them",
    "HF_HUB_CACHE": "what was fetched from the Hub",
}


@dataclass
class Findings:
    """What was compared.

    Attributes:
        same: number of files and folders that are as sealed.
        absent: outputs that are not here, as before `dvc pull`.
        faults: one line for each file that differs.
    """

    same: int = 0
    absent: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def verify() -> int:
    """Print what differs from the seals of the working folder, and which copies there are; 1 if anything differs.

    Raises:
        InputError: there are no seals, or one cannot be read.
    """
    findings = compare(list(sealed()))
    for fault in findings.faults:
        print(fault)
    absent = f", {len(findings.absent)} outputs are not here" if findings.absent else ""
    print(f"{findings.same} files and folders are as sealed, {len(findings.faults)} differ{absent}")
    for line in copies():
        print(line)
    if findings.faults:
        remove(REMEMBERED)  # or a run might believe what it saw before
        print("`snakemake` makes again what differs")
    return int(bool(findings.faults))


def sealed() -> Iterator[Seal]:
    """All seals of the working folder."""
    files = sorted(SEALS.glob("*.json"))
    if not files:
        raise InputError(f"{SEALS}: holds no seals; `snakemake` makes them with the results")
    for file in files:
        try:
            yield from SHAPE.validate_json(file.read_bytes()).values()
        except ValidationError:
            raise InputError(
                f"{file}: is not a file of seals; `git checkout {file}` brings it back, or `snakemake` makes it"
            ) from None


def compare(seals: list[Seal]) -> Findings:
    """Compute all digests anew and compare them with those of seals."""
    findings = Findings()
    content = cache(lambda path: digest(path) if path.exists() else None)
    users: dict[str, list[Seal]] = defaultdict(list)  # what differs now -> what was made from it
    seen: set[str] = set()
    for seal in seals:
        for name, expected in seal.outputs.items():
            found = content(Path(name))
            if found is None:
                findings.absent.append(name)
            elif found != expected:
                findings.faults.append(
                    f"{name}: is not what was made; sealed {expected[:16]}, now {found[:16]}"
                )
            else:
                seen.add(name)
        for name, expected, path in made_from(seal):
            found = content(path)
            if found is None or found.startswith(expected):
                seen |= {name} if found else set()
            else:
                users[name].append(seal)
    for name, of in sorted(users.items()):
        first = min(output for seal in of for output in seal.outputs)
        findings.faults.append(f"{name}: is not what {len(of)} jobs read, among them that of {first}")
    findings.same = len(seen - set(users))
    return findings


def made_from(seal: Seal) -> Iterator[tuple[str, str, Path]]:
    """Name, digest and path of what a job read. Of its rule no file is left to compare: it was one part of a text."""
    for name, checksum in seal.inputs.items():
        if checksum is not None:
            yield name, checksum.removeprefix("sha256:"), Path(name)
    for name, expected in seal.sources.items():
        if not name.startswith("rules/"):
            places = (
                Path("src", name),
                SOURCES / name,
                Path(name),
            )  # beside the results; in the package; data
            yield name, expected, next((place for place in places if place.exists()), Path(name))


def copies() -> Iterator[str]:
    """One line for each place beside the results that holds data or models."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    for name, what in COPIES.items():
        default = {"HF_DATASETS_CACHE": home / "datasets", "HF_HUB_CACHE": home / "hub"}.get(name, Path(name))
        place = Path(os.environ.get(name, default)) if name.isupper() else default
        size = sum(f.lstat().st_size for f in place.rglob("*") if f.is_file()) if place.is_dir() else 0
        if size:
            amount = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
            yield f"also there: {place}, {amount}: {what}"
