"""Does a file hold the words of a text? Whatever its format: text, gzip, JSON, Parquet, arrays of text or of tokens."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lethe.data.characters import normalised
from lethe.data.near_duplicates import words_of

ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
LARGEST = 2**30  # bytes of a file that is looked into
TOKENS = ("suffix", "completion", "tries", "tokens")  # arrays of token ids
Decode = Callable[[list[int]], str]


@dataclass(frozen=True)
class Wanted:
    """n-grams of words by which texts are known, of length n, those that no other text of the study has.

    grams: n-gram -> the longest of its words, without which a text need not be cut into n-grams at all.
    """

    grams: dict[str, str]
    n: int

    def found_in(self, texts: Iterable[str]) -> int:
        """How many of them stand in texts, taken together."""
        rare, found = {*self.grams.values()}, set()
        for text in texts:
            form = normalised(text)
            if any(word in form for word in rare):
                found |= grams_of(form, self.n).keys() & self.grams.keys()
        return len(found)


def wanted_of(texts: Sequence[str], others: Iterable[str], n: int) -> Wanted:
    """What tells texts from others. Where nothing does, as of a text that others repeat, all their n-grams.

    A text shorter than n words is known by all its words.
    """
    forms = [form for form in map(normalised, texts) if words_of(form)]
    n = min([n, *(len(words_of(form)) for form in forms)])
    own = {gram: word for form in forms for gram, word in grams_of(form, n).items()}
    shared = set().union(*(grams_of(normalised(text), n) for text in others))
    alone = {gram: word for gram, word in own.items() if gram not in shared}
    return Wanted(alone or own, n)


def grams_of(form: str, n: int) -> dict[str, str]:
    """Each n-gram of a normalised text -> its longest word."""
    words = words_of(form)
    cut = [words[i : i + n] for i in range(len(words) - n + 1)]
    return {" ".join(gram): max(gram, key=len) for gram in cut}


def is_weights(head: bytes) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON header, and the header."""
    return len(head) > 8 and head[8:9] == b"{" and 2 <= struct.unpack("<Q", head[:8])[0] < 2**27


def texts_in(content: bytes, decodes: Sequence[Decode] = ()) -> Iterator[str]:
    """All text in the bytes of a file; of weights none.

    Args:
        decodes: tokenizers' decoders, by which arrays of token ids are read.
    """
    if is_weights(content[:16]):
        return
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return
    if content[:4] == b"PAR1":
        yield from texts_in_parquet(content)
    elif content[:4] == b"PK\x03\x04":
        yield from texts_in_zip(content, decodes)
    else:
        text = content.decode("utf-8", errors="ignore")
        yield text
        if "\\" in text:  # JSON in ASCII, and line breaks that are written out
            yield ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).replace("\\n", "\n")


def texts_in_parquet(content: bytes) -> Iterator[str]:
    from pyarrow import ArrowInvalid, parquet

    try:
        table = parquet.read_table(io.BytesIO(content))
    except (ArrowInvalid, OSError):
        return
    for column in table.columns:
        yield from strings_in(column.to_pylist())


def strings_in(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from strings_in(list(value.values()))
        case list() if all(isinstance(one, str | None) for one in value):
            words = [one for one in value if one is not None]
            yield from words
            yield " ".join(words)  # of a tagged text
        case list():
            for one in value:
                yield from strings_in(one)


def texts_in_zip(content: bytes, decodes: Sequence[Decode]) -> Iterator[str]:
    """Members of an archive; of an archive of arrays their texts, and their tokens as text."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, zlib.error):
        return
    for name, member in members.items():
        if not name.endswith(".npy"):
            yield from texts_in(member, decodes)
            continue
        try:
            array = np.load(io.BytesIO(member), allow_pickle=False)
        except ValueError:
            continue
        if array.dtype.kind in "US":
            yield from map(str, array.ravel())
        elif name.removesuffix(".npy") in TOKENS and array.ndim and array.dtype.kind in "iu":
            for row in array.reshape(-1, array.shape[-1]):
                yield from (decode([int(token) for token in row if token >= 0]) for decode in decodes)


def ids_in(content: bytes) -> set[str]:
    """Record ids beside values per example: of scores.npz and of tables."""
    if content[:4] == b"PK\x03\x04":
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return set(map(str, file["ids"])) if "ids" in file.files else set()
        except (ValueError, OSError, zipfile.BadZipFile):
            return set()
    if content[:4] == b"PAR1":
        from pyarrow import ArrowInvalid, parquet

        try:
            names = [n for n in ("id", "analogue") if n in parquet.read_schema(io.BytesIO(content)).names]
            table = parquet.read_table(io.BytesIO(content), columns=names)
        except (ArrowInvalid, OSError):
            return set()
        return {str(value) for column in table.columns for value in column.to_pylist()}
    return set()
