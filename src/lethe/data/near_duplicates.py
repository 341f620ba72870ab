"""Clusters of near-duplicates: texts that share many word n-grams, found with MinHash (Broder, 1997).

Case, punctuation, normal form (Unicode's) and what has no width do not matter. A text without words, such as one of
emoji, is compared by its characters. Where operators and brackets are many, as in programs and formulae, they must be
alike, too.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from datasketch import MinHash, MinHashLSH
from scipy.cluster.hierarchy import DisjointSet

from lethe.data.characters import normalised

PERMUTATIONS = 128
MISSED = 0.01  # of the pairs whose similarity is just the threshold; of more similar ones, far fewer
# Thai, Lao, Japanese, Chinese: no space separates words, and each character counts as one
WITHOUT_SPACES = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{WITHOUT_SPACES}]|[^\W{WITHOUT_SPACES}]+")
HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
OPERATORS = set("%&*/@#\\^-$()[]{}")  # and those of mathematics
MANY = 0.2  # operators of all words and operators


@dataclass(frozen=True)
class Shingles:
    """Hashes of the n-grams of a text's words and of its operators; it is formal if these are many."""

    words: set[int]
    operators: set[int]
    formal: bool


def clusters(texts: Sequence[str], ngram: int, similarity: float) -> np.ndarray:
    """Connected components of the texts whose sets of word n-grams have at least this Jaccard similarity.

    If one of two texts is formal, those of its operators must have it as well.

    Candidates come from locality-sensitive hashing, which misses few; each is then compared exactly.

    Args:
        texts: N texts; one with fewer than `ngram` words counts as a single n-gram.
        ngram: words of an n-gram, >= 1.
        similarity: in (0, 1].
    Returns:
        (N,) int64, numbered from 0 in the order of first appearance.
    """
    shingles = [shingles_of(text, ngram) for text in texts]
    linked = DisjointSet(range(len(texts)))
    for later, earlier in candidates([each.words for each in shingles], similarity):
        if not linked.connected(later, earlier) and alike(shingles[later], shingles[earlier], similarity):
            linked.merge(later, earlier)
    return numbered(linked, len(texts))


def shingles_of(text: str, n: int) -> Shingles:
    text = normalised(text)
    words = words_of(text)
    operators = [c for c in HYPHEN.sub("", text) if c in OPERATORS or unicodedata.category(c) == "Sm"]
    formal = len(operators) >= MANY * (len(words) + len(operators))
    return Shingles(ngrams(words, n), ngrams(operators, n), formal)


def words_of(text: str) -> list[str]:
    """Words of a normalised text; of one that has none its characters."""
    return WORD.findall(text) or [character for character in text if not character.isspace()]


def ngrams(words: list[str], n: int) -> set[int]:
    """Hashes of the n-grams of a sequence; a shorter one is a single n-gram."""
    return hashes(" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1)))


def hashes(grams: Iterable[str]) -> set[int]:
    """64 bits of each."""
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


def alike(a: Shingles, b: Shingles, similarity: float) -> bool:
    if jaccard(a.words, b.words) < similarity:
        return False
    return not (a.formal or b.formal) or jaccard(a.operators, b.operators) >= similarity


def jaccard(a: set[int], b: set[int]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def numbered(linked: DisjointSet, count: int) -> np.ndarray:
    """(count,) int64 number of the subset of each of 0 ... count - 1, from 0 in the order of first appearance."""
    return pd.factorize(np.array([linked[i] for i in range(count)], dtype=np.int64))[0].astype(np.int64)
