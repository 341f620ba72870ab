"""From prepared examples to rows of tokens, by set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lethe.data.parquet import read_table
from lethe.data.prompts import fitted, prompt_tokens
from lethe.data.rows import Rows
from lethe.data.tokenizers import check_end
from lethe.params.prompting import Prompting
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.quoting import quoted
from lethe.system.records import PREPARED, read_record

log = logging.getLogger("lethe.encoding")


@dataclass(frozen=True)
class Encoded:
    """ids: (N,) str; rows: N rows of tokens in the same order."""

    ids: np.ndarray
    rows: Rows

    def __len__(self) -> int:
        return len(self.ids)


def classes(prepared: str | Path) -> list[str]:
    """Names of the classes in the order of their indices; empty for unlabelled text."""
    return facts(prepared)["labels"]


def facts(prepared: str | Path) -> dict[str, Any]:
    """What `lethe prepare` wrote of a study beside its examples.

    Raises:
        InputError: the file is missing, or holds something else.
    """
    return read_record(Path(prepared) / "prepared.json", PREPARED, "make it again")


def encoder(prepared: str | Path, tokenizer, max_length: int) -> Callable[[pd.DataFrame], Encoded]:
    """How the examples of a study become rows of at most `max_length` tokens, by what `lethe prepare` wrote of it."""
    found = facts(prepared)
    given = found.get("prompting")
    return partial(
        plugins.part("tasks", found["task"], "rows"),
        tokenizer=tokenizer,
        max_length=max_length,
        labels=found["labels"],
        prompting=Prompting.model_validate(given) if given else None,
    )


def examples_by_set(prepared: str | Path, forget: str | Path | None = None) -> dict[str, pd.DataFrame]:
    """Examples of every set, in the order of the prepared table.

    Without a forget folder the training pool is one set, `train`.
    """
    examples = read_table(Path(prepared) / "examples.parquet")
    if forget is None:
        return dict(list(examples.groupby("split", sort=False)))
    sets = read_table(Path(forget) / "sets.parquet").set_index("id")
    names = examples["id"].map(sets["set"])
    if names.isna().any():
        unknown = examples["id"][names.isna()].iloc[0]
        raise InputError(
            f"{forget}/sets.parquet: has no set of {quoted(unknown)} of {prepared}; make it again"
        )
    if "target" in sets:  # of what is forgotten the facts that were asked for
        examples["target"] = examples["id"].map(sets["target"])
    return dict(list(examples.groupby(names, sort=False)))


def cut_rows(
    sequences: list[list[int]], frame: pd.DataFrame, max_length: int, pad: int, framed: bool
) -> Rows:
    """Rows of at most `max_length` tokens; texts that are longer are cut, counted and logged.

    Args:
        sequences: of each of the frame's texts its tokens.
        framed: the last token closes the text, and stays.
    """
    long = sum(len(s) > max_length for s in sequences)
    if long:
        name = frame["split"].iloc[0]
        log.info(
            "%d of %d texts of %s are longer than %d tokens and were cut", long, len(frame), name, max_length
        )
    cut = [s if len(s) <= max_length else shortened(s, max_length, framed) for s in sequences]
    return padded_rows(cut, pad)


def answers(frame: pd.DataFrame, tokenizer, max_length: int, prompting: Prompting) -> Encoded:
    """Rows of prompts and their answers, each with one end token; what has no prompt begins as other text does.

    A prompt that is too long is cut from the left, an answer at its end; both are counted and logged.
    """
    check_end(tokenizer)
    plain = tokenizer(frame["text"].tolist(), add_special_tokens=False)["input_ids"]
    sequences, starts, cut, lost = [], [], 0, 0
    for messages, ids in zip(frame["prompt"], plain, strict=True):
        before = [tokenizer.bos_token_id]
        if messages is not None:
            before = prompt_tokens(messages, tokenizer, prompting)
        answer = ids if ids[-1:] == [tokenizer.eos_token_id] else [*ids, tokenizer.eos_token_id]
        sequence, start = fitted(before or [tokenizer.bos_token_id], answer, max_length)
        cut += start < len(before)
        lost += len(sequence) - start < len(answer)
        sequences.append(sequence)
        starts.append(start)
    name = frame["split"].iloc[0]
    for count, what in ((cut, "prompts"), (lost, "answers")):
        if count:
            log.info("%d of %d %s of %s were cut to %d tokens", count, len(frame), what, name, max_length)
    rows = padded_rows(sequences, tokenizer.pad_token_id)
    return Encoded(frame["id"].to_numpy(str), replace(rows, starts=torch.tensor(starts)))


def framed_rows(frame: pd.DataFrame, tokenizer, max_length: int) -> Rows:
    """Rows of texts, or of pairs of what is asked and the text, with the tokenizer's own special tokens.

    Of a pair that is too long the longer text is cut; such pairs are counted and logged. The rows of pairs start where
    the second text does, if the model is told which text a token is of.
    """
    if "prompt" not in frame or not frame["prompt"].notna().any():
        sequences = tokenizer(frame["text"].tolist(), truncation=False)["input_ids"]
        return cut_rows(sequences, frame, max_length, tokenizer.pad_token_id, framed=True)
    first = ["\n".join(turn["content"] for turn in turns) for turns in frame["prompt"]]
    both = first, frame["text"].tolist()
    found = tokenizer(*both, truncation="longest_first", max_length=max_length)
    lengths = zip(found["input_ids"], tokenizer(*both, truncation=False)["input_ids"], strict=True)
    if long := sum(len(kept) < len(there) for kept, there in lengths):
        name = frame["split"].iloc[0]
        log.info("%d of %d pairs of %s were cut to %d tokens", long, len(frame), name, max_length)
    rows = padded_rows(found["input_ids"], tokenizer.pad_token_id)
    if "token_type_ids" not in found:
        return rows
    return replace(rows, starts=torch.tensor([kinds.index(1) for kinds in found["token_type_ids"]]))


def check_read(encoded: Encoded, tokenizer) -> None:
    """Raise InputError, which names the record, for a text of which the tokenizer knows nothing.

    Then all its tokens are those that frame a text or stand for what is unknown.
    """
    rows, special = encoded.rows, torch.tensor(tokenizer.all_special_ids)
    first = torch.zeros_like(rows.lengths) if rows.starts is None else rows.starts
    place = torch.arange(rows.input_ids.shape[1])
    known = rows.mask & (place >= first[:, None]) & ~torch.isin(rows.input_ids, special)
    nothing = ~known.any(1)
    if nothing.any():
        name = quoted(encoded.ids[int(nothing.int().argmax())])
        raise InputError(
            f"record {name}: the tokenizer knows nothing of its text ({int(nothing.sum())} such records); needed is a"
            " model that reads it"
        )


def own_ids(frame: pd.DataFrame, column: str, tokenizer) -> dict[int, list[int]]:
    """Row -> the token ids of a column, where there are; none at all if the tokenizer lacks one of them."""
    if column not in frame:
        return {}
    rows = np.flatnonzero(frame[column].notna()).tolist()
    found = {row: list(map(int, frame[column].iloc[row])) for row in rows}
    return found if found and max(map(max, found.values())) < len(tokenizer) else {}


def own_tokens(frame: pd.DataFrame, tokenizer) -> dict[int, list[int]]:
    """Row -> its given token ids; none at all unless this tokenizer reads the texts of their rows in them."""
    given = own_ids(frame, "tokens", tokenizer)
    if not given:
        return {}
    read = tokenizer.batch_decode(
        list(given.values()), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return given if read == frame["text"].iloc[list(given)].tolist() else {}


def own_windows(frame: pd.DataFrame, tokenizer) -> dict[int, list[int]]:
    """Row -> tokens of a window with a beginning; none at all if the windows were cut by another tokenizer."""
    found, end = own_ids(frame, "window", tokenizer), tokenizer.eos_token_id
    if not found:
        return {}
    plain = [ids[:-1] if ids[-1] == end else ids for ids in found.values()]
    read = tokenizer.batch_decode(plain, clean_up_tokenization_spaces=False)
    if read != frame["text"].iloc[list(found)].tolist():
        return {}
    return {row: [tokenizer.bos_token_id, *ids] for row, ids in found.items()}


def shortened(sequence: list[int], most: int, framed: bool) -> list[int]:
    """The first `most` tokens; a text that is framed keeps its closing special token."""
    return [*sequence[: most - 1], sequence[-1]] if framed else sequence[:most]


def padded_rows(sequences: list[list[int]], pad: int) -> Rows:
    lengths = torch.tensor([len(s) for s in sequences])
    input_ids = torch.full((len(sequences), int(lengths.max())), pad)
    for row, sequence in zip(input_ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return Rows(input_ids, lengths)


def packed(frame: pd.DataFrame, tokenizer, length: int) -> Rows:
    """Texts joined by the end token and cut into rows of `length` tokens; the last, shorter one is dropped."""
    check_end(tokenizer)
    stream: list[int] = []
    for ids in tokenizer(frame["text"].tolist(), add_special_tokens=False)["input_ids"]:
        stream += [tokenizer.bos_token_id, *ids]
    count = len(stream) // length
    if count == 0:
        raise InputError(
            f"general text holds {len(stream)} tokens, fewer than one row of {length} (model.max_length)"
        )
    rows = torch.tensor(stream[: count * length]).view(count, length)
    return Rows(rows, torch.full((count,), length))
