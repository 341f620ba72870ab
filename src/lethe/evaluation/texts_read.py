"""What a model read of each text: its tokens after the cut, as text and as a checksum."""

from __future__ import annotations

import zlib

import numpy as np

from lethe.data.encoding import Encoded


def texts_read(encoded: Encoded, tokenizer) -> list[str]:
    """The tokens of each row decoded, without those that frame it; the text itself, if the tokenizer loses nothing."""
    labelled = encoded.rows.labels is not None
    rows = zip(encoded.rows.input_ids.tolist(), encoded.rows.lengths.tolist(), strict=True)
    tokens = [ids[:length] if labelled else unframed(ids[:length], tokenizer) for ids, length in rows]
    return tokenizer.batch_decode(tokens, skip_special_tokens=labelled, clean_up_tokenization_spaces=False)


def unframed(ids: list[int], tokenizer) -> list[int]:
    """Tokens without one beginning and one end of text."""
    begin = int(ids[:1] == [tokenizer.bos_token_id])
    end = len(ids) - int(len(ids) > begin and ids[-1] == tokenizer.eos_token_id)
    return ids[begin:end]


def checksums(encoded: Encoded) -> np.ndarray:
    """(N,) int64 checksum of the tokens of each text: what two models read can be compared by it."""
    rows = zip(encoded.rows.input_ids.numpy(), encoded.rows.lengths.tolist(), strict=True)
    return np.array([zlib.crc32(ids[:length].tobytes()) for ids, length in rows], np.int64)
