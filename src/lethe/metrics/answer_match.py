"""Exact match of answers: does the model say the true answer, and nothing else?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lethe.metrics.common.aggregates import set_means

NEEDS = ("logprob", "answer_match")


def of_answers(said: Sequence[str | None], true: Sequence[str | None]) -> dict[str, np.ndarray]:
    """answer_match (N,): 1 where both are equal but for case and blanks at the ends, else 0; NaN: nothing was asked."""
    pairs = zip(said, true, strict=True)
    return {
        "answer_match": np.array([np.nan if s is None or t is None else float(alike(s, t)) for s, t in pairs])
    }


def alike(said: str, true: str) -> bool:
    return said.strip().lower() == true.strip().lower()


def values(scores, settings):
    return {"answer_match": np.ma.masked_invalid(scores["answer_match"])}


def aggregate(scores, values, settings, seed):
    return set_means("answer_match", values["answer_match"], scores["sets"])
