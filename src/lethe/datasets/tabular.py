"""Text in tables: a CSV, JSON Lines, JSON or Parquet file, a folder in the Hub's layout, or a data set of the Hub."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lethe.params.data import Source
from lethe.params.sources import kind
from lethe.system.errors import InputError
from lethe.system.files import digest

TAG = re.compile(r"O|[BI]-\S+")


def examples(source: Source, key: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of a table, in its order, with the named columns.

    Args:
        source: where, and which columns hold what.
        key: place in params.yaml, for messages: `dataset` or `dataset.general`.
    Returns:
        (frame of str columns id, text, label, subject; absent text is "", absent subject None), and the origin:
        SHA-256 of what was read, or the commit of the Hub.
    Raises:
        InputError: the file, the data set or a column is missing or cannot be read.
    """
    table, origin = rows(source, key)
    parts = [strings(table, source, key, "text", name) for name in as_tuple(source.text)]
    texts = ["\n".join(filter(None, texts)) for texts in zip(*parts, strict=True)]
    named = names(table, source, key) | {"text": texts}
    if source.label:
        named["label"] = values(table, source, key, "label", source.label)
    return pd.DataFrame(named, dtype=object), origin


def tagged_examples(source: Source, key: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of a table whose columns `text` and `label` hold a list of words and a list of as many tags.

    The tags are those of CoNLL (Tjong Kim Sang & De Meulder, 2003): B-TYPE begins an entity, I-TYPE goes on with it, O
    is outside.

    Returns:
        as `examples`, with the words joined by single spaces as text, no label, and a column tags (lists of str).
    Raises:
        InputError: as `examples`; or a row holds something else, and is named, but not what it holds.
    """
    table, origin = rows(source, key)
    named = names(table, source, key)
    text, *more = as_tuple(source.text)
    if more:
        raise InputError(f"{key}.text: {len(more) + 1} columns; the words of tagged text are in one")
    label = source.label or "label"
    words, tags = lists(table, source, key, "text", text), lists(table, source, key, "label", label)
    for row, ours, theirs in zip(named["id"], words, tags, strict=True):
        where = f"{source.source}: record {row}"
        if len(ours) != len(theirs):
            what = f"{where} has {len(ours)} words and {len(theirs)} tags"
            raise InputError(f"{key}.label: {what}; as many are needed")
        if any(not word or " " in word for word in ours):
            raise InputError(f"{key}.text: {where} has a word that is empty or holds a space; none may")
        if not all(TAG.fullmatch(tag) for tag in theirs):
            raise InputError(f"{key}.label: {where} has an unknown tag; allowed are O, B-TYPE, I-TYPE")
    named |= {"text": [" ".join(each) for each in words], "tags": tags}
    return pd.DataFrame(named, dtype=object), origin


def rows(source: Source, key: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table as it is, and its origin."""
    if kind(source.source) == "table":
        table, origin = read_file(source, key), {"sha256": digest(source.source)}
    else:
        from lethe.datasets import hub

        table, origin = hub.read(source, key)
    return table.reset_index(drop=True), origin


def names(table: pd.DataFrame, source: Source, key: str) -> dict[str, Any]:
    """What every example has, without its text and its label."""
    named: dict[str, Any] = {"id": [str(row) for row in range(len(table))]}
    named |= {"text": None, "label": None, "subject": None}
    for field in ("id", "subject"):
        if name := getattr(source, field):
            named[field] = values(table, source, key, field, name)
    return named


def as_tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def column(table: pd.DataFrame, source: Source, key: str, field: str, name: str) -> pd.Series:
    if name not in table.columns:
        allowed = ", ".join(map(str, table.columns))
        raise InputError(f"{key}.{field}: {source.source} has no column {name!r}; allowed: {allowed}")
    return table[name]


def strings(table: pd.DataFrame, source: Source, key: str, field: str, name: str) -> list[str]:
    """A column of text; a missing value is ""."""
    found = column(table, source, key, field, name)
    found = found.astype(object).where(found.notna(), "")
    for row, value in enumerate(found):
        if not isinstance(value, str):
            what = f"row {row} of column {name!r} of {source.source} holds a {type(value).__name__}"
            raise InputError(f"{key}.{field}: {what}; a column of text is needed")
    return found.tolist()


def lists(table: pd.DataFrame, source: Source, key: str, field: str, name: str) -> list[list[str]]:
    """A column of lists of text."""
    found = column(table, source, key, field, name).tolist()
    for row, value in enumerate(found):
        if not isinstance(value, list | np.ndarray) or not all(isinstance(each, str) for each in value):
            what = f"row {row} of column {name!r} of {source.source} holds no list of text"
            raise InputError(f"{key}.{field}: {what}; words and their tags are needed")
    return [list(value) for value in found]


def values(table: pd.DataFrame, source: Source, key: str, field: str, name: str) -> list[str | None]:
    """A column of names as text; only a subject may be missing."""
    found = column(table, source, key, field, name)
    for row, value in enumerate(found):
        if isinstance(value, list | dict | np.ndarray):
            what = f"row {row} of column {name!r} of {source.source} holds a {type(value).__name__}"
            raise InputError(f"{key}.{field}: {what}; a column of names is needed")
    missing = (found.isna() | (found.astype(object) == "")).tolist()
    if any(missing) and field != "subject":
        row = missing.index(True)
        raise InputError(
            f"{key}.{field}: row {row} of {source.source} has none in column {name!r}; each row needs one"
        )
    return [None if absent else str(value) for absent, value in zip(missing, found, strict=True)]


def read_file(source: Source, key: str) -> pd.DataFrame:
    path = Path(source.source)
    if not path.is_file():
        raise InputError(f"{key}.source: {path} does not exist; a file, a folder or a Hub id is needed")
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".csv"):
            return read_csv(source, key)
        if name.endswith(".parquet"):
            return pd.read_parquet(path)
        return pd.DataFrame.from_records(json_rows(path, name.endswith(".jsonl")))
    except (
        OSError,
        EOFError,
        RecursionError,
        UnicodeDecodeError,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        ValueError,
        zlib.error,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{key}.source: {path} cannot be read as {name.rsplit('.')[-1]}: {first_line(error)}"
        ) from None


def first_line(error: Exception) -> str:
    """What went wrong and where; json's and pandas' messages name places, not content."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def read_csv(source: Source, key: str) -> pd.DataFrame:
    """All cells as text: 007 stays 007, and NA is a word."""
    header = None if source.columns else 0
    table = pd.read_csv(source.source, header=header, dtype=str, keep_default_na=False)
    if len(table) and not isinstance(
        table.index, pd.RangeIndex
    ):  # or all values would be one column to the right
        raise ValueError("rows have more values than the header has names")
    if source.columns:
        if len(source.columns) != table.shape[1]:
            names = ", ".join(source.columns)
            raise InputError(
                f"{key}.columns: {source.source} has {table.shape[1]} columns, not {len(source.columns)}: {names}"
            )
        table.columns = list(source.columns)
    return table


def json_rows(path: Path, by_line: bool) -> list[dict[str, Any]]:
    """Objects of a JSON Lines file, or of a JSON file that holds a list of them, also under the key `data`."""
    import gzip

    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as handle:
        if by_line:
            rows = [parsed(line, number) for number, line in enumerate(handle, 1) if line.strip()]
        else:
            content = json.load(handle)
            rows = content.get("data", content) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("a list of objects is needed")
    return rows


def parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}: {error.msg}") from None
