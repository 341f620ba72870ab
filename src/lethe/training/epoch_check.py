"""What generators are asked between epochs: have they forgotten, and what do they still know."""

from __future__ import annotations

from typing import Any

import numpy as np

from lethe import models
from lethe.data.encoding import Encoded, padded_rows
from lethe.decoding.decoding import teacher_forced
from lethe.decoding.extraction import extraction
from lethe.decoding.recall import Compare, forgotten, token_bleu, word_bert_score, word_bleu
from lethe.losses import Rows
from lethe.metrics.memorization_accuracy import memorization_accuracy
from lethe.params.training import Stop
from lethe.system.errors import InputError
from lethe.training.engine import Review
from lethe.training.thresholds import unseen_threshold

WATCHED = 32  # retained examples whose memorisation is followed, the first of the set
THRESHOLD = "threshold_"  # begins the names of their columns


class Reviewer:
    """Memorisation of the forget set after an epoch, against thresholds from unseen text; forgotten pairs rest.

    Thresholds `unseen` are means over the validation set by the same model before its first step: text that it
    never saw, at the same length and under the same tokenizer.

    Args:
        stop: ends the run once the forget set is at or below both thresholds; None: it is only followed.
        refine: hyperparameters of an objective that drops forgotten pairs, as those of `icu`, or None.
        encoded: rows of forget, retain and validation.
        tokenizer: of the rows; only needed where words are compared.
    """

    def __init__(self, stop: Stop | None, refine: Any, encoded: dict[str, Encoded], tokenizer=None):
        self.stop, self.encoded = stop, encoded
        self.refine: Any = refine if refine is not None and refine.refine else None
        rule = stop or Stop()
        self.order, self.start, self.most = rule.n, rule.start, rule.most
        self.thresholds: dict[str, float] = {}
        self.similarities = similarities(self.refine, tokenizer) if self.refine else []
        for name in ("forget", "validation"):
            check_lengths(encoded[name], name, self.order, self.start)

    def __call__(self, model, epoch: int, history: list[dict]) -> Review:
        if not self.thresholds:
            self.thresholds = noted(history[0]) if history else self.unseen(model)
        accuracy, extracted = self.measured(model, self.encoded["forget"].rows)
        likelihood = f"extraction_likelihood_{self.order}"
        columns = {
            "memorization_accuracy": float(accuracy.mean()),
            likelihood: float(extracted.mean()),
            "retain_memorization_accuracy": float(
                memorized(model, self.encoded["retain"].rows[:WATCHED]).mean()
            ),
        }
        below = all(columns[name] <= self.thresholds[name] for name in ("memorization_accuracy", likelihood))
        active = None
        if self.refine:
            similarity, gone = self.check(model, self.encoded["forget"].rows)
            active = ~gone
            columns |= {"active": float(active.sum()), "similarity": float(similarity.mean())}
        columns |= {f"{THRESHOLD}{name}": value for name, value in self.thresholds.items()}
        return Review(columns, active, done=self.stop is not None and below)

    def measured(self, model, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Memorization accuracy of every text, and extraction likelihood of the first `most`."""
        some, others = rows[: self.most], rows[len(rows) if self.most is None else self.most :]
        found = extraction(model, some.input_ids, n=(self.order,), start=self.start, lengths=some.lengths)
        accuracy = found.memorization_accuracy
        if len(others):
            accuracy = np.concatenate([accuracy, memorized(model, others)])
        return accuracy, found.extraction_likelihood[self.order]

    def check(self, model, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Similarity of each text's continuation to its true suffix, and whether it counts as forgotten."""
        limits = [self.thresholds.get("similarity", 0.0), self.refine.f1]
        rules = list(zip(self.similarities, limits, strict=False))
        settings = {"prefix": self.refine.prefix, "beams": self.refine.beams}
        rows = endings(rows, self.refine.window)
        return forgotten(model, rows.input_ids, rules, rows.lengths, **settings)

    def unseen(self, model) -> dict[str, float]:
        """Thresholds by column; `slack` standard errors are added to those taken from unseen text."""
        stop = self.stop or Stop()
        rows = self.encoded["validation"].rows
        accuracy, extracted = self.measured(model, rows)
        values = {
            "memorization_accuracy": (stop.memorization_accuracy, accuracy),
            f"extraction_likelihood_{self.order}": (stop.extraction_likelihood, extracted),
        }
        if self.refine:
            values["similarity"] = (self.refine.forgotten, self.check(model, rows)[0])
        return {
            name: float(unseen_threshold(unseen).with_slack(stop.slack) if given == "unseen" else given)
            for name, (given, unseen) in values.items()
        }


def memorized(model, rows: Rows) -> np.ndarray:
    """(N,) memorization accuracy."""
    passed = teacher_forced(model, rows.input_ids, rows.lengths)
    return memorization_accuracy(passed.correct, passed.mask)


def noted(columns: dict[str, float]) -> dict[str, float]:
    """The thresholds among the columns of a review, from which a resumed run takes them: its model has changed."""
    return {name.removeprefix(THRESHOLD): v for name, v in columns.items() if name.startswith(THRESHOLD)}


def similarities(refine, tokenizer) -> list[Compare]:
    """How continuations are compared with the truth: by BLEU, and by BERTScore where an encoder is given."""
    found = [token_bleu if refine.similarity == "tokens" else word_bleu(tokenizer)]
    if refine.encoder is not None:
        found.append(word_bert_score(tokenizer, *models.encoder(refine.encoder)))
    return found


def endings(rows: Rows, window: int | None) -> Rows:
    """The last `window` tokens of each row, or the rows."""
    if window is None:
        return rows
    texts = zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True)
    return padded_rows([ids[max(0, length - window) : length] for ids, length in texts], pad=0)


def check_lengths(encoded: Encoded, name: str, order: int, start: int) -> None:
    """Raise InputError for a text without a term in the extraction likelihood, or a mean over a single text."""
    lengths = encoded.rows.lengths.numpy()
    if lengths.min() < order + start:
        where = f"example {encoded.ids[lengths.argmin()]} of {name} has {lengths.min()} tokens"
        raise InputError(
            f"training.stop.n: {order}: {where}; each needs at least n + start = {order + start}"
        )
    if name == "validation" and len(encoded) < 2:
        raise InputError("dataset.sizes.validation: 1; thresholds from unseen text need at least 2 examples")
