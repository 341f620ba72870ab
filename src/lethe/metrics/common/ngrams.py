"""n-grams of any tokens; without torch, so that metrics can have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def ngrams(tokens: Sequence | np.ndarray, n: int) -> Counter:
    """How often each n-gram occurs; nothing where there are fewer than n tokens."""
    tokens = list(tokens)
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
