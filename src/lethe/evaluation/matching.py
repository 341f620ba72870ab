"""Non-members that match the forget set, so that an attack finds what was learnt and not what is merely longer."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np


def matched(sets: np.ndarray, characters: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """For each forget example the test example of its class that is nearest in length; none is taken twice.

    The longest choose first, as long texts are rare. A class of which test has fewer examples than forget takes
    all it has.

    Args:
        sets: (N,) names.
        characters: (N,) length of each text, > 0; nearness is by ratio.
        labels: (N,) classes, or None: any example may match any other.
    Returns:
        (N,) bool, only test examples.
    """
    chosen = np.zeros(len(sets), bool)
    classes = np.zeros(len(sets)) if labels is None else labels
    for name in np.unique(classes[sets == "forget"]):
        here = classes == name
        wanted = np.sort(np.log(characters[here & (sets == "forget")]))[::-1]
        rows = np.flatnonzero(here & (sets == "test"))
        rows = rows[np.argsort(characters[rows], kind="stable")]
        free, lengths = rows.tolist(), np.log(characters[rows]).tolist()
        for length in wanted[: len(rows)]:
            at = bisect_left(lengths, length)
            near = [i for i in (at - 1, at) if 0 <= i < len(lengths)]
            best = min(near, key=lambda i: abs(lengths[i] - length))
            chosen[free.pop(best)] = True
            lengths.pop(best)
    return chosen
