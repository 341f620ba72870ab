"""What prompts are answered in words, and how probable other answers to them are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from lethe import models
from lethe.data.characters import is_blank
from lethe.data.encoding import Encoded
from lethe.decoding.continuations import greedy_continuations
from lethe.decoding.wordings import answer_logprob
from lethe.metrics.loss import token_loss
from lethe.params.score import Answer, Score
from lethe.system import plugins


@dataclass(frozen=True)
class Reader:
    """A model that reads a set: its tokenizer, how examples become rows of tokens, and how it is run."""

    model: Any
    tokenizer: Any
    encoding: Callable[[pd.DataFrame], Encoded]
    settings: Score


def has_prompts(frame: pd.DataFrame) -> bool:
    return "prompt" in frame and bool(frame["prompt"].notna().any())


def answer_arrays(reader: Reader, name: str, frame: pd.DataFrame, encoded: Encoded) -> dict[str, np.ndarray]:
    """What metrics of answers need of a set.

    answered (N,): the text answers a prompt. ends (N,): its last token is the end token. paraphrase_loss (N,) and
    alternative_loss (N, K): mean negative log-likelihood of the tokens of the same answer in other words, and of wrong
    ones, NaN where there is none. And what metrics say of the model's own answers, where `score.answers` asks for them;
    with `keep_text` said (N,) of str, these answers, empty where nothing is answered.
    """
    rows = encoded.rows
    last = rows.input_ids.gather(1, rows.lengths[:, None] - 1)[:, 0]
    found = {
        "answered": frame["prompt"].notna().to_numpy(),
        "ends": (last == reader.tokenizer.eos_token_id).numpy(),
        **wording_losses(reader, frame),
    }
    if reader.settings.answers:
        said = answers(reader, frame, encoded, reader.settings.answers.get(name))
        for metric in plugins.names_in("metrics"):
            if "of_answers" in plugins.functions_in("metrics", metric):
                found |= plugins.imported("metrics", metric).of_answers(**said)
        if reader.settings.keep_text:
            found["said"] = np.array([text or "" for text in said["said"]])
    return found


def as_lists(frame: pd.DataFrame, column: str) -> list[list[str]]:
    """Texts of a column that holds one, several or none in each row."""
    cells: list = frame[column].tolist() if column in frame else [None] * len(frame)
    texts = [[cell] if isinstance(cell, str) else list(cell) if np.ndim(cell) else [] for cell in cells]
    return [[text for text in of_row if not is_blank(text)] for of_row in texts]


def wording_losses(reader: Reader, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """paraphrase_loss and alternative_loss; all wordings are read at once, as they share their prompts."""
    paraphrases, wrong = as_lists(frame, "paraphrase"), as_lists(frame, "alternatives")
    losses = np.full((len(frame), 1 + max([1, *map(len, wrong)])), np.nan)
    read = {(row, 0): texts[0] for row, texts in enumerate(paraphrases) if texts}
    read |= {(row, 1 + k): text for row, texts in enumerate(wrong) for k, text in enumerate(texts)}
    if read:
        other = frame.iloc[[row for row, _ in read]].assign(text=[*read.values()])
        encoded = reader.encoding(other)
        models.check_tokens(reader.model, encoded)
        losses[tuple(np.array([*read]).T)] = answer_loss(reader, encoded)
    return {"paraphrase_loss": losses[:, 0], "alternative_loss": losses[:, 1:]}


def answer_loss(reader: Reader, encoded: Encoded) -> np.ndarray:
    """(N,) mean negative log-likelihood of the scored tokens, nats."""
    rows, size = encoded.rows, reader.settings.batch_size
    starts = rows.starts if rows.starts is not None else torch.ones_like(rows.lengths)
    found = answer_logprob(reader.model, rows.input_ids, rows.lengths, starts, size)
    return token_loss(found, rows.scored.numpy())


def answers(
    reader: Reader, frame: pd.DataFrame, encoded: Encoded, how: Answer | None
) -> dict[str, list[str | None]]:
    """said: the model's answer to each prompt; true: the answer of the data. None where nothing is asked."""
    said: list[str | None] = [None] * len(frame)
    true: list[str | None] = [None] * len(frame)
    asked = np.flatnonzero(frame["prompt"].notna()) if how else np.array([], dtype=int)
    if how and len(asked):
        for row, tokens in zip(asked, continued(reader, encoded, asked, how.tokens), strict=True):
            text = reader.tokenizer.decode(tokens, skip_special_tokens=True)
            said[row] = text[: min([len(text), *(text.find(s) for s in how.stop if s in text)])]
            true[row] = shortened(reader, frame["text"].iloc[row], how.tokens if how.cut else None)
    return {"said": said, "true": true}


def continued(reader: Reader, encoded: Encoded, asked: np.ndarray, most: int) -> list[np.ndarray]:
    """Tokens of greedy decoding after each prompt, up to an end of text, so many or what the context holds."""
    rows, settings = encoded.rows, reader.settings
    assert rows.starts is not None, "prompts end where answers start"
    ids, prompts = rows.input_ids.numpy()[asked], rows.starts.numpy()[asked]
    limits = prompts + most
    if (context := models.context(reader.model)) is not None:
        limits = np.minimum(limits, context)
    ids = np.pad(ids, ((0, 0), (0, max(0, int(limits.max()) - ids.shape[1]))))[:, : int(limits.max())]
    return greedy_continuations(
        reader.model, ids, prompts, limits, batch_size=settings.batch_size,
        decode_batch_tokens=settings.decode_batch_tokens,
    )  # fmt: skip


def shortened(reader: Reader, text: str, most: int | None) -> str:
    """The beginning of a text, of so many tokens."""
    if most is None:
        return text
    ids = reader.tokenizer(text, add_special_tokens=False)["input_ids"]
    return reader.tokenizer.decode(ids[:most])
