"""Tables in files, CSV, JSON Lines, JSON and Parquet: every cell as the file holds it, whatever else is in its column.

No column gets a type of its own: a number stays a number of all its digits though another row has none.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lethe.data.class_names import with_class_names
from lethe.data.file_bytes import MOST, read_bytes
from lethe.system.errors import InputError
from lethe.system.quoting import reason

MOST_COLUMNS = 10_000
LONGEST = 2**24  # characters of a text, and bytes of a line of JSON: 16 MiB
BATCH = 1000  # rows of a Parquet file that are read before their size is looked at


@dataclass(frozen=True)
class Table:
    """columns: name -> N values, None or NaN where there is none; sha256: of the file; it may have more names."""

    columns: dict[str, list[Any]]
    names: list[str]
    sha256: str

    def __len__(self) -> int:
        return max(map(len, self.columns.values()), default=0)


def read_table_file(
    path: Path, key: str, wanted: set[str], columns: tuple[str, ...] | None = None, most: int = MOST
) -> Table:
    """The wanted columns of a file, those of them that it has.

    Args:
        key: place of the file's name in params.yaml, for messages.
        wanted: names of columns.
        columns: names of all columns of a CSV file without a header.
        most: bytes that the file may hold, expanded.
    Raises:
        InputError: it cannot be read; the message holds nothing of its content.
    """
    content, sha256 = read_bytes(path, key, most)
    ending = path.name.lower().removesuffix(".gz").rsplit(".")[-1]
    try:
        match ending:
            case "csv":
                found, names = read_csv(content, wanted, columns)
            case "parquet":
                found, names = read_parquet(content, wanted, most)
            case _:
                found, names = read_json(content, wanted, by_line=ending == "jsonl")
    except InputError as error:
        raise InputError(f"{key}: {path}: {error}") from None
    except Exception as error:  # of several libraries, whose messages may quote the data
        raise InputError(f"{key}: {path} cannot be read as {ending}: {reason(error)}") from None
    return Table(found, names, sha256)


def read_csv(
    content: bytes, wanted: set[str], columns: tuple[str, ...] | None
) -> tuple[dict[str, list[Any]], list[str]]:
    """All cells as text: 007 stays 007, and NA is a word."""
    import pandas as pd

    names = list(columns or header(content))
    if not names:
        raise InputError("holds no row")
    check_names(names, wanted)
    table = pd.read_csv(
        io.BytesIO(content), header=None if columns else 0, dtype=str, keep_default_na=False, low_memory=False
    )
    if len(table) and not isinstance(table.index, pd.RangeIndex):  # all values would be a column to the right
        raise InputError("rows have more values than the header has names")
    if table.shape[1] != len(names):
        raise InputError(f"has {table.shape[1]} columns; `columns` or its header names {len(names)}")
    return {name: table.iloc[:, names.index(name)].tolist() for name in wanted & set(names)}, names


def header(content: bytes) -> list[str]:
    """The first row that is not empty."""
    csv.field_size_limit(LONGEST)
    start = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    try:
        return next((row for row in itertools.islice(csv.reader(start), 1000) if row), [])
    except csv.Error as error:
        raise InputError("its first row is no header: a name is too long or holds what none may") from error


def read_parquet(content: bytes, wanted: set[str], most: int) -> tuple[dict[str, list[Any]], list[str]]:
    """Also columns that pandas takes for its index; class names as the library `datasets` stores them."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(pa.BufferReader(content))
    names = file.schema_arrow.names
    check_names(names, wanted)
    size, batches = 0, []
    for batch in file.iter_batches(batch_size=BATCH, columns=[name for name in names if name in wanted]):
        batch = without_dictionaries(batch)
        size += batch.nbytes
        if size > most:
            raise InputError(f"holds more than {most} bytes; allowed: at most so many (max_bytes)")
        batches.append(batch)
    schema = pa.schema(
        [field for field in file.schema_arrow if field.name in wanted], file.schema_arrow.metadata
    )
    table = pa.Table.from_batches(batches) if batches else schema.empty_table()
    found = {name: table.column(name).to_pylist() for name in table.column_names}
    if b"huggingface" in (file.schema_arrow.metadata or {}):
        from datasets import Features

        found = with_class_names(found, Features.from_arrow_schema(file.schema_arrow))
    return found, names


def without_dictionaries(batch: Any) -> Any:
    """Rows of pyarrow in which each has its value, as it will take its room."""
    import pyarrow as pa

    arrays = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def read_json(content: bytes, wanted: set[str], by_line: bool) -> tuple[dict[str, list[Any]], list[str]]:
    """Objects, one a line or in one list, which may stand under the key `data`.

    A file of objects in lines that is not called so is read as what it is.
    """
    if not by_line:
        try:
            whole = json.loads(content)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                raise
        else:
            rows = whole.get("data", whole) if isinstance(whole, dict) else whole
            return picked(rows, wanted)
    return picked(
        [parsed(line, number) for number, line in enumerate(io.BytesIO(content), 1) if line.strip()], wanted
    )


def parsed(line: bytes, number: int) -> Any:
    if len(line) > LONGEST:
        raise InputError(f"line {number} has {len(line)} bytes; allowed: at most {LONGEST}")
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"line {number}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"line {number}: {reason(error)}") from None


def picked(rows: Any, wanted: set[str]) -> tuple[dict[str, list[Any]], list[str]]:
    """The wanted keys of a list of objects; None where an object lacks one."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError("a list of objects is needed")
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    return {name: [row.get(name) for row in rows] for name in wanted & set(names)}, names


def check_names(names: list[str], wanted: set[str]) -> None:
    """Raise InputError if there are too many columns, or a wanted one is there twice."""
    if len(names) > MOST_COLUMNS:
        raise InputError(f"has {len(names)} columns; allowed: at most {MOST_COLUMNS}")
    if twice := sorted(name for name in wanted if names.count(name) > 1):
        raise InputError(f"has {names.count(twice[0])} columns {twice[0]!r}; each name may appear once")
