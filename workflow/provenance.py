"""Which outputs on the disk can be trusted: provenance that travels with the data.

Snakemake decides what to run from file times and from its records in .snakemake/. Neither survives `git clone`,
`dvc pull`, `dvc checkout` or `dvc exp run --temp`: DVC restores contents, not times, and .snakemake/ is local.
Without records Snakemake sees no changed parameters; with arbitrary times it runs too much or, worse, too little.

So results/provenance/STAGE.json, kept in git, says of every job what made it (parameters and digests of sources),
from which inputs, and the digests of its outputs. Before the DAG is built, every output on the disk must be as
Snakemake left it, in time and, where it was seen before or is sealed, in content; or have the content of a sealed job,
whose record is then given back to Snakemake. Anything else is of unknown origin and is made again. .snakemake/ is
thereby a cache, which may be deleted.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dependencies import SOURCES, Digests
from internals import MetadataRecord, Records
from plan import Job, Plan
from pydantic import TypeAdapter
from seals import Seal, file_of, params_of, params_of_job, seal
from state import STATE, State, say, some

from lethe.system.files import STAMP, files_in

SLACK = 1e-5  # s, rounding of file times in Snakemake's records
# output -> its time and digest when the last run began or ended, of those that could be trusted
FOUND = State(STATE / "found.json", TypeAdapter(dict[str, tuple[float, str]]))


@dataclass(frozen=True)
class Made:
    """How outputs were made, in the terms that Snakemake compares.

    Attributes:
        rule: name of the rule, where it is known.
        params: representations of the values of the rule's parameters.
        inputs: file -> `sha256:…`, or None for a folder, for which another input is the pin.
    """

    rule: str
    params: list[str]
    inputs: dict[str, str | None]


def time_of(path: Path) -> float:
    """Modification time as Snakemake reads it: of a folder, that of the stamp it keeps in it."""
    stamp = path / STAMP
    return (stamp if path.is_dir() and not path.is_symlink() and stamp.exists() else path).lstat().st_mtime


def below(path: Path) -> list[Path]:
    """The file, or all files of a folder, itself and all folders in it: removing a file changes its folder's time."""
    if not path.is_dir():
        return [path]
    stamp = [path / STAMP] if (path / STAMP).exists() else []
    return [*(Path(folder) for folder, _, _ in os.walk(path)), *files_in(path), *stamp]


def newest(path: Path) -> float:
    return max(file.lstat().st_mtime for file in below(path))


class Provenance:
    """What is known of the outputs of a plan.

    Args:
        plan: stage -> address -> job.
        outputs: the same with the paths each job makes, absent or present.
    """

    def __init__(self, plan: Plan, outputs: dict[str, dict[str, list[str]]], digests: Digests):
        self.plan, self.digests = plan, digests
        self.outputs = {
            s: {a: list(map(Path, paths)) for a, paths in of.items()} for s, of in outputs.items()
        }
        self.records = Records()
        self.seals = {stage: file_of(stage).read() or {} for stage in plan}
        self.sealed = {k: d for s in self.seals.values() for e in s.values() for k, d in e.outputs.items()}
        self.found: dict[str, tuple[float, str]] | None = None
        self.current: dict[str, dict[str, Made]] = {stage: {} for stage in plan}
        self.digest = cache(digests.of)  # of each file once

    # ---------------------------------------------------------------- what is there

    def left_by_snakemake(self, paths: list[Path]) -> Made | None:
        """How outputs were made, if the times of each are as Snakemake left them at the end of its job."""
        made = None
        if self.records.marked(paths):
            return None
        for path in paths:
            record = self.records.read(path)
            if record is None or not record.endtime or abs(record.endtime - time_of(path)) > SLACK:
                return None
            if newest(path) > record.endtime + 0.01:  # s; the stamp is written a moment before the record
                return None
            checksums = record.input_checksums or {}
            inputs = {name: checksums.get(name) for name in record.input or []}
            made = Made(record.rule or "", sorted(record.params or []), inputs)
        return made

    def is_damaged(self, made: Made, entry: Seal | None, paths: list[Path]) -> bool:
        """Did the content of an output change, though not its time, since the last run saw it or it was sealed?"""
        if self.found is None:
            sealed = entry is not None and (params_of(entry), entry.inputs) == (made.params, made.inputs)
            return sealed and self.left_by_seal(entry, paths) is None
        for path in paths:
            seen, digest = self.found.get(str(path), (0.0, ""))  # what is not in it was made since
            if abs(seen - time_of(path)) <= SLACK and digest != self.digest(path):
                return True
        return False

    def left_by_seal(self, entry: Seal | None, paths: list[Path]) -> Made | None:
        """How outputs were made, if each has the sealed content."""
        if entry is None or any(entry.outputs.get(str(p)) != self.digest(p) for p in paths):
            return None
        return Made(entry.rule, params_of(entry), entry.inputs)

    def changed_inputs(self, made: Made) -> list[str]:
        """Inputs whose content is not the one the outputs were made from; one that is not there counts as sealed."""
        changed = []
        for name, checksum in made.inputs.items():
            path = Path(name)
            digest = self.digest(path) if path.is_file() else self.sealed.get(name)
            if checksum and digest and checksum != f"sha256:{digest}":
                changed.append(name)
        return changed

    def is_current(self, made: Made, job: Job) -> bool:
        return params_of_job(job) <= set(made.params) and not self.changed_inputs(made)

    # ---------------------------------------------------------------- before a run

    def settle(self) -> None:
        """Give Snakemake the records of all outputs that can be trusted, and mark the others to be made again."""
        restored, unknown, outdated = [], [], []
        seen: dict[str, tuple[float, str]] = {}
        self.found = FOUND.read()
        for stage, jobs in self.plan.items():
            for address, job in jobs.items():
                paths = self.outputs[stage][address]
                there = [p for p in paths if p.exists() or p.is_symlink()]
                made, recorded = self.origin(job, self.seals[stage].get(address), there)
                late = [path for path in there if calm(path)]
                if made is None:
                    unknown += self.distrust(there)
                    continue
                if late or not recorded:
                    restored += self.install(made, paths)
                seen |= {str(path): (time_of(path), self.digest(path)) for path in there}
                if self.is_current(made, job):
                    if len(there) == len(paths):
                        self.current[stage][address] = made
                elif self.is_hidden(made, there):
                    outdated += self.distrust(there)
        self.tell(restored, unknown, outdated)
        FOUND.write(seen)
        self.digests.save()

    def origin(self, job: Job, entry: Seal | None, there: list[Path]) -> tuple[Made | None, bool]:
        """How the outputs of a job were made, if that is known, and whether Snakemake's records say so."""
        local = self.left_by_snakemake(there)
        if local and self.is_damaged(local, entry, there):
            local = None
        if local is None or not self.is_current(local, job):
            sealed = self.left_by_seal(entry, there)
            if sealed and (local is None or self.is_current(sealed, job)):
                return sealed, False
        return local, True

    def is_hidden(self, made: Made, there: list[Path]) -> bool:
        """Did an input change without being newer, so that Snakemake would not see it?"""
        changed = [Path(name) for name in self.changed_inputs(made)]
        oldest = min((time_of(p) for p in there), default=0)
        return bool(there) and any(p.exists() and time_of(p) <= oldest for p in changed)

    def distrust(self, paths: list[Path]) -> list[str]:
        """Mark outputs as incomplete; returns those that were not."""
        fresh = set(map(str, paths)) - self.records.marked(paths)
        for name in fresh:
            self.records.mark(Path(name))
        return sorted(fresh)

    def install(self, made: Made, paths: list[Path]) -> list[str]:
        """Write Snakemake's records for outputs whose content is known; returns those that had none."""
        new = [str(p) for p in paths if p.exists() and self.records.read(p) is None]
        for path in paths:
            when = time_of(path) if path.exists() else 0.0
            record = MetadataRecord(
                rule=made.rule,
                params=made.params,
                input=sorted(made.inputs),
                input_checksums={name: checksum for name, checksum in made.inputs.items() if checksum},
                starttime=when,
                endtime=when,
                incomplete=False,
                log=[],
            )
            self.records.write(path, record)
        self.records.forget_what_was_read()
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
        is_same = cache(self.is_same)
        doubted = []
        for stage, jobs in self.plan.items():
            for address, job in jobs.items():
                made = [p for p in self.outputs[stage][address] if p.exists() and time_of(p) >= began]
                if made and not all(is_same(*source) for source in json.loads(job.sources).items()):
                    doubted += self.distrust(made)
        if doubted:
            say(
                f"{len(doubted)} outputs were made while their sources changed, and will be made again: {some(doubted)}"
            )
        return bool(doubted)

    def is_same(self, name: str, digest: str) -> bool:
        """Has a source the digest of the plan? A rule has: it was read once. So has what is not there any more."""
        found = [path for path in (SOURCES / name, Path(name)) if path.exists()]
        return not found or self.digests.of(found[0], anew=True).startswith(digest)

    def is_complete(self, stage: str) -> bool:
        return set(self.current[stage]) == set(self.plan[stage])

    def seal(self, stage: str) -> None:
        """Write how the outputs of a stage were made; what is known of jobs that wait to be made again is kept."""
        entries = {}
        for address, job in self.plan[stage].items():
            made = self.current[stage].get(address)
            if made:
                outputs = {str(p): self.digest(p) for p in self.outputs[stage][address]}
                entries[address] = seal(made.rule, job, made.params, made.inputs, outputs)
            elif address in self.seals[stage]:
                entries[address] = self.seals[stage][address]
        file_of(stage).write(entries)
        self.digests.save()


def calm(path: Path) -> bool:
    """Set times of the future, of another machine's clock, to now; what is made from the file would seem older than it.

    Returns whether there were some.
    """
    late = [file for file in below(path) if file.lstat().st_mtime > time.time()]
    for file in late:
        os.utime(file, follow_symlinks=False)
    return bool(late)
