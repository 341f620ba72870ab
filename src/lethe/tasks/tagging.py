"""Tagging: the model names the class of each word of a text, such as those of which a name is made."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForTokenClassification

from lethe import losses, models
from lethe.data.encoding import Encoded, cut_rows
from lethe.data.rows import Rows, Tagged
from lethe.params.prompting import Prompting
from lethe.params.score import Score
from lethe.system.arrays import NO_TAG
from lethe.system.errors import InputError
from lethe.system.quoting import quoted
from lethe.tasks import SHADOW_COLUMNS, Column
from lethe.tasks.classification import FEATURES as OF_CLASSES
from lethe.tasks.classification import FITTED
from lethe.tasks.classification import config as config  # a part of this task, too

GIVES = ("classes",)
LABELS = "words"
MODEL = AutoModelForTokenClassification
TINY = ("tiny-bert",)
ARRAYS = ("tags", "classes", "logits")
ATTACK = "attack"
FEATURES = OF_CLASSES
PRIMARY = ("transfer_auc", "entity_f1_forget", "entity_f1_test")
PROBED = ("entity_f1", "entity F1")
UTILITY = "entity_f1"
GLOSSARY = (
    ("entity F1, token accuracy", "An entity is right if its first and last word and its type are: F1 is the "
     "harmonic mean of precision and recall over all entities. Token accuracy is the share of words with the right "
     "tag. High on test and retain is utility. On the forget set the goal is that of retrain, not zero."),
    FITTED,
)  # fmt: skip


def labels(frame: pd.DataFrame) -> pd.Series:
    return frame["tags"].explode()


def renamed(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return frame.assign(tags=[[names[str(tag)] for tag in tags] for tags in frame["tags"]])


def rows(
    frame: pd.DataFrame, tokenizer, max_length: int, labels: list[str], prompting: Prompting | None = None
) -> Encoded:
    """Texts with the tokenizer's own special tokens; a tag is the label of the first token of its word.

    Raises:
        InputError: the tokenizer cannot say where tokens lie, or no tagged word of a text is left.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"model: {tokenizer.name_or_path}: its tokenizer does not say where tokens lie in a text"
        )
    made = tokenizer(frame["text"].tolist(), truncation=False, return_offsets_mapping=True)
    found = cut_rows(made["input_ids"], frame, max_length, tokenizer.pad_token_id, framed=True)
    tags = token_labels(frame, made["offset_mapping"], found, labels)
    return Encoded(frame["id"].to_numpy(str), Tagged(found.input_ids, found.lengths, labels=tags))


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


@torch.no_grad()
def scores(model, tokenizer, encoded: Encoded, settings: Score, extract: bool) -> dict[str, np.ndarray]:
    """tags (N, W) and logits (N, W, C) of the tagged tokens of each text in order, NO_TAG and 0 beyond the last."""
    rows = encoded.rows
    assert isinstance(rows, Tagged)
    order = torch.argsort(rows.lengths, stable=True)
    found = []
    for chunk in order.split(settings.batch_size):
        part = rows[chunk]
        logits = losses.forward(model, part.to(models.device())).float().cpu()
        found += [of_row[tags] for of_row, tags in zip(logits, part.scored, strict=True)]
    logits = pad_sequence(found, batch_first=True)[torch.argsort(order)]
    tags = [of_row[tags] for of_row, tags in zip(rows.labels, rows.scored, strict=True)]
    return {
        "tags": pad_sequence(tags, batch_first=True, padding_value=NO_TAG).numpy(),
        "logits": logits.numpy(),
    }


def columns(available: Collection[str]) -> list[Column]:
    return [
        Column("entity_f1_forget", "entity F1, forget", "retrain"),
        Column("token_accuracy_forget", "token accuracy, forget", "retrain"),
        Column("transfer_auc", "transfer AUC", "retrain"),
        Column("attack_auc", "attack AUC", "retrain"),
        *SHADOW_COLUMNS,
        Column("entity_f1_test", "entity F1, test", "higher"),
        Column("token_accuracy_test", "token accuracy, test", "higher"),
        Column("entity_f1_retain", "entity F1, retain", "higher"),
    ]


def memory(available: Collection[str]) -> list[Column]:
    return [
        Column("entity_f1_forget", "entity F1, forget", "retrain"),
        Column("attack_auc", "attack AUC", "retrain"),
    ]


def tradeoff(available: Collection[str]) -> list[tuple[Column, Column]]:
    test = Column("entity_f1_test", "entity F1 on test", "higher")
    return [
        (Column("entity_f1_forget", "entity F1 on forget", "retrain"), test),
        (Column("attack_auc", "AUC of the membership attack", "retrain"), test),
    ]
