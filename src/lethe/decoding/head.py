"""Logits of a pass over true texts, no more at once than the memory holds (`lethe.models.head`).

A model that does not ask for its body as a whole gets fewer texts in a pass.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from lethe.decoding.key_values import KeyValues
from lethe.models.head import asks_for_its_body, logits_of, rows_at_once


def passes(model, batch_size: int, width: int) -> tuple[int, bool]:
    """Texts of up to `width` tokens in one pass, and whether their logits are computed in parts."""
    in_parts = batch_size * width > rows_at_once(model) and asks_for_its_body(model)
    return batch_size if in_parts else min(batch_size, max(1, rows_at_once(model) // width)), in_parts


def predictions(
    model, tokens: Tensor, lengths: list[int], cache: KeyValues | None, in_parts: bool
) -> Iterator[tuple[int, int, Tensor]]:
    """Text, position, and the logits (P, V) of that and the next positions; all that predict a token of their text.

    Args:
        model: as within `evaluating`.
        tokens: (B, T), padded on the right.
        lengths: tokens of each text.
        cache: keeps the keys and values of the pass.
        in_parts: at most `rows_at_once` at a time; else all follow from one pass and are in memory.
    """
    given = {"use_cache": False} if cache is None else cache.given
    if not in_parts:
        logits = model(input_ids=tokens, **given).logits
        yield from ((row, 0, logits[row, : length - 1]) for row, length in enumerate(lengths))
        return
    body, step = model.base_model, rows_at_once(model)
    found = body(input_ids=tokens, **given)
    for row, length in enumerate(lengths):
        for begin in range(0, length - 1, step):
            part = slice(begin, min(begin + step, length - 1))
            yield row, begin, logits_of(model, found, found[0][row, part])
