"""Which outputs on the disk can be trusted: provenance that travels with the data.

Snakemake decides what to run from file times and from its records in .snakemake/. Neither survives `git clone`,
`dvc pull`, `dvc checkout` or `dvc exp run --temp`: DVC restores contents, not times, and .snakemake/ is local.
Without records Snakemake sees no changed parameters; with arbitrary times it runs too much or, worse, too little.

So results/provenance/STAGE.json, kept in git, says of every job what made it (parameters and digests of sources),
from which inputs, and the digests of its outputs. Before the DAG is built, every output on the disk must be as
Snakemake left it, or have the content of a sealed job, whose record is then given back to Snakemake. Anything
else is of unknown origin and is made again. .snakemake/ is thereby a cache, which may be deleted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dependencies import SOURCES, STAMP, Digests, files_in
from plan import Plan
from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence

from lethe.params.addresses import ROOTS

SEALS = Path("results/provenance")
ORPHANS = Path(".snakemake/orphans")
KEPT = {".gitignore"}  # in a stage's folder, but no output: DVC's
SLACK = 1e-5  # s, rounding of file times in Snakemake's records


@dataclass(frozen=True)
class Made:
    """How outputs were made, in the terms that Snakemake compares.

    Attributes:
        params: representations of the values of the rule's parameters.
        inputs: file -> `sha256:…`, or None for a folder, for which another input is the pin.
    """

    params: list[str]
    inputs: dict[str, str | None]


def say(text: str) -> None:
    print(f"[provenance] {text}", file=sys.stderr)


def some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def seal_file(stage: str) -> Path:
    return SEALS / f"{stage}.json"


def sealed(stage: str) -> dict[str, Any]:
    """address -> {params, inputs, outputs} of a stage; empty where there is no readable file."""
    try:
        return json.loads(seal_file(stage).read_text())
    except (FileNotFoundError, json.JSONDecodeError):  # as after a clone of the sources, or a merge conflict
        return {}


def time_of(path: Path) -> float:
    """Modification time as Snakemake reads it: of a folder, that of the stamp it keeps in it."""
    stamp = path / STAMP
    return (stamp if path.is_dir() and not path.is_symlink() and stamp.exists() else path).lstat().st_mtime


def newest(path: Path) -> float:
    """Latest modification time of a file, or of anything in a folder: removing a file changes its folder's."""
    if not path.is_dir():
        return path.lstat().st_mtime
    folders = [Path(folder) for folder, _, _ in os.walk(path)]
    return max(f.lstat().st_mtime for f in [*folders, *files_in(path)])


class Provenance:
    """What is known of the outputs of a plan.

    Args:
        plan: stage -> address -> job.
        outputs: the same with the paths each job makes, absent or present.
    """

    def __init__(self, plan: Plan, outputs: dict[str, dict[str, list[str]]], digests: Digests):
        self.plan, self.outputs, self.digests = plan, outputs, digests
        self.records = FilePersistence(path=Path(".snakemake").absolute())
        self.seals = {stage: sealed(stage) for stage in plan}
        self.known = {k: d for s in self.seals.values() for e in s.values() for k, d in e["outputs"].items()}
        self.current: dict[str, set[str]] = {stage: set() for stage in plan}

    # ---------------------------------------------------------------- what is there

    def left_by_snakemake(self, paths: list[Path]) -> Made | None:
        """How outputs were made, if each is exactly as Snakemake left it at the end of its job."""
        made = None
        if self.records._filter_incomplete_keys(map(str, paths)):
            return None
        for path in paths:
            record = self.records._io_read(self.records._metadata_path, str(path))
            if not record.get("endtime") or abs(record["endtime"] - time_of(path)) > SLACK:
                return None
            if newest(path) > record["endtime"] + 0.01:  # s; the stamp is written a moment before the record
                return None
            checksums = record.get("input_checksums") or {}
            made = Made(record.get("params") or [], {n: checksums.get(n) for n in record.get("input") or []})
        return made

    def left_by_seal(self, entry: dict[str, Any] | None, paths: list[Path]) -> Made | None:
        """How outputs were made, if each has the sealed content."""
        if entry is None or any(entry["outputs"].get(str(p)) != self.digests.of(p) for p in paths):
            return None
        return Made(entry["params"], entry["inputs"])

    def changed_inputs(self, made: Made) -> list[str]:
        """Inputs whose content is not the one the outputs were made from; one that is not there counts as sealed."""
        changed = []
        for name, checksum in made.inputs.items():
            path = Path(name)
            digest = self.digests.of(path) if path.is_file() else self.known.get(name)
            if checksum and digest and checksum != f"sha256:{digest}":
                changed.append(name)
        return changed

    def is_current(self, made: Made, job) -> bool:
        return {repr(job.cfg), repr(job.sources)} <= set(made.params) and not self.changed_inputs(made)

    # ---------------------------------------------------------------- before a run

    def settle(self) -> None:
        """Give Snakemake the records of all outputs that can be trusted, and mark the others to be made again."""
        restored, unknown, outdated = [], [], []
        for stage, jobs in self.plan.items():
            for address, job in jobs.items():
                paths = [Path(p) for p in self.outputs[stage][address]]
                there = [p for p in paths if p.exists() or p.is_symlink()]
                local = self.left_by_snakemake(there)
                made, current = local, local is not None and self.is_current(local, job)
                if not current:
                    entry = self.left_by_seal(self.seals[stage].get(address), there)
                    if entry and (local is None or self.is_current(entry, job)):
                        made, current = entry, self.is_current(entry, job)
                if made is None:
                    unknown += self.distrust(there)
                    continue
                if made is not local:
                    restored += self.install(made, paths)
                if current:
                    if len(there) == len(paths):
                        self.current[stage].add(address)
                elif self.is_hidden(made, there):
                    outdated += self.distrust(there)
        self.tell(restored, unknown, outdated)
        self.digests.save()

    def is_hidden(self, made: Made, there: list[Path]) -> bool:
        """Did an input change without being newer, so that Snakemake would not see it?"""
        changed = [Path(name) for name in self.changed_inputs(made)]
        oldest = min((time_of(p) for p in there), default=0)
        return bool(there) and any(p.exists() and time_of(p) <= oldest for p in changed)

    def distrust(self, paths: list[Path]) -> list[str]:
        """Mark outputs as incomplete; returns those that were not."""
        fresh = set(map(str, paths)) - self.records._filter_incomplete_keys(map(str, paths))
        for name in fresh:
            self.records._mark_incomplete(name, None)
        return sorted(fresh)

    def install(self, made: Made, paths: list[Path]) -> list[str]:
        """Write Snakemake's records for outputs whose content is known; returns those that had none."""
        new = [str(p) for p in paths if p.exists() and self.records._read_record(str(p)) is None]
        for path in paths:
            time = time_of(path) if path.exists() else 0.0
            record = MetadataRecord(
                params=made.params,
                input=sorted(made.inputs),
                input_checksums={name: checksum for name, checksum in made.inputs.items() if checksum},
                record_format_version=RECORD_FORMAT_VERSION,
                starttime=time,
                endtime=time,
                incomplete=False,
                log=[],
            )
            self.records._write_record(str(path), record)
            self.records._unmark_incomplete(str(path))
        self.records._clear_cache()
        return new

    def tell(self, restored: list[str], unknown: list[str], outdated: list[str]) -> None:
        if restored:
            say(f"{len(restored)} outputs have the content of an earlier run")
        if unknown:
            say(
                f"{len(unknown)} outputs are not as any run left them and will be made again: {some(unknown)}"
            )
        if outdated:
            say(
                f"{len(outdated)} outputs were made from other inputs and will be made again: {some(outdated)}"
            )

    # ---------------------------------------------------------------- after a run

    def doubt(self, began: float) -> bool:
        """Distrust what was made in this run from code or data that have been edited since it began; was there any?"""
        same: dict[tuple[str, str], bool] = {}
        doubted = []
        for stage, jobs in self.plan.items():
            for address, job in jobs.items():
                made = [
                    p for p in map(Path, self.outputs[stage][address]) if p.exists() and time_of(p) >= began
                ]
                for source in json.loads(job.sources).items() if made else []:
                    if source not in same:
                        same[source] = self.is_same(*source)
                    if not same[source]:
                        doubted += self.distrust(made)
                        break
        if doubted:
            say(
                f"{len(doubted)} outputs were made while their sources changed, and will be made again: {some(doubted)}"
            )
        return bool(doubted)

    def is_same(self, name: str, digest: str) -> bool:
        """Has a source the digest of the plan? A rule has: it was read once. So has what is not there any more."""
        found = [path for path in (SOURCES / name, Path(name)) if path.exists()]
        return not found or self.digests.of(found[0]).startswith(digest)

    def is_complete(self, stage: str) -> bool:
        return self.current[stage] == set(self.plan[stage])

    def seal(self, stage: str) -> None:
        """Write how the outputs of a stage were made; what is known of jobs that wait to be made again is kept."""
        before, jobs = self.seals[stage], {}
        for address in self.plan[stage]:
            paths = [Path(p) for p in self.outputs[stage][address]]
            made = self.left_by_snakemake(paths) if address in self.current[stage] else None
            if made:
                outputs = {str(p): self.digests.of(p) for p in paths}
                jobs[address] = {"params": made.params, "inputs": made.inputs, "outputs": outputs}
            elif address in before:
                jobs[address] = before[address]
        text = json.dumps(jobs, indent=1, sort_keys=True) + "\n"
        file = seal_file(stage)
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".part")
            temporary.write_text(text)
            os.replace(temporary, file)
        self.digests.save()

    def tidy(self, stage: str) -> None:
        """Move what is no output of the plan out of a stage's folder, such as the runs of a removed method."""
        expected = {Path(p) for paths in self.outputs[stage].values() for p in paths}
        moved: list[str] = []
        for folder, _, names in os.walk(ROOTS[stage], topdown=False):
            here = Path(folder)
            if any(parent in expected for parent in (here, *here.parents)):
                continue
            strangers = [here / n for n in names if here / n not in expected and n not in KEPT]
            for path in strangers:
                (ORPHANS / path).parent.mkdir(parents=True, exist_ok=True)
                path.replace(ORPHANS / path)
                self.records._unmark_incomplete(str(path))
            moved += map(str, strangers)
            if here != Path(ROOTS[stage]) and not any(here.iterdir()):
                here.rmdir()
        if moved:
            say(f"{len(moved)} files are no outputs of {stage} any more; moved to {ORPHANS}: {some(moved)}")
