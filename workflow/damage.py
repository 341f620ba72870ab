"""Files that DVC writes in place: a kill at the wrong moment, or a merge, leaves them unreadable, which stops DVC."""

from __future__ import annotations

import json
import time
from pathlib import Path

import yaml
from dvc.rwlock import SCHEMA
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from recording import LOCK
from state import ORPHANS, say, set_aside
from voluptuous import Invalid

# which process reads or writes what; those of dead processes count for nothing
HOLDERS = Path(".dvc/tmp/rwlock")
PATIENCE = 0.5  # s, a file that is being written gets as long to become whole


def is_whole(file: Path) -> bool:
    """Does the file hold what DVC can read? A file that is not there counts as whole."""
    try:
        content = file.read_bytes()
        if file == LOCK:
            COMPILED_LOCKFILE_SCHEMA(yaml.load(content, yaml.CSafeLoader))
        else:
            SCHEMA(json.loads(content))
        return True
    except FileNotFoundError:
        return True
    except (
        ValueError,
        RecursionError,
        AttributeError,
        TypeError,
        IsADirectoryError,
        yaml.YAMLError,
        Invalid,
    ):
        return False


def set_damaged_aside() -> list[Path]:
    """Move damaged files into a folder from which nothing is read, and say so; returns them."""
    damaged = [file for file in (LOCK, HOLDERS) if not is_whole(file)]
    if damaged:
        time.sleep(PATIENCE)
    damaged = [file for file in damaged if not is_whole(file)]
    for file in damaged:
        set_aside(file)
        say(
            f"{file} is unreadable, left so by a kill, a merge or a hand; moved to {ORPHANS} and written anew"
        )
    return damaged
