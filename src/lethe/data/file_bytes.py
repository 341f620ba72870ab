"""The bytes of a data file, bounded before they are kept."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import stat
import zlib
from pathlib import Path

from lethe.system.errors import InputError
from lethe.system.quoting import reason

MOST = 2**30  # bytes, where nothing else is said
CHUNK = 2**20
OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_bytes(path: Path, key: str, most: int = MOST) -> tuple[bytes, str]:
    """Content of a file, of .gz the expanded one, without a byte-order mark; and the SHA-256 of the file.

    Args:
        key: place of the file's name in params.yaml, for messages.
        most: bytes that the content may have, >= 1.
    Raises:
        InputError: it is missing, no regular file, too large, damaged, or in UTF-16.
    """
    check_size(path, key, most)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if path.suffix.lower() == ".gz":
        try:
            if not expands_within(path, most):
                raise too_large(path, key, most)
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{key}: {path} cannot be expanded: {reason(error)}") from None
    if content.startswith(OTHER_ENCODINGS):
        raise InputError(f"{key}: {path} is text in UTF-16; allowed: UTF-8")
    return content.removeprefix(codecs.BOM_UTF8), digest


def check_size(path: Path, key: str, most: int) -> None:
    """Raise InputError unless it is a regular file of at most so many bytes."""
    check_regular(path, key)
    if path.stat().st_size > most:
        raise too_large(path, key, most)


def check_regular(path: Path, key: str) -> None:
    """Raise InputError unless it is a file that can be read again and again, not a folder, a pipe or a device."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{key}: {path} does not exist; a file is needed") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{key}: {path} cannot be read: {reason(error)}") from None
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
        what = kinds.get(stat.S_IFMT(mode), "device")
        raise InputError(f"{key}: {path} is a {what}; a regular file is needed")


def expands_within(path: Path, most: int) -> bool:
    """Whether a .gz file holds at most so many bytes; counted without keeping them."""
    count = 0
    with gzip.open(path) as handle:
        while chunk := handle.read(CHUNK):
            count += len(chunk)
            if count > most:
                return False
    return True


def too_large(path: Path, key: str, most: int) -> InputError:
    return InputError(f"{key}: {path} holds more than {most} bytes; allowed: at most so many (max_bytes)")
