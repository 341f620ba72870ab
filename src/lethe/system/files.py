"""Outputs that are either absent or whole: written under a temporary name, flushed to disk, then moved."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

HOST = socket.gethostname().replace(".", "-")
STAMP = ".snakemake_timestamp"  # Snakemake keeps the time of a folder in it
LITTER = (
    STAMP, "__pycache__", ".DS_Store", ".AppleDouble", "._*", ".nfs*", ".fuse_hidden*", "@eaDir", ".ipynb_checkpoints",
    "Thumbs.db", "desktop.ini", ".directory", ".~lock.*", "*.swp", "*~",
)  # fmt: skip


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
    except OSError as error:
        if error.errno is not None and error.filename is None:  # as of a full disk
            error.filename = str(path)
        raise
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
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            discard(path)


def discard(path: Path) -> None:
    """Remove a file, a link or a folder, of which nothing is left in its place before anything of it is removed.

    What a process that was killed has left of it, `remove_leftovers` removes.
    """
    old = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.old")
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


def files_in(path: Path) -> Iterator[Path]:
    """The file itself, or all files below a folder but those that other tools leave there and that say nothing."""
    if not path.is_dir():
        yield path
        return
    for folder, below, names in os.walk(path):
        below[:] = [name for name in below if not is_litter(name)]
        found = (Path(folder, name) for name in names if not is_litter(name))
        yield from (file for file in found if file.is_file())


def is_litter(name: str) -> bool:
    """Is it Snakemake's time stamp, what Python keeps of code, or what a file manager, NFS or a notebook leaves?"""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in LITTER)


def digest(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, or of the names and contents of all files in a folder."""
    path = Path(path)
    if not path.is_dir():
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    return digest_of_names((f.relative_to(path).as_posix(), digest(f)) for f in files_in(path))


def digest_of_names(named: Iterable[tuple[str, str]]) -> str:
    """Digest of a folder, from the names and digests of its files."""
    listing = "".join(f"{name}\0{content}\n" for name, content in sorted(named))
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()  # a name may be no text
