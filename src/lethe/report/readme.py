"""The result table in a README, between two markers; nothing else of the file changes."""

from __future__ import annotations

from pathlib import Path

from lethe.system.errors import InputError
from lethe.system.files import replacing

OPEN, CLOSE = b"<!-- results -->", b"<!-- /results -->"


def readme(file: Path, summary: Path) -> None:
    """Renew the result table of a README.

    Args:
        file: the README.
        summary: summary.md of a report.
    Raises:
        InputError: a file is missing, or the README has no place for the table.
    """
    try:
        text = summary.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{summary}: no such file; `snakemake` makes it") from None
    insert(file, text)


def insert(path: Path, text: str) -> None:
    """Put `text` between the markers of a file. A file that already holds it is not touched.

    Raises:
        InputError: the file or a marker is missing, or a marker occurs twice or out of order.
    """
    try:
        before = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; its result table was to be written") from None
    if before.count(OPEN) != 1 or before.count(CLOSE) != 1 or before.index(CLOSE) < before.index(OPEN):
        markers = f"{OPEN.decode()} and, after it, {CLOSE.decode()}"
        raise InputError(f"{path}: {markers} must occur once each; the result table goes between them")
    head, rest = before.split(OPEN)
    _, tail = rest.split(CLOSE)
    after = head + OPEN + b"\n" + text.strip("\n").encode() + b"\n" + CLOSE + tail
    if after == before:
        return
    with replacing(path) as temporary:
        temporary.write_bytes(after)
        temporary.chmod(path.stat().st_mode)
