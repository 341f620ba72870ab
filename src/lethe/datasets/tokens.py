"""An array of token ids, such as that of the Training Data Extraction Challenge: text by decoding, tokens kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import ByteLevelBPETokenizer, Tokenizer

from lethe.data.file_bytes import check_size
from lethe.params.data import Source
from lethe.system.errors import InputError
from lethe.system.files import digest
from lethe.system.quoting import reason


def examples(source: Source, key: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of a (N, T) array of token ids; the id of a row is its number, from 0.

    Args:
        source: `source` is the .npy file, `tokenizer` the folder of the tokenizer that made it.
        key: place in params.yaml, for messages.
    Returns:
        (frame id, text, label (None), subject (None), tokens (list of T int)), and the origin: SHA-256 of the array
        and of the tokenizer.
    Raises:
        InputError: a file is missing, or the array holds something else than ids of the tokenizer.
    """
    array = read_array(source, key)
    folder = Path(source.tokenizer or "")
    tokenizer = read_tokenizer(folder, key)
    known = tokenizer.get_vocab_size()
    if array.size and not 0 <= array.min() <= array.max() < known:
        found = f"ids from {array.min()} to {array.max()}"
        raise InputError(f"{key}.tokenizer: {folder} knows ids below {known}; {source.source} holds {found}")
    rows = array.tolist()
    named = {
        "id": [str(row) for row in range(len(rows))],
        "text": tokenizer.decode_batch(rows, skip_special_tokens=False),
        "label": None,
        "subject": None,
        "tokens": rows,
    }
    return pd.DataFrame(named, dtype=object), {
        "sha256": digest(source.source),
        "tokenizer": digest(folder),
    }


def read_array(source: Source, key: str) -> np.ndarray:
    path = Path(source.source)
    check_size(path, f"{key}.source", source.max_bytes)
    try:  # mapped first: a header that promises more than the file holds would be believed
        array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # headers are parsed as Python, with all errors of its own
        raise InputError(f"{key}.source: {path} cannot be read as .npy: {reason(error)}") from None
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        found = f"{array.ndim} dimensions of {array.dtype}"
        raise InputError(
            f"{key}.source: {source.source} holds {found}; two dimensions of integers are needed"
        )
    return array


def read_tokenizer(folder: Path, key: str) -> Tokenizer | ByteLevelBPETokenizer:
    """The tokenizer of a folder: `tokenizer.json`, or the `vocab.json` and `merges.txt` of a byte-level BPE."""
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    try:
        if (folder / "tokenizer.json").is_file():
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
        if vocabulary.is_file() and merges.is_file():
            return ByteLevelBPETokenizer.from_file(str(vocabulary), str(merges))
    except Exception as error:  # the library raises no other type
        raise InputError(f"{key}.tokenizer: {folder} cannot be read: {str(error).splitlines()[0]}") from None
    raise InputError(
        f"{key}.tokenizer: {folder} holds no tokenizer; tokenizer.json, or vocab.json and merges.txt, needed"
    )
