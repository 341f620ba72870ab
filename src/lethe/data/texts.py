"""Examples of any source, checked: ids that are unique, texts that are not empty, labels where they are needed."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from lethe.data.characters import is_blank
from lethe.params.data import Source
from lethe.params.sources import kind
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.git import is_kept, kept_warning
from lethe.system.quoting import quoted
from lethe.system.streams import stream

log = logging.getLogger("lethe.texts")


def load(
    source: Source, seed: int, key: str = "dataset", tagged: bool = False
) -> tuple[pd.DataFrame, dict[str, Any], int]:
    """All usable examples of a source, in its order.

    Args:
        tagged: the words of each text are to have tags.
    Returns:
        (frame id, text, label, subject and, from token arrays, tokens, of tagged texts tags, one of each word, which
        single spaces separate; origin; number of rows dropped as empty).
    Raises:
        InputError: the source cannot be read, an id is given twice, or a text is empty.
    """
    frame, origin = read(source, seed, key, tagged)
    if frame.empty:
        raise InputError(f"{key}.source: {source.source} holds no row; at least one is needed")
    if source.limit is not None and len(frame) > source.limit:
        kept = stream(seed, "limit", key).permutation(len(frame))[: source.limit]
        frame = frame.iloc[sorted(kept)]
    twice = frame["id"].duplicated()
    if twice.any():
        first = quoted(frame["id"][twice].iloc[0])
        raise InputError(f"{key}.id: {first} is the id of several records; ids must be unique")
    empty = frame["text"].map(is_blank).astype(bool)
    if empty.any() and not source.drop_empty:
        first = quoted(frame["id"][empty].iloc[0])
        where = f"record {first} of {source.source} has no text ({empty.sum()} such records)"
        raise InputError(f"{key}.text: {where}; fill it, or set {key}.drop_empty: true")
    return frame[~empty].reset_index(drop=True), origin, int(empty.sum())


def read(source: Source, seed: int, key: str, tagged: bool = False) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Examples as the reader of the source's kind gives them."""
    if kind(source.source) in ("table", "tokens", "folder") and is_kept(source.source):
        log.warning(kept_warning(f"{key}.source", source.source))
    match kind(source.source):
        case "built-in":
            module = plugins.imported("datasets", source.source)
            return (module.tagged_examples if tagged else module.examples)(source.read_options(), seed)
        case "tokens":
            from lethe.datasets import tokens

            return tokens.examples(source, key)
        case _:
            from lethe.datasets import tabular

            return (tabular.tagged_examples if tagged else tabular.examples)(source, key)


def whole_texts(table: pd.DataFrame) -> list[str]:
    """What texts are compared by: each with what was said before it, where there is something."""
    if "prompt" not in table:
        return table["text"].tolist()
    said = [[] if turns is None else turns for turns in table["prompt"].where(table["prompt"].notna(), None)]
    pairs = zip(said, table["text"], strict=True)
    return ["\n".join([*(turn["content"] for turn in turns), text]) for turns, text in pairs]


def check_classes(table: pd.DataFrame, labels: pd.Series, key: str = "dataset") -> None:
    """Raise InputError unless there are at least two classes and each has at least two examples.

    Records are named, not classes: what was taken for the column of the label might be a text.

    Args:
        labels: all of the table, by its index: one of each example, or of each of its words.
    """
    counts = labels.value_counts()
    if len(counts) < 2:
        raise InputError(f"{key}.label: {len(counts)} class in the data; classification needs at least two")
    if (counts < 2).any():
        first = table["id"][labels.index[labels.map(counts) < 2][0]]
        few = f"{int((counts < 2).sum())} of {len(counts)} classes"
        what = f"{few} have one example, the first that of record {quoted(first)}"
        raise InputError(f"{key}.label: {what}; each class needs at least two")
