"""Texts, group by group, through one pass and the decoding of their branches, within a bound on memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lethe.decoding.decoding import TeacherForced, checked, evaluating, forced
from lethe.decoding.greedy_branches import Branches, branches, decode, unended
from lethe.decoding.key_values import KeyValues, Prefixes, keeps_keys_and_values
from lethe.system.progress import Progress


@dataclass(frozen=True)
class Decoder:
    """A model and how it is decoded.

    eos: tokens that end a continuation. batch_size: texts in one pass. tokens: those whose keys and values are held
    at once, of texts and branches together.
    """

    model: object
    eos: np.ndarray
    batch_size: int
    tokens: int
    logprob: bool = False

    def groups(self, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Rows that are held together, longest first: a quarter of the memory, the rest is for their branches."""
        order = np.argsort(-lengths, kind="stable")
        while len(order):
            width = int(lengths[order[0]])
            if self.tokens < 2 * width:
                raise ValueError(
                    f"decode_batch_tokens {self.tokens}: row {order[0]} needs at least {2 * width}, twice its tokens"
                )
            group, order = np.split(order, [max(1, self.tokens // (4 * width))])
            yield group

    def read(
        self,
        ids: np.ndarray,
        lengths: np.ndarray,
        start: int | np.ndarray,
        progress: Progress,
        all_prefixes: bool,
    ) -> tuple[TeacherForced, Branches]:
        """The pass over a group of texts, and their branches decoded with the memory that it leaves.

        Args:
            ids, lengths: (N, T) and (N,), longest first.
            start: shortest prefix, one number or one per text.
            all_prefixes: decode the continuations of all longer prefixes, too.
        """
        found, source, most_rows = self.passed(ids, lengths)
        rows = branches(ids, lengths, found, start, self.eos)
        if not all_prefixes:
            rows = rows.shortest()
        limit = lengths[rows.example]
        most = int(np.maximum(limit - rows.first - 1, 0).sum())  # an end of text saves some
        decoded = 0

        def report(count: int) -> None:
            nonlocal decoded
            decoded += count
            progress.add(len(ids) * count / most)

        going = unended(rows, limit, self.eos)
        decode(self.model, source, rows, going, limit, self.eos, most_rows, report)
        progress.add(len(ids) * (1 - decoded / max(most, 1)))
        return found, rows

    def passed(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[TeacherForced, KeyValues | Prefixes, int]:
        """The pass over a group of texts, what it leaves for their branches, and how many of these fit beside it."""
        if not keeps_keys_and_values(self.model):
            found = forced(self.model, ids, lengths, self.batch_size, self.logprob)
            return found, Prefixes(self.model), self.batch_size
        source = KeyValues(self.model, *ids.shape)
        found = forced(self.model, ids, lengths, self.batch_size, self.logprob, source)
        source.check(self.model)
        return found, source, self.tokens // ids.shape[1] - len(ids)


def end_tokens(model, eos: Sequence[int] | None = None) -> np.ndarray:
    """Tokens that end a continuation: those given, or by default those of the model's generation settings."""
    tokens = model.generation_config.eos_token_id if eos is None else eos
    return np.atleast_1d(np.array([] if tokens is None else tokens, dtype=np.int64))


def greedy_continuations(
    model, input_ids, prompts: np.ndarray, lengths=None, *, eos: Sequence[int] | None = None, batch_size: int = 32,
    decode_batch_tokens: int = 65536,
) -> list[np.ndarray]:  # fmt: skip
    """Greedy continuation of the first tokens of each text, to the text's length or an end of text.

    Tokens are decoded from where the model leaves the truth on, so that a memorised text costs one pass.

    Args:
        model, input_ids, lengths, eos, batch_size, decode_batch_tokens: see `lethe.decoding.extraction.extraction`.
        prompts: (N,) int, tokens of each prompt, at least 1 and fewer than the text has.
    Returns:
        N arrays of the tokens appended.
    """
    ids, lengths = checked(input_ids, lengths)
    decoder = Decoder(model, end_tokens(model, eos), batch_size, decode_batch_tokens)
    found: list[np.ndarray] = [ids[0, :0]] * len(ids)
    with evaluating(model), Progress("continuation", len(ids), "texts") as progress:
        for group in decoder.groups(lengths):
            texts = ids[group, : lengths[group].max()]
            _, rows = decoder.read(texts, lengths[group], prompts[group], progress, all_prefixes=False)
            for row, text, end in zip(rows.example, rows.text, rows.ends, strict=True):
                found[group[row]] = text[prompts[group[row]] : end]
    return found
