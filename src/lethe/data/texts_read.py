"""What a model read of each text: its tokens after the cut, as text and as a checksum."""

from __future__ import annotations

import zlib

import numpy as np

from lethe.data.encoding import Encoded


def texts_read(encoded: Encoded, tokenizer, scored: bool = False) -> list[str]:
    """The tokens of each row decoded, without those that frame it; the text itself, if the tokenizer loses nothing.

    Args:
        scored: leave out a prompt, whose tokens are not scored.
    """
    rows = encoded.rows
    starts = rows.starts.tolist() if scored and rows.starts is not None else [0] * len(rows)
    tokens = [
        ids[:length] for ids, length in zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True)
    ]
    if not rows.framed:
        tokens = [unframed(ids, tokenizer, start) for ids, start in zip(tokens, starts, strict=True)]
    return tokenizer.batch_decode(tokens, skip_special_tokens=rows.framed, clean_up_tokenization_spaces=False)


def unframed(ids: list[int], tokenizer, start: int) -> list[int]:
    """Tokens from `start` on, without one beginning and one end of text."""
    begin = max(start, int(ids[:1] == [tokenizer.bos_token_id]))
    end = len(ids) - int(len(ids) > begin and ids[-1] == tokenizer.eos_token_id)
    return ids[begin:end]


def checksums(encoded: Encoded) -> np.ndarray:
    """(N,) int64 checksum of the tokens of each text: what two models read can be compared by it."""
    rows = zip(encoded.rows.input_ids.numpy(), encoded.rows.lengths.tolist(), strict=True)
    return np.array([zlib.crc32(ids[:length].tobytes()) for ids, length in rows], np.int64)
