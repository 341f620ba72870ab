"""Outputs that are either absent or whole: written under a temporary name, flushed to disk, then moved."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

HOST = socket.gethostname().replace(".", "-")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`, a file or a folder to be made; move it to `path` on success.

    An existing `path` stays as it is until the move. On an error the temporary is removed. Several processes, on one
    host or on several, may make the same `path` at once: each moves its own, and the last one stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.part")
    try:
        yield temporary
        for file in temporary.rglob("*") if temporary.is_dir() else [temporary]:
            if file.is_file():
                flush(file)
        move(temporary, path)
    finally:
        remove(temporary)


def remove_leftovers(path: Path) -> None:
    """Remove what processes of this host that were killed have left beside `path`."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{HOST}.[0-9]*.[op]*"):
        if not psutil.pid_exists(int(left.name.split(".")[-2])):
            remove(left)


def move(temporary: Path, path: Path) -> None:
    """Put a file or a folder in the place of what is there, which in the case of a folder is first moved away."""
    while True:
        try:
            os.replace(temporary, path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
                raise
        old = temporary.with_suffix(".old")
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.replace(path, old)
            remove(old)


def flush(file: Path) -> None:
    """Force a file's content to the disk, so that a full disk is an error here and not a truncated file."""
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())


def remove(path: Path) -> None:
    """Remove a file, a link or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Write canonical JSON: sorted keys, one-space indent, NaN refused, newline at the end."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def digest(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, or of the names and contents of all files in a folder."""
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    names = sorted(
        f.relative_to(path) for f in path.rglob("*") if f.is_file() and f.name != ".snakemake_timestamp"
    )
    listing = "".join(f"{name.as_posix()}\0{digest(path / name)}\n" for name in names)
    return hashlib.sha256(listing.encode()).hexdigest()
