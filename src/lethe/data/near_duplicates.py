"""Clusters of near-duplicates: texts that share many word n-grams, found with MinHash (Broder, 1997)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from datasketch import MinHash, MinHashLSH
from scipy.cluster.hierarchy import DisjointSet

PERMUTATIONS = 128
MISSED = 0.01  # of the pairs whose similarity is just the threshold; of more similar ones, far fewer
WORD = re.compile(r"\w+")


def clusters(texts: Sequence[str], ngram: int, similarity: float) -> np.ndarray:
    """Connected components of the texts whose sets of word n-grams have at least this Jaccard similarity.

    Candidates come from locality-sensitive hashing, which misses few; each is then compared exactly.

    Args:
        texts: N texts; one with fewer than `ngram` words counts as a single n-gram.
        ngram: words of an n-gram, >= 1.
        similarity: in (0, 1].
    Returns:
        (N,) int64, numbered from 0 in the order of first appearance.
    """
    shingles = [ngrams(text, ngram) for text in texts]
    linked = DisjointSet(range(len(texts)))
    for later, earlier in candidates(shingles, similarity):
        if not linked.connected(later, earlier) and jaccard(shingles[later], shingles[earlier]) >= similarity:
            linked.merge(later, earlier)
    return numbered(linked, len(texts))


def ngrams(text: str, n: int) -> set[int]:
    """64-bit hashes of the word n-grams of a text, without case and punctuation."""
    words = WORD.findall(text.lower())
    grams = (" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1)))
    return {int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "big") for gram in grams}


def candidates(shingles: list[set[int]], similarity: float) -> Iterator[tuple[int, int]]:
    """Pairs of positions (later, earlier) whose MinHash signatures agree in a band."""
    lsh = MinHashLSH(num_perm=PERMUTATIONS, params=bands(similarity))
    signature = MinHash(num_perm=PERMUTATIONS, hashfunc=lower_bits)
    for later, grams in enumerate(shingles):
        signature.clear()
        signature.update_batch(sorted(grams))
        for earlier in lsh.query(signature):
            yield later, earlier
        lsh.insert(later, signature)


def bands(similarity: float) -> tuple[int, int]:
    """(number of bands, rows of a band): the longest bands that miss a pair of this similarity seldom enough."""
    for rows in range(PERMUTATIONS // 2, 1, -1):
        count = PERMUTATIONS // rows
        if (1 - similarity**rows) ** count <= MISSED:
            return count, rows
    return PERMUTATIONS, 1


def lower_bits(value: int) -> int:
    return value & 0xFFFFFFFF


def jaccard(a: set[int], b: set[int]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def numbered(linked: DisjointSet, count: int) -> np.ndarray:
    """(count,) int64 number of the subset of each of 0 ... count - 1, from 0 in the order of first appearance."""
    return pd.factorize(np.array([linked[i] for i in range(count)], dtype=np.int64))[0].astype(np.int64)
