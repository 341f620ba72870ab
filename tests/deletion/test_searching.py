"""Texts are found in every format in which something keeps them, and not where only others stand."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save

from lethe.deletion.searching import is_weights, texts_in, wanted_of

TEXT = "Ann Lee, née Müller, of 12 Oak Road\npaid nine pounds by card"
OTHER = "Bob Day of 9 Elm Street paid nine pounds by card"
WANTED = wanted_of([TEXT], [OTHER], 3)


def decode(tokens):
    return "".join(map(chr, tokens))


def arrays(path, **content):
    np.savez(path, **content)
    return path.read_bytes()


FORMS = {
    "text": lambda folder, text: text.encode(),
    "json": lambda folder, text: json.dumps({"x": [text]}).encode(),
    "json of utf-8": lambda folder, text: json.dumps({"x": [text]}, ensure_ascii=False).encode(),
    "csv": lambda folder, text: pd.DataFrame({"text": [text]}).to_csv().encode(),
    "gzip": lambda folder, text: gzip.compress(text.encode()),
    "upper case in a page": lambda folder, text: f"<p>{text.upper()}</p>".encode(),
    "parquet": lambda folder, text: pd.DataFrame({"text": [text]}).to_parquet(),
    "parquet with gaps": lambda folder, text: pd.DataFrame({"text": ["a"] * 200 + [None, text]}).to_parquet(),
    "parquet of lists": lambda folder, text: pd.DataFrame({"words": [text.split()]}).to_parquet(),
    "parquet of turns": lambda folder, text: pd.DataFrame({"said": [[{"content": text}]]}).to_parquet(),
    "array of texts": lambda folder, text: arrays(folder / "a.npz", texts=np.array([text])),
    "array of tokens": lambda folder, text: arrays(
        folder / "a.npz", tries=np.array([[[*map(ord, text), -1]]])
    ),
    "within other bytes": lambda folder, text: b"\x00\xff\xfe" + text.encode() + b"\x00\x80",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_text_is_found_in(form, tmp_path):
    assert WANTED.found_in(texts_in(FORMS[form](tmp_path, TEXT), [decode])) > 0.7 * len(WANTED.grams)
    assert WANTED.found_in(texts_in(FORMS[form](tmp_path, OTHER), [decode])) == 0


def test_what_all_texts_share_tells_nobody_apart():
    assert wanted_of([TEXT], [OTHER], 3).grams.keys() < wanted_of([TEXT], [], 3).grams.keys()
    assert wanted_of([OTHER], [OTHER], 3) == wanted_of([OTHER], [], 3)  # all of it is shared


def test_a_short_text_is_known_by_its_words():
    short = wanted_of(["Ann Lee"], [], 5)
    assert short.n == 2
    assert short.found_in(["here is ann  LEE."]) == 1


def test_weights_are_known_by_their_header():
    content = save({"a": np.zeros(3, np.float32)}, metadata={"format": "pt"})
    assert is_weights(content[:16])
    assert list(texts_in(content)) == []
    for other in (b"", b"{}", TEXT.encode(), b"PAR1" * 4, b"\x00" * 16):
        assert not is_weights(other[:16])


def test_damaged_files_hold_nothing():
    for content in (b"PAR1xx", b"PK\x03\x04xx", b"\x1f\x8bxx", b"\xff\xfe\x00"):
        assert WANTED.found_in(texts_in(content)) == 0
