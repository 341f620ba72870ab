"""Text in tables: a CSV, JSON Lines, JSON or Parquet file, a folder in the Hub's layout, or a data set of the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from lethe.data.cells import messages_of, name_of, subject_of, text_of, texts_of, words_of
from lethe.data.characters import is_blank
from lethe.data.table_files import Table, read_table_file
from lethe.params.data import Source
from lethe.params.sources import kind
from lethe.system.errors import InputError
from lethe.system.quoting import columns, quoted

TAG = re.compile(r"O|[BI]-\S+")
Cell = TypeVar("Cell")


def examples(source: Source, key: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of a table, in its order, with the named columns.

    Args:
        source: where, and which columns hold what.
        key: place in params.yaml, for messages: `dataset` or `dataset.general`.
    Returns:
        (frame of str columns id, text, label, subject; absent text is "", absent subject None; and, where the source
        names their columns, prompt (messages before the text, which is the answer to them), paraphrase (str) and
        alternatives (list of str)), and the origin: SHA-256 of what was read, or the commit of the Hub.
    Raises:
        InputError: the file, the data set or a column is missing or cannot be read.
    """
    table, origin = read(source, key, source.label)
    named = names(table, source, key) | asked_and_answered(table, source, key)
    if source.paraphrase:
        named["paraphrase"] = cells(table, source, key, "paraphrase", source.paraphrase, text_of)
    if source.alternatives:
        named["alternatives"] = cells(table, source, key, "alternatives", source.alternatives, texts_of)
    if source.label:
        named["label"] = all_named(table, source, key, "label", source.label)
    return pd.DataFrame(named, dtype=object), origin


def asked_and_answered(table: Table, source: Source, key: str) -> dict[str, Any]:
    """The texts, and what is said before them where the source has that."""
    if source.messages:
        said = cells(table, source, key, "messages", source.messages, messages_of)
        return {"text": [turns[-1]["content"] for turns in said], "prompt": [turns[:-1] for turns in said]}
    parts = [cells(table, source, key, "text", name, text_of) for name in text_columns(source)]
    found: dict[str, Any] = {"text": ["\n".join(filter(None, texts)) for texts in zip(*parts, strict=True)]}
    if source.prompt:
        prompts = cells(table, source, key, "prompt", source.prompt, text_of)
        if (empty := next((row for row, text in enumerate(prompts) if is_blank(text)), None)) is not None:
            where = f"row {empty} of column {source.prompt!r} of {source.source}"
            raise InputError(f"{key}.prompt: {where} asks nothing; each row needs a prompt")
        before = shown(source, key)
        found["prompt"] = [[{"role": "user", "content": before + written(source, text)}] for text in prompts]
    return found


def written(source: Source, prompt: str) -> str:
    return source.asked.replace("{prompt}", prompt)


def shown(source: Source, key: str) -> str:
    """Questions and answers that come before every question."""
    if source.shots is None:
        return ""
    examples = source.model_copy(update={"split": source.shots, "shots": None, "asked": "{prompt}"})
    table, _ = read(examples, key, None)
    found = asked_and_answered(table, examples, key)
    pairs = zip(found["prompt"], found["text"], strict=True)
    return "".join(f"{written(source, turns[-1]['content'])}{text}\n\n" for turns, text in pairs)


def tagged_examples(source: Source, key: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of a table whose columns `text` and `label` hold a list of words and a list of as many tags.

    The tags are those of CoNLL (Tjong Kim Sang & De Meulder, 2003): B-TYPE begins an entity, I-TYPE goes on with it, O
    is outside.

    Returns:
        as `examples`, with the words joined by single spaces as text, no label, and a column tags (lists of str).
    Raises:
        InputError: as `examples`; or a row holds something else, and is named, but not what it holds.
    """
    text, *more = text_columns(source)
    if more:
        raise InputError(f"{key}.text: {len(more) + 1} columns; the words of tagged text are in one")
    label = source.label or "label"
    table, origin = read(source, key, label)
    named = names(table, source, key)
    words = cells(table, source, key, "text", text, words_of)
    tags = cells(table, source, key, "label", label, words_of)
    for row, ours, theirs in zip(named["id"], words, tags, strict=True):
        where = f"{source.source}: record {quoted(row)}"
        if len(ours) != len(theirs):
            what = f"{where} has {len(ours)} words and {len(theirs)} tags"
            raise InputError(f"{key}.label: {what}; as many are needed")
        if any(is_blank(word) or " " in word for word in ours):
            raise InputError(f"{key}.text: {where} has a word that is empty or holds a space; none may")
        if not all(TAG.fullmatch(tag) for tag in theirs):
            raise InputError(f"{key}.label: {where} has an unknown tag; allowed are O, B-TYPE, I-TYPE")
    named |= {"text": [" ".join(each) for each in words], "tags": tags}
    return pd.DataFrame(named, dtype=object), origin


def read(source: Source, key: str, label: str | None) -> tuple[Table, dict[str, Any]]:
    """The columns that the source names, and its origin."""
    texts = (source.prompt, source.messages, source.paraphrase, source.alternatives)
    wanted = {*filter(None, (*texts, label, source.id, source.subject))}
    wanted |= set() if source.messages else {*text_columns(source)}
    if source.id and source.id in (*text_columns(source), *texts):
        what = f"{source.id!r} is a column of text; an id is shown in logs and reports"
        raise InputError(f"{key}.id: {what}; allowed: another column, or null for the row number")
    if kind(source.source) == "table":
        path = Path(source.source)
        table = read_table_file(path, f"{key}.source", wanted, source.columns, source.max_bytes)
        return table, {"sha256": table.sha256}
    from lethe.datasets import hub

    return hub.read(source, key, wanted)


def text_columns(source: Source) -> tuple[str, ...]:
    return (source.text,) if isinstance(source.text, str) else source.text


def names(table: Table, source: Source, key: str) -> dict[str, Any]:
    """What every example has, without its text and its label."""
    named: dict[str, Any] = {"id": [str(row) for row in range(len(table))]}
    named |= {"text": None, "label": None, "subject": None}
    if source.id:
        named["id"] = all_named(table, source, key, "id", source.id)
    if source.subject:
        named["subject"] = cells(table, source, key, "subject", source.subject, subject_of)
    return named


def all_named(table: Table, source: Source, key: str, field: str, name: str) -> list[str | None]:
    """A column of names of which none may be missing."""
    found = cells(table, source, key, field, name, name_of)
    if None in found:
        what = f"row {found.index(None)} of {source.source} has none in column {name!r}"
        raise InputError(f"{key}.{field}: {what}; each row needs one")
    return found


def cells(
    table: Table, source: Source, key: str, field: str, name: str, read_cell: Callable[[Any], Cell]
) -> list[Cell]:
    """A column, cell by cell."""
    if name not in table.columns:
        what = f"{source.source} has no column {name!r}; allowed: {columns(table.names, name)}"
        raise InputError(f"{key}.{field}: {what}")
    found = []
    for row, value in enumerate(table.columns[name]):
        try:
            found.append(read_cell(value))
        except InputError as error:
            where = f"row {row} of column {name!r} of {source.source}"
            raise InputError(f"{key}.{field}: {where} {error}") from None
    return found
