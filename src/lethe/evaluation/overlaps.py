"""Texts that stand in two sets, word for word or nearly: what is said of one set is then said of the other."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lethe.data.near_duplicates import clusters
from lethe.params.data import Dataset

PAIRS = (  # the set that is compared, and the one its texts should not be in
    ("holdout", "forget"), ("test", "forget"), ("test", "holdout"),
    ("retain", "forget"), ("holdout", "retain"), ("test", "retain"),
)  # fmt: skip


def overlaps(frames: dict[str, pd.DataFrame]) -> dict[tuple[str, str], int]:
    """Pair of sets -> how many texts of the first are (near-)duplicates of texts of the second; none is left out.

    Args:
        frames: set -> examples with a column text.
    """
    ngram, similarity = (Dataset.model_fields[name].default for name in ("ngram", "similarity"))
    sets = np.concatenate([np.full(len(frame), name) for name, frame in frames.items()])
    texts = pd.concat(frames.values())["text"].tolist()
    cluster = clusters(texts, ngram, similarity)
    found = {}
    for one, other in PAIRS:
        count = int(np.isin(cluster[sets == one], cluster[sets == other]).sum())
        if count:
            found[one, other] = count
    return found
