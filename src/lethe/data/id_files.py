"""Files that name training examples: a deletion request, or how well each is memorised.

Errors say where in the file, not what stands there: a file of texts, read by mistake, is private.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd

from lethe.data.cells import is_missing, name_of
from lethe.data.file_bytes import read_bytes
from lethe.data.table_files import Table, read_table_file
from lethe.params.sources import TABLES
from lethe.system.errors import InputError
from lethe.system.quoting import columns, quoted, reason

KEY = "forget.file"


def requested(path: Path, known: set[str]) -> set[str]:
    """The ids of a deletion request: column `id`, or else the first, of a table; the lines of any other file.

    Blank cells and lines are skipped; space around an id and its normal form (Unicode's) do not matter, unless they
    tell apart what is known.

    Raises:
        InputError: the file cannot be read, or an id is unknown.
    """
    name, values = cells_of(path)
    if name is not None and name in known:
        what = f"{path}: its header {quoted(name)} is an id; needed is a header before it"
        raise InputError(f"{KEY}: {what}")
    by_form = {form(name): name for name in sorted(known)}
    ids = [value if value in known else by_form.get(form(value), value) for value in values]
    unknown = [str(place) for place, value in enumerate(ids, 1) if value not in known]
    if unknown:
        some = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        what = f"{len(unknown)} of the {len(ids)} ids of {path} are not in the training set: entries {some}"
        raise InputError(f"{KEY}: {what}; allowed: ids of training examples")
    return set(ids)


def form(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def cells_of(path: Path) -> tuple[str | None, list[str]]:
    """(name of the column if it is the first and not called `id`, its ids)."""
    if not path.name.lower().removesuffix(".gz").endswith(TABLES):
        content, _ = read_bytes(path, KEY)
        try:
            return None, [line for line in content.decode().splitlines() if line.strip()]
        except UnicodeDecodeError as error:
            what = f"{path} cannot be read: {reason(error)}"
            raise InputError(f"{KEY}: {what}; a table, or a text of one id a line, is needed") from None
    table = read_table_file(path, KEY, {"id"})
    if "id" in table.columns:
        return None, ids_in(table, "id", path)
    if not table.names:
        return None, []
    first = table.names[0]
    return first, ids_in(read_table_file(path, KEY, {first}), first, path)


def ids_in(table: Table, column: str, path: Path) -> list[str]:
    return [name for name in optional_ids(table, column, path) if name is not None]


def optional_ids(table: Table, column: str, path: Path) -> list[str | None]:
    """Ids of a column; None where there is none."""
    found = []
    for place, value in enumerate(table.columns[column], 1):
        try:
            found.append(name_of(value))
        except InputError as error:
            raise InputError(f"{KEY}: {path}: entry {place} {error}") from None
    return found


def values_by_id(path: Path) -> pd.Series:
    """Column `value` of a table by its column `id`; the first value of an id counts, a missing one does not.

    Raises:
        InputError: the file cannot be read, lacks a column, or holds something else than numbers.
    """
    table = read_table_file(path, KEY, {"id", "value"})
    if not {"id", "value"} <= set(table.columns):
        found = columns(table.names, "value")
        raise InputError(f"{KEY}: {path} has no columns id and value; allowed: {found}")
    values = [None if is_missing(value) else value for value in table.columns["value"]]
    if wrong := [value for value in values if value is not None and not isinstance(value, int | float)]:
        raise InputError(f"{KEY}: {path} has values of type {type(wrong[0]).__name__}; numbers are needed")
    series = pd.Series(values, index=optional_ids(table, "id", path), dtype=float).dropna()
    return series[~series.index.isna() & ~series.index.duplicated()]
