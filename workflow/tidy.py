"""What is no output of the plan any more is set aside, so that nothing of a removed run stays among the results."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from internals import Records
from state import KEPT_DAYS, ORPHANS, clear_old, say, set_aside, some

from lethe.params.addresses import ROOTS
from lethe.system.files import is_litter

KEPT = {".gitignore"}  # in a stage's folder, but no output: DVC's
CHECKPOINTS = Path("checkpoints")  # of trainings that were interrupted, each at the path of its outputs


def tidy(stage: str, outputs: list[Path], records: Records) -> None:
    """Set aside files in a stage's folder that are not among its outputs, and checkpoints of runs that have none."""
    clear_old()
    expected = set(outputs)
    homes = {path.parent for path in outputs}
    strangers = [path for path in found_in(Path(ROOTS[stage]), expected) if path.name not in KEPT]
    begun = found_in(CHECKPOINTS / ROOTS[stage], {CHECKPOINTS / home for home in homes})
    moved = [*strangers, *begun]
    for path in moved:
        set_aside(path)
        records.unmark(path)
    for folder in (Path(ROOTS[stage]), CHECKPOINTS / ROOTS[stage]):
        remove_empty(folder, expected)
    if moved:
        until = date.today() + timedelta(days=KEPT_DAYS)
        say(
            f"{len(moved)} files are no outputs of {stage} any more; moved to {ORPHANS}, kept there until {until}:"
            f" {some(map(str, moved))}"
        )


def found_in(top: Path, expected: set[Path]) -> Iterator[Path]:
    """Files and links below a folder that are neither expected nor in an expected folder, nor of no concern."""
    for folder, below, names in os.walk(top):
        here = Path(folder)
        if here in expected:
            below[:] = []
            continue
        links = [name for name in below if (here / name).is_symlink() and here / name not in expected]
        yield from (
            here / name for name in [*names, *links] if here / name not in expected and not is_litter(name)
        )


def remove_empty(top: Path, expected: set[Path]) -> None:
    """Remove folders below a folder, but expected ones, that hold nothing of concern."""
    for folder, _, _ in os.walk(top, topdown=False):
        here, left = Path(folder), os.listdir(folder)
        if here != top and expected.isdisjoint((here, *here.parents)) and all(map(is_litter, left)):
            shutil.rmtree(here)
