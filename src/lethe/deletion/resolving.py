"""What a deletion request means in a study: which examples each of its lines asks for, and what else holds their text.

What is found is named by record ids. General text and texts of other subjects are never forgotten on somebody's
request; they are named, since a model may know the text from there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import pandas as pd

from lethe.deletion.request_file import Asked, Line
from lethe.deletion.same_text import Kind, holders
from lethe.system.errors import InputError
from lethe.system.quoting import quoted

SHOWN = 5  # ids that a line of the answer names
TRAIN = "train"
PARTS = ("asked", "answer")  # columns of conversations
KINDS: tuple[Kind, ...] = get_args(Kind)  # the closest first


@dataclass
class Answer:
    """What one line of a request comes to; all lists are of record ids.

    Attributes:
        line, asked: its number, and what it gave.
        matches: how -> examples that it asks for: `id`, `subject`, or for a text exact, normalised, near.
        forget: those of them, and with `closed` their near-duplicates, that the model in use was trained on.
        cluster: near-duplicates of these that were not asked for; forgotten, too, with `closed`.
        earlier: reference -> examples that an earlier request removed.
        untrained: examples that were asked for and that nothing was trained on.
        others: texts of other subjects, and longer ones, that hold the same text.
        general: general text, on which the base was trained, that holds it.
        everything: it asks for all that the model was trained on.
        closed: near-duplicates are forgotten, too.
    """

    line: int
    asked: Asked
    matches: dict[str, list[str]] = field(default_factory=dict)
    forget: list[str] = field(default_factory=list)
    cluster: list[str] = field(default_factory=list)
    earlier: dict[str, list[str]] = field(default_factory=dict)
    untrained: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    general: list[str] = field(default_factory=list)
    everything: bool = False
    closed: bool = True


@dataclass(frozen=True)
class Texts:
    """All texts of a study and how they are compared.

    table: id, text, subject (None: nobody's), split (`train`, `validation`, `holdout`, `test`, `general`,
    `general_test`, or "" for what was left out as a near-duplicate or as too many), cluster (of near-duplicates); of
    conversations also asked and answer, the two parts of text.
    """

    table: pd.DataFrame
    ngram: int
    similarity: float


def resolve(lines: Sequence[Line], texts: Texts, earlier: Mapping[str, str], closed: bool) -> list[Answer]:
    """An answer for each line.

    Args:
        earlier: id -> reference of the request that removed it.
        closed: near-duplicates of the same subject, or of nobody, are forgotten, too.
    """
    table = texts.table.reset_index(drop=True)
    known = table["text"].tolist()
    found = [rows_asked_for(line, table) for line in lines]
    wanted = {place: line.value for place, line in enumerate(lines) if line.asked == "text"}
    for (row, place), how in sorted(matches([*wanted.values()], texts).items()):
        found[[*wanted][place]].setdefault(how, []).append(row)
    asked = sorted(
        {row for by_kind in found for how, rows in by_kind.items() if how != "within" for row in rows}
    )
    same: dict[int, list[tuple[int, Kind]]] = {row: [] for row in asked}
    for row, place, how in holders([known[row] for row in asked], known, texts.ngram, texts.similarity):
        same[asked[place]].append((row, how))
    return [
        answer(line, by_kind, same, table, earlier, closed)
        for line, by_kind in zip(lines, found, strict=True)
    ]


def matches(wanted: Sequence[str], texts: Texts) -> dict[tuple[int, int], Kind]:
    """(row, position in `wanted`) -> how closely the row matches it, as a whole or in one of its parts."""
    table, best = texts.table, dict[tuple[int, int], Kind]()
    for column in ("text", *(part for part in PARTS if part in table)):
        for row, place, how in holders(wanted, table[column].tolist(), texts.ngram, texts.similarity):
            known = best.get((row, place), how)
            best[row, place] = min(known, how, key=KINDS.index)
    return best


def rows_asked_for(line: Line, table: pd.DataFrame) -> dict[str, list[int]]:
    """Rows of a record id or of a subject."""
    if line.asked == "text":
        return {}
    column, form = table[line.asked], normal(line.value)
    rows = np.flatnonzero(column == line.value)
    if not len(rows):
        rows = np.flatnonzero(column.map(lambda name: isinstance(name, str) and normal(name) == form))
    return {line.asked: rows.tolist()}


def normal(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def answer(
    line: Line,
    by_kind: dict[str, list[int]],
    same: Mapping[int, list[tuple[int, Kind]]],
    table: pd.DataFrame,
    earlier: Mapping[str, str],
    closed: bool,
) -> Answer:
    """What a line comes to, from the rows that it asks for and from those that hold the text of each row."""
    ids, splits, subjects = (table[name].tolist() for name in ("id", "split", "subject"))
    general = {row for row, split in enumerate(splits) if split.startswith("general")}
    matches = {how: rows for how, rows in by_kind.items() if how != "within"}
    hits = {row for rows in matches.values() for row in rows}
    asked = sorted(hits - general)
    of_clusters = table["cluster"].isin(table["cluster"].iloc[asked]) if asked else np.zeros(len(table), bool)
    alike = {row for one in asked for row, how in same[one] if how != "within"} | {
        *np.flatnonzero(of_clusters)
    }
    longer = {row for one in asked for row, how in same[one] if how == "within"} | {
        *by_kind.get("within", ())
    }
    owners = {subjects[row] for row in asked}
    foreign = {
        row for row in alike | longer if isinstance(subjects[row], str) and subjects[row] not in owners
    }
    near = {row for row in alike - hits - foreign - general if splits[row] == TRAIN}
    trained = [row for row in asked if splits[row] == TRAIN]
    wanted = sorted({*trained, *(near if closed else ())})
    found = Answer(line.number, line.asked, closed=closed)
    found.matches = {how: [ids[row] for row in sorted(rows)] for how, rows in matches.items() if rows}
    found.forget = [ids[row] for row in wanted if ids[row] not in earlier]
    found.cluster = [ids[row] for row in sorted(near) if ids[row] not in earlier]
    for row in wanted:
        if ids[row] in earlier:
            found.earlier.setdefault(earlier[ids[row]], []).append(ids[row])
    found.untrained = [ids[row] for row in asked if splits[row] != TRAIN]
    found.others = [ids[row] for row in sorted((foreign | longer) - hits - general - near)]
    found.general = [ids[row] for row in sorted((alike | longer | hits) & general)]
    left = sum(split == TRAIN and name not in earlier for name, split in zip(ids, splits, strict=True))
    found.everything = 0 < left <= len(found.forget)
    return found


def records_of(answers: Sequence[Answer], table: pd.DataFrame, earlier: Collection[str]) -> list[str]:
    """Ids that a new version is to forget, sorted; empty if there is nothing to do.

    Raises:
        InputError: nothing would be left to be trained on.
    """
    wanted = {name for answer in answers for name in answer.forget}
    left = set(table["id"][table["split"] == TRAIN]) - {*earlier} - wanted
    if wanted and not left:
        what = f"all {len(wanted)} examples that the model was trained on"
        raise InputError(f"request: asks for {what}; nothing would be left: delete the model instead")
    return sorted(wanted)


def said(answer: Answer) -> str:
    """An answer as one line."""
    where = f"line {answer.line} ({answer.asked})"
    if not answer.matches:
        also = f"; {named('general text holds it', answer.general)}" if answer.general else ""
        also += f"; {named('other texts hold it', answer.others)}" if answer.others else ""
        return f"{where}: matches nothing{also}"
    how = ", ".join(f"{named(kind, ids)}" for kind, ids in answer.matches.items())
    parts = [f"{where}: {how}", f"{len(answer.forget)} to be forgotten"]
    if answer.everything:
        parts.append("that is everything the model was trained on")
    if answer.cluster:
        what = "taken along" if answer.closed else "stay, so that only part of a cluster is forgotten"
        parts.append(f"{named('near-duplicates that were not asked for', answer.cluster)}: {what}")
    for reference, ids in answer.earlier.items():
        parts.append(named(f"removed by the earlier request {reference}", ids))
    if answer.untrained:
        parts.append(named("in the data, but nothing was trained on them", answer.untrained))
    if answer.others:
        parts.append(
            f"{named('other texts hold it, longer ones or those of other subjects', answer.others)}: stay"
        )
    if answer.general:
        parts.append(f"{named('general text holds it, which the base knows', answer.general)}: stays")
    return "; ".join(parts)


def named(what: str, ids: Sequence[str]) -> str:
    shown = ", ".join(map(quoted, ids[:SHOWN])) + (", …" if len(ids) > SHOWN else "")
    return f"{what} {len(ids)} ({shown})"
