"""What metrics of answers share: which examples are meant, and which sets are to be forgotten."""

from __future__ import annotations

import numpy as np

Scores = dict[str, np.ndarray]
FORGET = ("forget", "forgotten")  # how the names of sets begin whose examples are to be forgotten


def is_forgotten(name: str) -> bool:
    """Is a set to be forgotten? `forget`, earlier requests, and probes such as `forget_paraphrased`."""
    return name.startswith(FORGET)


def without_end(scores: Scores) -> np.ndarray:
    """(N, T) bool, the scored tokens but the end token of answers: whoever wrote the text did not write that.

    A text of which nothing else is scored keeps it.
    """
    mask = scores["mask"]
    if "ends" not in scores:  # optional
        return mask
    last = mask & (np.cumsum(mask[:, ::-1], axis=1)[:, ::-1] == 1)
    shorter = mask & ~(last & scores["ends"][:, None])
    return np.where(shorter.any(axis=1, keepdims=True), shorter, mask)
