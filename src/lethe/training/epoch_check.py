"""What generators are asked between epochs: have they forgotten, and what do they still know."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lethe import models
from lethe.data.encoding import Encoded, padded_rows
from lethe.data.rows import Rows
from lethe.decoding.decoding import teacher_forced
from lethe.decoding.extraction import extraction
from lethe.decoding.recall import Compare, forgotten, token_bleu, word_bert_score, word_bleu
from lethe.metrics.memorization_accuracy import memorization_accuracy
from lethe.params.training import Stop
from lethe.system.errors import InputError
from lethe.training.engine import Findings
from lethe.training.thresholds import unseen_threshold

log = logging.getLogger(__name__)

WATCHED = 32  # retained examples whose memorisation is followed, the first of the set


@dataclass(frozen=True)
class Refinement:
    """When a text counts as forgotten, so that training skips it until it reappears.

    It is continued from its prefix, and the continuation compared with the true suffix.
    """

    prefix: float  # share of the text given as the prompt
    window: int | None  # only so many tokens at the end of a text are read; None: all
    beams: int  # beam width of the continuation
    similarity: Literal["tokens", "words"]  # BLEU of tokens, smoothed; of words, not smoothed
    forgotten: (
        float | Literal["unseen"]
    )  # BLEU at or below which a text is forgotten; unseen: that of unseen text
    encoder: str | None  # of BERTScore, a second similarity; None: none
    f1: float  # BERTScore at or below which a text is forgotten, too


class EpochCheck:
    """Memorisation of the forget set between epochs, against thresholds from unseen text; forgotten texts are skipped.

    Thresholds `unseen` are means over the validation set under the same model, as it is now: text that it never saw,
    at the same length and under the same tokenizer. A model that is damaged predicts less of any text; what it has
    forgotten is only what it knows no better than such text.

    Args:
        stop: ends the run once the forget set is at or below both thresholds; None: it is only followed.
        refinement: skips texts that are forgotten; None: all are trained on.
        encoded: rows of forget, retain and validation.
        tokenizer: of the rows; only needed where words are compared.
    """

    def __init__(
        self, stop: Stop | None, refinement: Refinement | None, encoded: dict[str, Encoded], tokenizer=None
    ):
        self.stop, self.refinement, self.encoded = stop, refinement, encoded
        rule = stop or Stop()
        self.order, self.start, self.most, self.every = rule.n, rule.start, rule.most, rule.every
        self.similarities = similarities(refinement, tokenizer) if refinement else []
        for name in ("forget", "validation"):
            check_lengths(encoded[name], name, self.order, self.start, self.most)

    def __call__(self, model, epoch: int, history: list[dict]) -> Findings:
        if epoch % self.every:
            return Findings({})
        thresholds = self.thresholds(model)
        accuracy, extracted = self.measured(model, self.encoded["forget"].rows)
        likelihood = f"extraction_likelihood_{self.order}"
        columns = {
            "memorization_accuracy": float(accuracy.mean()),
            likelihood: float(np.nanmean(extracted)),
            "retain_memorization_accuracy": float(
                memorized(model, self.encoded["retain"].rows[:WATCHED]).mean()
            ),
        }
        below = all(columns[name] <= thresholds[name] for name in ("memorization_accuracy", likelihood))
        active = None
        if self.refinement:
            rows, limit = self.encoded["forget"].rows, thresholds["similarity"]
            similarity, gone = self.check(model, rows, self.refinement, limit)
            active = ~gone
            columns |= {"active": float(active.sum()), "similarity": float(similarity.mean())}
        columns |= {f"threshold_{name}": value for name, value in thresholds.items()}
        return Findings(columns, active, done=self.stop is not None and below)

    def measured(self, model, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Memorization accuracy of all texts, extraction likelihood of the first `most`, NaN of those too short."""
        some, others = rows[: self.most], rows[len(rows) if self.most is None else self.most :]
        found = extraction(
            model,
            some.input_ids,
            n=(self.order,),
            start=first_prefixes(some, self.start),
            lengths=some.lengths,
            allow_short=True,
        )
        accuracy = memorization_accuracy(found.tokens.correct, some.scored.numpy())
        if len(others):
            accuracy = np.concatenate([accuracy, memorized(model, others)])
        return accuracy, found.extraction_likelihood[self.order]

    def check(self, model, rows: Rows, by: Refinement, limit: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Similarity of each text's continuation to its true suffix, and whether it counts as forgotten.

        A text with a prompt is continued from there.
        """
        rules = list(zip(self.similarities, [limit, by.f1], strict=False))
        prefix: float | np.ndarray = by.prefix
        if rows.starts is None:
            rows = endings(rows, by.window)
        else:
            prefix = rows.starts.numpy()
        return forgotten(model, rows.input_ids, rules, rows.lengths, prefix=prefix, beams=by.beams)

    def thresholds(self, model) -> dict[str, float]:
        """Thresholds by column; `slack` standard errors are added to those taken from unseen text."""
        stop, rows = self.stop or Stop(), self.encoded["validation"].rows
        accuracy, likelihood = "memorization_accuracy", f"extraction_likelihood_{self.order}"
        given = {accuracy: stop.memorization_accuracy, likelihood: stop.extraction_likelihood}
        if self.refinement:
            given["similarity"] = self.refinement.forgotten
        asked = [name for name, value in given.items() if value == "unseen"]
        unseen: dict[str, np.ndarray] = {}
        if accuracy in asked or likelihood in asked:
            unseen[accuracy], extracted = self.measured(model, rows)
            unseen[likelihood] = extracted[~np.isnan(extracted)]
        if self.refinement and "similarity" in asked:
            unseen["similarity"] = self.check(model, rows, self.refinement)[0]
        return {
            name: float(unseen_threshold(unseen[name]).with_slack(stop.slack) if name in asked else value)
            for name, value in given.items()
        }


def memorized(model, rows: Rows) -> np.ndarray:
    """(N,) memorization accuracy."""
    passed = teacher_forced(model, rows.input_ids, rows.lengths)
    return memorization_accuracy(passed.correct, rows.scored.numpy())


def similarities(by: Refinement, tokenizer) -> list[Compare]:
    """How continuations are compared with the truth: by BLEU, and by BERTScore where an encoder is given."""
    found = [token_bleu if by.similarity == "tokens" else word_bleu(tokenizer)]
    if by.encoder is not None:
        found.append(word_bert_score(tokenizer, *models.encoder(by.encoder)))
    return found


def first_prefixes(rows: Rows, start: int) -> np.ndarray:
    """(N,) tokens of each row's shortest prefix: `start`, or its prompt where that is longer."""
    own = np.ones(len(rows), np.int64) if rows.starts is None else rows.starts.numpy()
    return np.maximum(own, start)


def endings(rows: Rows, window: int | None) -> Rows:
    """The last `window` tokens of each row, or the rows."""
    if window is None:
        return rows
    texts = zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True)
    return padded_rows([ids[max(0, length - window) : length] for ids, length in texts], pad=0)


def check_lengths(encoded: Encoded, name: str, order: int, start: int, most: int | None) -> None:
    """Raise InputError where too few texts have a term in the extraction likelihood: one, or two for thresholds."""
    lengths, needed = encoded.rows.lengths.numpy(), 2 if name == "validation" else 1
    if len(encoded) < needed:
        raise InputError("dataset.sizes.validation: 1; thresholds from unseen text need at least 2 examples")
    room = (lengths - first_prefixes(encoded.rows, start))[:most]
    long = int((room >= order).sum())
    if long < needed:
        row = room.argmin()
        where = f"example {encoded.ids[row]} of {name} has {lengths[row]} tokens, of which {room[row]} can be continued"
        raise InputError(f"training.stop.n: {order}: {where}; at least {needed} of {name} must have n")
    if long < len(room):
        log.info(
            "%d of %d texts of %s have no %d tokens to continue and no extraction likelihood",
            len(room) - long,
            len(room),
            name,
            order,
        )
