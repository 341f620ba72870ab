"""From prepared examples to rows of tokens, by set."""

from __future__ import annotations

import json
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
from lethe.data.rows import NO_TAG, Rows
from lethe.params.prompting import Prompting
from lethe.system.errors import InputError
from lethe.system.quoting import quoted

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
    file = Path(prepared) / "prepared.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return found | {"labels": found["labels"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: cannot be read ({type(error).__name__}); make it again") from None


def encoder(prepared: str | Path, tokenizer, max_length: int) -> Callable[[pd.DataFrame], Encoded]:
    """How the examples of a study become rows of at most `max_length` tokens, by what `lethe prepare` wrote of it."""
    given = facts(prepared).get("prompting")
    return partial(
        encode,
        tokenizer=tokenizer,
        max_length=max_length,
        labels=classes(prepared),
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


def encode(
    frame: pd.DataFrame, tokenizer, max_length: int, labels: list[str], prompting: Prompting | None = None
) -> Encoded:
    """Rows of a set of examples; texts longer than the context are cut, counted and logged.

    Where examples have prompts, their rows are prompt and answer, and start where the answer does (`answers`), or
    where they have labels the two texts as a pair (`pairs`).

    Labelled text gets the tokenizer's own special tokens; text to be modelled a beginning and an end token.
    Given token ids are taken as they are where the tokenizer reads the same texts in them; where it is another than
    the one that made them, it splits the texts itself. A tag is the label of the first token of its word.

    Raises:
        InputError: the tokenizer cannot do it, or no tagged word of a text is left.
    """
    if "prompt" in frame and frame["prompt"].notna().any():
        if labels:
            return pairs(frame, tokenizer, max_length, labels)
        return answers(frame, tokenizer, max_length, prompting or Prompting())
    tagged = "tags" in frame
    if tagged and not tokenizer.is_fast:
        raise InputError(
            f"model: {tokenizer.name_or_path}: its tokenizer does not say where tokens lie in a text"
        )
    given = own_tokens(frame, tokenizer)
    texts = [text for row, text in enumerate(frame["text"]) if row not in given]
    made: list[list[int]] = []
    if labels:
        found = tokenizer(texts, truncation=False, return_offsets_mapping=tagged)
        made = found["input_ids"]
    elif texts:
        check_end(tokenizer)
        plain = tokenizer(texts, add_special_tokens=False)["input_ids"]
        made = [[tokenizer.bos_token_id, *ids, tokenizer.eos_token_id] for ids in plain]
    rest = iter(made)
    sequences = [given[row] if row in given else next(rest) for row in range(len(frame))]
    long = sum(len(s) > max_length for s in sequences)
    if long:
        name = frame["split"].iloc[0]
        log.info(
            "%d of %d texts of %s are longer than %d tokens and were cut", long, len(frame), name, max_length
        )
    cut = [s if len(s) <= max_length else shortened(s, max_length, bool(labels)) for s in sequences]
    rows = padded_rows(cut, tokenizer.pad_token_id)
    if tagged:
        rows = replace(rows, labels=token_labels(frame, found["offset_mapping"], rows, labels))
    elif labels:
        rows = replace(rows, labels=torch.tensor([labels.index(label) for label in frame["label"]]))
    return Encoded(frame["id"].to_numpy(str), rows)


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


def pairs(frame: pd.DataFrame, tokenizer, max_length: int, labels: list[str]) -> Encoded:
    """Rows of labelled pairs of texts, what is asked and the text, joined as the tokenizer does.

    Of a pair that is too long the longer text is cut; such pairs are counted and logged.
    """
    first = ["\n".join(turn["content"] for turn in turns) for turns in frame["prompt"]]
    both = first, frame["text"].tolist()
    found = tokenizer(*both, truncation="longest_first", max_length=max_length)
    lengths = zip(found["input_ids"], tokenizer(*both, truncation=False)["input_ids"], strict=True)
    if long := sum(len(kept) < len(there) for kept, there in lengths):
        name = frame["split"].iloc[0]
        log.info("%d of %d pairs of %s were cut to %d tokens", long, len(frame), name, max_length)
    rows = padded_rows(found["input_ids"], tokenizer.pad_token_id)
    classes = torch.tensor([labels.index(label) for label in frame["label"]])
    starts = None
    if "token_type_ids" in found:  # of a model that is told which text a token is of
        starts = torch.tensor([kinds.index(1) for kinds in found["token_type_ids"]])
    return Encoded(frame["id"].to_numpy(str), replace(rows, labels=classes, starts=starts))


def check_end(tokenizer) -> None:
    """Raise InputError unless the tokenizer has an end of text, which also begins one where it has no beginning."""
    if tokenizer.eos_token_id is None:
        raise InputError(f"model: {tokenizer.name_or_path}: its tokenizer has no end of text; one is needed")


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


def own_tokens(frame: pd.DataFrame, tokenizer) -> dict[int, list[int]]:
    """Row -> its given token ids; none at all unless this tokenizer reads the texts of their rows in them."""
    if "tokens" not in frame:
        return {}
    rows = np.flatnonzero(frame["tokens"].notna()).tolist()
    given = {row: list(map(int, frame["tokens"].iloc[row])) for row in rows}
    if not given or max(map(max, given.values())) >= len(tokenizer):
        return {}
    read = tokenizer.batch_decode(
        list(given.values()), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return given if read == frame["text"].iloc[list(given)].tolist() else {}


def token_labels(frame: pd.DataFrame, spans: list, rows: Rows, labels: list[str]) -> torch.Tensor:
    """(N, T) index of the tag of the word that a token begins, NO_TAG for any other token.

    Args:
        spans: of each of N texts those of `first_tokens`, before the text was cut to its row.
    """
    found, lengths = torch.full(rows.input_ids.shape, NO_TAG), rows.lengths.tolist()
    for row, (text, tags) in enumerate(zip(frame["text"], frame["tags"], strict=True)):
        kept = lengths[row] - (
            len(spans[row]) > lengths[row]
        )  # a text that was cut ends with a special token
        for word, place in first_tokens(text, spans[row]).items():
            if place < kept:
                found[row, place] = labels.index(tags[word])
    untagged = (found == NO_TAG).all(1)
    if untagged.any():
        first = frame["id"].iloc[int(untagged.int().argmax())]
        raise InputError(
            f"model.max_length: no word of record {quoted(first)} is within {rows.input_ids.shape[1]} tokens"
            f" ({int(untagged.sum())} such records); allowed: more"
        )
    return found


def first_tokens(text: str, spans: list[tuple[int, int]]) -> dict[int, int]:
    """Number of a word of the text, as separated by single spaces -> place of the token that begins it.

    A token belongs to the word of its last character, as some tokenizers put the space before a word into its token.

    Args:
        spans: of each token the characters, from and to, that it stands for; from = to if for none.
    """
    found: dict[int, int] = {}
    for place, (begin, end) in enumerate(spans):
        if begin < end and text[end - 1] != " ":
            found.setdefault(text.count(" ", 0, end), place)
    return found


def shortened(sequence: list[int], most: int, labelled: bool) -> list[int]:
    """The first `most` tokens; labelled text keeps its closing special token."""
    return [*sequence[: most - 1], sequence[-1]] if labelled else sequence[:most]


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
