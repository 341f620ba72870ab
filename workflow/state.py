"""What the workflow keeps between two runs, in files that a kill, a merge or a hand may have left unreadable.

What cannot be read is set aside in .snakemake/orphans, from which nothing is read, and said; so is what is no output
any more. Both stay there for a week, for a user who misses them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from lethe.system.files import remove

STATE = Path(".snakemake")
ORPHANS = STATE / "orphans"
KEPT_DAYS = 7
KEPT_BYTES = 10 << 30
Held = TypeVar("Held")


def say(text: str) -> None:
    print(f"[provenance] {text}", file=sys.stderr)


def some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


class State(Generic[Held]):
    """A JSON file of a given shape."""

    def __init__(self, file: Path, shape: TypeAdapter[Held]):
        self.file, self.shape = file, shape

    def read(self) -> Held | None:
        """What the file holds; None if there is none, or if it held something else and was set aside."""
        try:
            return self.shape.validate_json(self.file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValidationError, IsADirectoryError):
            set_aside(self.file)
            say(f"{self.file} is unreadable, left so by a kill, a merge or a hand; moved to {ORPHANS}")
            return None

    def write(self, value: Held) -> None:
        """Write it whole or not at all, and only if it changes."""
        plain = self.shape.dump_python(value, mode="json")
        content = (json.dumps(plain, indent=1, sort_keys=True) + "\n").encode()
        if self.file.is_file() and self.file.read_bytes() == content:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(f".{os.getpid()}.part")
        temporary.write_bytes(content)
        os.replace(temporary, self.file)


def set_aside(path: Path) -> None:
    """Move a file or a folder into the folder from which nothing is read, in place of its like from before."""
    inside = path.absolute().relative_to(Path.cwd()) if path.is_absolute() else path
    target = ORPHANS / inside
    remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)  # .snakemake may lie on another disk
    for file in files_below(target):
        os.utime(file, follow_symlinks=False)  # from when on it is kept


def files_below(path: Path) -> list[Path]:
    """The file or link itself, or all of them below a folder."""
    if path.is_symlink() or not path.is_dir():
        return [path] if path.is_symlink() or path.exists() else []
    return [Path(folder, name) for folder, _, names in os.walk(path) for name in names]


def clear_old() -> None:
    """Remove what was set aside a week ago, and the oldest of what is more than 10 GiB."""
    files = sorted(files_below(ORPHANS), key=lambda file: file.lstat().st_mtime, reverse=True)
    kept, oldest = 0, time.time() - KEPT_DAYS * 86400
    for file in files:
        kept += file.lstat().st_size
        if file.lstat().st_mtime < oldest or kept > KEPT_BYTES:
            file.unlink()
    for folder, _, _ in os.walk(ORPHANS, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)
