"""Which texts hold the words of others: equal, equal but for looks, nearly, or within a longer one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from lethe.data.characters import normalised
from lethe.data.near_duplicates import alike, shingles_of

Kind = Literal["exact", "normalised", "near", "within"]


def looks(text: str) -> str:
    """One form of texts that differ in case, width, normal form or space alone."""
    return " ".join(normalised(text).split())


def holders(
    wanted: Sequence[str], texts: Sequence[str], ngram: int, similarity: float
) -> Iterator[tuple[int, int, Kind]]:
    """(position in `texts`, position in `wanted`, how it holds it), in the order of `texts`.

    near: a near-duplicate as `lethe.data.near_duplicates` has it, every pair compared exactly; within: not that, but
    the words of the wanted text stand in it one after the other, or so large a share of its n-grams does.

    Args:
        wanted: M texts that are looked for.
        texts: N texts in which they may stand.
        ngram, similarity: as the study's.
    """
    shingles = [shingles_of(text, ngram) for text in wanted]
    forms = [looks(text) for text in wanted]
    having: dict[int, list[int]] = defaultdict(list)  # n-gram -> wanted texts
    for place, one in enumerate(shingles):
        for gram in one.words:
            having[gram].append(place)
    for row, text in enumerate(texts):
        form, own = looks(text), shingles_of(text, ngram)
        shared: dict[int, int] = defaultdict(int)
        for gram in own.words:
            for place in having.get(gram, ()):
                shared[place] += 1
        for place, one in enumerate(shingles):
            if forms[place] == form:
                yield row, place, "exact" if wanted[place] == text else "normalised"
            elif place in shared and alike(own, one, similarity):
                yield row, place, "near"
            elif f" {forms[place]} " in f" {form} " or shared[place] >= similarity * len(one.words):
                yield row, place, "within"
