"""Sets that others made, taken as they are: nothing is sampled, deduplicated or left out."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lethe.data.texts import load, whole_texts
from lethe.params.data import Dataset, Source, Splits
from lethe.system.errors import InputError
from lethe.system.quoting import quoted


def load_sets(
    dataset: Dataset, splits: Splits, seed: int, tagged: bool
) -> tuple[pd.DataFrame, dict[str, Any], int]:
    """All examples of the splits and probes, in their order.

    Returns:
        (as `lethe.data.texts.load`, with a column `split`: the role, or the name of the probe; ids are CONFIG/ROW, or
        ROLE/ROW where a source has no configurations; origin of each source; number of rows dropped as empty).
    Raises:
        InputError: a source cannot be read, or a row has two roles; the row is named.
    """
    frames, origins, dropped = [], {}, 0
    places = {f"splits.{role}": (role, source) for role, source in splits.by_role.items()}
    places |= {f"splits.{key}": given for key, given in splits.beside.items()}
    places |= {f"probes.{name}": (name, source) for name, source in dataset.probes.items()}
    for place, (split, source) in places.items():
        frame, origins[place], empty = load(source, seed, f"dataset.{place}", tagged)
        prefix = prefix_of(source, place.rpartition(".")[2])
        frames.append(frame.assign(id=f"{prefix}/" + frame["id"], split=split, place=place))
        dropped += empty
    table = pd.concat(frames, ignore_index=True)
    table = without_repeated_others(table.assign(whole=whole_texts(table)))
    check_roles(table)
    return table.drop(columns=["place", "whole"]).reset_index(drop=True), origins, dropped


def prefix_of(source: Source, name: str) -> str:
    """What comes before the row in an id."""
    parts = [source.config, None if source.split == "train" else source.split]
    return "/".join(filter(None, parts)) if source.config else name


def without_repeated_others(table: pd.DataFrame) -> pd.DataFrame:
    """Of the other sets of a list only what is neither to be forgotten nor in a set before: lists are often nested."""
    known = set(table["whole"][table["place"] == "splits.forget"])
    keep = pd.Series(True, index=table.index)
    for place in [name for name in table["place"].unique() if name.startswith("splits.others.")]:
        here = table["place"] == place
        keep &= ~here | ~table["whole"].isin(known)
        known |= set(table["whole"][here])
    return table[keep]


def check_roles(table: pd.DataFrame) -> None:
    """Raise InputError if an id is given twice, or a text stands in two splits; probes may hold texts of splits."""
    of_splits = table[table["place"].str.startswith("splits.")]
    for column, rows in (("whole", of_splits), ("id", table)):
        counts = rows.groupby(column)["place"].nunique()
        twice = rows[rows[column].isin(counts.index[counts > 1])]
        if twice.empty:
            continue
        first = twice.iloc[0]
        other = twice[(twice[column] == first[column]) & (twice["place"] != first["place"])].iloc[0]
        raise InputError(
            f"dataset.{first['place']}: row {quoted(first['id'])} is {quoted(other['id'])} of {other['place']}, too"
            f" ({counts[counts > 1].size} such rows); a row has one role"
        )
