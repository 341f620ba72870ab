"""Files of deletion requests: one request a file, one thing that is asked for a line.

Columns: `id` (a record), `text` (its words) or `subject` (all records of somebody), of which each line fills one; and
`reference` and `date` (YYYY-MM-DD), the same in all lines. Messages say where in the file, never what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from lethe.data.cells import name_of, subject_of, text_of
from lethe.data.characters import is_blank
from lethe.data.table_files import Table, read_table_file
from lethe.params.requests import Reference, checked_day
from lethe.system.errors import InputError

Asked = Literal["id", "text", "subject"]
ASKED: tuple[Asked, ...] = get_args(Asked)
COMMON = ("reference", "date")
READERS = {"id": name_of, "text": text_of, "subject": subject_of}
ENDINGS = re.compile(r"\.(csv|jsonl)(\.gz)?$", re.IGNORECASE)
KEY = "request"


@dataclass(frozen=True)
class Line:
    """What one line asks for; number: from 1, without a header."""

    number: int
    asked: Asked
    value: str


@dataclass(frozen=True)
class Request:
    """A request; content: the bytes of its file."""

    reference: str
    date: str
    lines: list[Line]
    content: bytes


def read_request(path: Path) -> Request:
    """Read and check a file.

    Raises:
        InputError: it cannot be read, or a line does not ask for one thing; one line, without a text.
    """
    if not ENDINGS.search(path.name):
        raise InputError(f"{KEY}: {path}: needed is a file .csv or .jsonl")
    table = read_table_file(path, KEY, {*ASKED, *COMMON})
    if not len(table):
        raise InputError(f"{KEY}: {path}: holds no line; needed is one for each thing that is asked for")
    lines = list(asked_for(table, path))
    reference, date = (one_of(name, table, path) for name in COMMON)
    try:
        TypeAdapter(Reference).validate_python(reference)
        checked_day(date)
    except ValidationError:
        allowed = "at most 100 letters, digits and . _ -, the first a letter or digit"
        raise InputError(f"{KEY}: {path}: reference: allowed are {allowed}") from None
    except ValueError:
        raise InputError(f"{KEY}: {path}: date: is no day; needed is YYYY-MM-DD") from None
    return Request(reference, date, lines, path.read_bytes())


def one_of(name: str, table: Table, path: Path) -> str:
    """The value that a column has in all lines."""
    values = {cell(value, name_of, name, k, path) for k, value in enumerate(table.columns.get(name, []), 1)}
    if len(values) != 1 or None in values:
        raise InputError(
            f"{KEY}: {path}: {name}: {len(values - {None})} values; needed is one, in every line: a file is one request"
        )
    return str(values.pop())


def asked_for(table: Table, path: Path) -> Iterator[Line]:
    for number in range(1, len(table) + 1):
        found = {
            asked: cell(table.columns[asked][number - 1], READERS[asked], asked, number, path)
            for asked in ASKED
            if asked in table.columns
        }
        given = {asked: value for asked, value in found.items() if value and not is_blank(value)}
        if len(given) != 1:
            what = f"fills {len(given)} of {', '.join(ASKED)}; needed is one"
            raise InputError(f"{KEY}: {path}: line {number} {what}")
        ((asked, value),) = given.items()
        yield Line(number, asked, value)


def cell(value: Any, reader: Any, column: str, number: int, path: Path) -> str | None:
    try:
        return reader(value)
    except InputError as error:
        raise InputError(f"{KEY}: {path}: line {number}: {column} {error}") from None
