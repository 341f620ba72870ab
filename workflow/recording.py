"""Tells DVC what a run has made.

python workflow/recording.py STAGE …     # without git, where git cannot follow: an archive, results on another disk
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from plan import FILE, PLAN
from state import say

from lethe.system.seals import SEALS

LOCK = Path("dvc.lock")
STAGES = Path("dvc.yaml")
PARAMETERS = re.compile(
    r"^( *- parameters: )\S+", re.MULTILINE
)  # of dvc.yaml: the file that its stages are made of


def name_parameters(file: str) -> str:
    """Have dvc.yaml name the parameter file of the results, of which DVC then speaks; what hinders it, or nothing."""
    if not STAGES.exists():
        return f"there is no {STAGES}"
    text = STAGES.read_text(encoding="utf-8")
    named, count = PARAMETERS.subn(lambda line: line[1] + file, text)
    if not count and file != FILE:
        return f"{STAGES} has no `vars: [parameters: {file}]`"
    if named != text:
        STAGES.write_text(named, encoding="utf-8")
        say(f"{STAGES} names {file} now, so that `dvc repro` goes on with it")
    return ""


def record(stages: list[str]) -> str:
    """Have DVC write the outputs of stages in dvc.lock; what hinders it, or nothing."""
    reason = said(["dvc", "commit", "--force", *stages])
    if "git repository" in reason:
        reason = said([sys.executable, __file__, *stages])
    return reason


def said(command: list[str]) -> str:
    """Last line of a command's complaint, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return errors[-1].removeprefix("ERROR:").strip() if errors else f"it ends with status {done.returncode}"


def is_recorded(stages: list[str]) -> bool:
    """Does dvc.lock hold the present plan and seals of stages? The rest of it is DVC's own to compare."""
    try:
        known = yaml.load(LOCK.read_bytes(), yaml.CSafeLoader)["stages"]
        return all(holds(known[stage], stage) for stage in stages)
    except (OSError, KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError):
        return False


def holds(known: dict[str, Any], stage: str) -> bool:
    entries = {str(entry["path"]): entry["md5"] for entry in [*known["deps"], *known["outs"]]}
    files = (PLAN / f"{stage}.json", SEALS / f"{stage}.json")
    return all(entries[file.as_posix()] == hashlib.md5(file.read_bytes()).hexdigest() for file in files)


def without_git(stages: list[str]) -> None:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(os.getcwd(), config={"core": {"no_scm": True}}) as repo:
            for stage in stages:
                repo.commit(stage, force=True)
    except DvcException as error:
        sys.exit(f"ERROR: {error}")


if __name__ == "__main__":
    without_git(sys.argv[1:])
