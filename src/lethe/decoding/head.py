"""Logits of a pass, no more at once than the memory holds, however large the vocabulary is.

Of a whole batch they are batch * T * V numbers: of 64 texts of 512 tokens 4 GB with a vocabulary of 32,000, and 33 GB
with one of 256,000. Where there are more than LOGITS the body of the model is passed once, and what follows on its
hidden states is computed for some positions of a text at a time. The model itself does so, as it may scale, cap or mix
its logits. A model that does not ask for its body as a whole gets fewer texts in a pass.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lethe.decoding.key_values import KeyValues
from lethe.models.fused import exchange, restore

LOGITS = 2**24  # 64 MB in float32; what is computed of them takes some five times as much


class BodyAskedError(Exception):
    """The body of a model was asked for its hidden states."""


def vocabulary(model) -> int:
    return model.config.get_text_config(decoder=True).vocab_size


def rows_at_once(model) -> int:
    """Rows of logits that are computed at once, at least one."""
    return max(1, LOGITS // vocabulary(model))


def asks_for_its_body(model) -> bool:
    """Do all logits follow from what the model's body, called as a whole, returns?"""
    body = getattr(model, "base_model", model)
    if body is model:
        return False

    def stop(module, *args, **kwargs):
        raise BodyAskedError

    undo = exchange([body], "forward", stop)
    try:
        model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device))
    except BodyAskedError:
        return True
    finally:
        restore(undo)
    return False


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
            yield row, begin, following(model, body, found, tokens[row : row + 1, part], row, part)


def following(model, body, found, tokens: Tensor, row: int, part: slice) -> Tensor:
    """(P, V) logits of a part of one text, from what the body has found of all."""
    hidden = found[0][row : row + 1, part]
    answer = type(found)(**{**found, "last_hidden_state": hidden})
    undo = exchange([body], "forward", lambda module, *args, **kwargs: answer)
    try:
        return model(input_ids=tokens, use_cache=False).logits[0]
    finally:
        restore(undo)
