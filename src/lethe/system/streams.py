"""Named random streams: one per decision, so that adding a draw shifts no other."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, *names: str | int) -> int:
    """Integer in [0, 2**63) that depends on the seed and on every name, the same on every machine."""
    digest = hashlib.sha256(repr((int(seed), *map(str, names))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Generator of the stream `names` of a seed, e.g. `stream(3, "forget")` or `stream(3, "order", epoch)`."""
    return np.random.default_rng(stream_seed(seed, *names))


def first_of_stream(count: int, most: int) -> np.ndarray:
    """At most `most` of the indices 0…count-1, sorted."""
    if count <= most:
        return np.arange(count)
    return np.sort(stream(0, "score", count).permutation(count)[:most])
