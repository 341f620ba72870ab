"""Rows of tokens that a run trains on: of a set, of every role of an objective, analogues and alternatives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch

from lethe.data.encoding import Encoded, encoder, examples_by_set, packed, padded_rows
from lethe.data.parquet import read_table
from lethe.data.rows import Rows
from lethe.params.training import Training
from lethe.system.errors import InputError
from lethe.system.quoting import quoted
from lethe.system.streams import stream
from lethe.training.batches import PAIRED, TrainingRows

Pairs = Literal["nearest", "random", "none"]
Endings = list[list[list[int]]]  # of each forget text several, each of tokens
SETS = ("forget", "retain", "validation")  # what a method may read; what it is judged by is none of it


class Examples:
    """The examples that a method may read, as rows of tokens.

    Args:
        prepared, forget: folders of `lethe prepare` and `lethe forget`.
        max_length: tokens of a row.
    """

    def __init__(self, prepared: Path, forget: Path, tokenizer, max_length: int):
        self.prepared, self.forget = prepared, forget
        self.tokenizer, self.max_length = tokenizer, max_length
        self.of = cache(self.encoded)
        self.read: set[str] = set()  # ids of all examples of which rows were made

    @cached_property
    def sets(self) -> dict[str, pd.DataFrame]:
        """Of what a study has, the sets that a method may read."""
        found = examples_by_set(self.prepared, self.forget)
        return {name: frame for name, frame in found.items() if name in (*SETS, "general")}

    @property
    def reads(self) -> dict[str, int]:
        """How many examples were read of each set that was."""
        counts = {name: int(frame["id"].isin(self.read).sum()) for name, frame in self.sets.items()}
        return {name: count for name, count in counts.items() if count}

    def encoded(self, *names: str) -> Encoded:
        """Rows of sets together, in the order of the data.

        Raises:
            ValueError: a name is not that of a set that a method may read.
            InputError: the study gives no such set.
        """
        unknown = [name for name in names if name not in SETS]
        if unknown or not names:
            raise ValueError(f"rows of {unknown or 'no set'}: allowed are {', '.join(SETS)}")
        for name in names:
            if name not in self.sets:
                raise InputError(
                    f"dataset.splits.{name}: is not given, and the method reads it; give it, or leave it out"
                )
        together = pd.concat([self.sets[name] for name in names]).sort_index()
        return self.rows_of(self.sets[names[0]] if len(names) == 1 else together)

    def rows_of(self, frame: pd.DataFrame) -> Encoded:
        self.read.update(frame["id"])
        return encoder(self.prepared, self.tokenizer, self.max_length)(frame)

    def general(self, recipe: Training) -> Rows | None:
        """Packed general text if the recipe's batches hold some, else None."""
        if "general" in recipe.batch and "general" in self.sets:
            self.read.update(self.sets["general"]["id"])
        return general_rows(self.sets, self.tokenizer, self.max_length, recipe)

    def of_roles(
        self, roles: Iterable[str], recipe: Training, seed: int, pairs: Pairs, prefix: float | None,
        endings: Endings | None = None,
    ) -> TrainingRows:  # fmt: skip
        """Rows of every role that an objective reads.

        Args:
            pairs, prefix, endings: as of `Run.minimise`.
        Raises:
            ValueError: pairs or a prefix are given that no role needs, or one is needed and not given.
        """
        wanted = set(roles)
        if pairs != "nearest" and "analogue" not in wanted:
            raise ValueError(f"pairs: {pairs!r} is for terms over analogues; there are none")
        if (prefix is None) == ("alternative" in wanted):
            raise ValueError(
                "prefix: the share of a text that is the prompt of its alternatives; for them alone"
            )
        found = TrainingRows({role: self.of(role).rows for role in wanted & {"forget", "retain"}})
        if endings is not None and prefix is not None:
            found = with_endings(found, prefix, endings, self.max_length)
            return replace(found, general=self.general(recipe))
        if wanted & set(PAIRED):
            found = self.with_analogues(found)
        if pairs != "nearest":
            found = with_other_pairs(found, self.of("retain").rows, pairs, seed)
        if prefix is not None:
            found = with_alternatives(found, prefix)
        return replace(found, general=self.general(recipe))

    def endings(self, texts: list[str] | None) -> Endings:
        """As `Run.endings`."""
        frame = self.sets["forget"]
        if texts is not None:
            return [self.ending_tokens(texts)] * len(frame)
        given: list = frame["alternatives"].tolist() if "alternatives" in frame else [None] * len(frame)
        missing = [name for name, of in zip(frame["id"], given, strict=True) if not np.size(of) or of is None]
        if missing:
            raise InputError(
                f"dataset.alternatives: {len(missing)} examples to be forgotten have no other answer, first"
                f" {quoted(missing[0])}; the objective needs one of each"
            )
        return [self.ending_tokens(list(of)) for of in given]

    def ending_tokens(self, texts: list[str]) -> list[list[int]]:
        """Tokens of texts, each with an end token."""
        found = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [[*ids, self.tokenizer.eos_token_id] for ids in found]

    def with_analogues(self, rows: TrainingRows) -> TrainingRows:
        """The rows with those of the role `analogue`, by way of pairs.parquet."""
        file = Path(self.forget) / "pairs.parquet"
        pairs = read_table(file).sort_values(["id", "rank"])
        if pairs.empty:
            raise InputError(f"{file}: holds no pair; the objective needs an analogue of every example")
        everything = pd.concat(self.sets.values()).set_index("id", drop=False)
        analogues = self.rows_of(everything.loc[sorted(set(pairs["analogue"]))])
        position = {name: index for index, name in enumerate(analogues.ids)}
        table = {name: [position[a] for a in group["analogue"]] for name, group in pairs.groupby("id")}
        ids = self.of("forget").ids
        missing = [i for i in ids if i not in table]
        if missing:
            raise InputError(
                f"{file}: {len(missing)} forget examples have no analogue, first {quoted(missing[0])}"
            )
        roles = rows.roles | {"analogue": analogues.rows}
        return TrainingRows(roles, np.array([table[i] for i in ids]))


def general_rows(sets: dict[str, pd.DataFrame], tokenizer, max_length: int, recipe: Training) -> Rows | None:
    """Packed general text if the recipe's batches hold some, else None."""
    if "general" not in recipe.batch:
        return None
    if "general" not in sets:
        raise InputError("training.batch.general: the study has no general text; set dataset.general")
    return packed(sets["general"], tokenizer, max_length)


def with_other_pairs(rows: TrainingRows, retain: Rows, kind: Pairs, seed: int) -> TrainingRows:
    """The rows with retained texts as analogues: `random`, as many for each forget text; `none`, without pairs."""
    pairs = rows.pairs
    assert pairs is not None, "only an objective that reads analogues chooses their pairs"
    if kind == "random":
        draw = stream(seed, "random pairs").random((len(pairs), len(retain)))
        pairs = draw.argsort(1)[:, : pairs.shape[1]]
    return replace(rows, roles=rows.roles | {"analogue": retain}, pairs=pairs if kind == "random" else None)


def with_alternatives(rows: TrainingRows, prefix: float) -> TrainingRows:
    """The rows with the role `alternative` in place of `analogue`.

    An alternative is the beginning of a forget text, its prompt, continued with the end of one of its analogues, of
    which only the continuation is scored. Both are cut where their answers begin, or at the share `prefix` of their
    tokens where they have no prompts.
    """
    forget, analogues, pairs = rows.roles["forget"], rows.roles["analogue"], rows.pairs
    assert pairs is not None, "alternatives are made of pairs"
    beginnings = [text[:cut] for text, cut in texts_and_cuts(forget, prefix)]
    ends = [text[cut:] for text, cut in texts_and_cuts(analogues, prefix)]
    spliced = [beginnings[i] + ends[a] for i, row in enumerate(pairs) for a in row]
    starts = torch.tensor([len(beginnings[i]) for i, row in enumerate(pairs) for _ in row])
    roles = {role: own for role, own in rows.roles.items() if role != "analogue"}
    roles["alternative"] = replace(padded_rows(spliced, pad=0), starts=starts)
    return replace(rows, roles=roles, pairs=np.arange(pairs.size).reshape(pairs.shape))


def with_endings(rows: TrainingRows, prefix: float, endings: Endings, most: int) -> TrainingRows:
    """The rows with the role `alternative`: the beginning of each forget text, continued with each of its endings.

    A text with fewer endings than another has its first ones again. What does not fit into `most` tokens is cut.
    """
    beginnings = [text[:cut] for text, cut in texts_and_cuts(rows.roles["forget"], prefix)]
    count = max(map(len, endings))
    spliced, starts = [], []
    for beginning, own in zip(beginnings, endings, strict=True):
        spliced += [(beginning + own[k % len(own)])[:most] for k in range(count)]
        starts += [len(beginning)] * count
    alternative = replace(padded_rows(spliced, pad=0), starts=torch.tensor(starts))
    pairs = np.arange(len(spliced)).reshape(-1, count)
    return replace(rows, roles=rows.roles | {"alternative": alternative}, pairs=pairs)


def texts_and_cuts(rows: Rows, prefix: float) -> list[tuple[list[int], int]]:
    """Tokens of each row, and where its prompt ends, or the first `prefix` of them: one is left on both sides."""
    texts = [row[:length] for row, length in zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True)]
    if rows.starts is not None:
        return list(zip(texts, rows.starts.tolist(), strict=True))
    return [(text, min(max(1, int(prefix * len(text))), len(text) - 1)) for text in texts]
