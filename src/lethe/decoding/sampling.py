"""Sampled continuations: many tries from the beginning of a text, each with random numbers of its own.

A try is a function of its numbers alone, so it does not depend on what else is in a batch, and two models that get
the same numbers are compared on the same luck.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lethe.decoding.continuations import Decoder, end_tokens
from lethe.decoding.decoding import checked, evaluating
from lethe.decoding.greedy_branches import Branches, decode
from lethe.system.arrays import NONE
from lethe.system.progress import Progress


def sampled_continuations(
    model, input_ids, prompts: np.ndarray, draws: np.ndarray, lengths=None, *, temperature: float = 1.0,
    eos: Sequence[int] | None = None, batch_size: int = 32, decode_batch_tokens: int = 65536,
) -> np.ndarray:  # fmt: skip
    """Continuations of the first tokens of each text, drawn from the model, to the text's length or an end of text.

    A token is the first at which the cumulative distribution of softmax(logits / temperature) exceeds its draw.

    Args:
        model, input_ids, lengths, eos, batch_size, decode_batch_tokens: see `lethe.decoding.extraction.extraction`.
        prompts: (N,) int, tokens of each prompt, at least 1 and fewer than the text has.
        draws: (N, K, W) in [0, 1), one for each token of each of K tries; W is at least the longest continuation.
        temperature: above 0; 1 draws from the model's own distribution.
    Returns:
        (N, K, W) int64 tokens, -1 after the last of a try.
    Raises:
        ValueError: a number is out of its range, or there are too few draws.
    """
    ids, lengths = checked(input_ids, lengths)
    tries, width = draws.shape[1:]
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}: it must be above 0")
    if (prompts < 1).any() or (prompts >= lengths).any() or (lengths - prompts > width).any():
        raise ValueError(f"prompts: each needs 1 token at least and leaves 1 to {width} of its text")
    decoder = Decoder(model, end_tokens(model, eos), batch_size, decode_batch_tokens)
    found = np.full(draws.shape, NONE)
    with evaluating(model), Progress("sampling", len(ids), "texts") as progress:
        for group in decoder.groups(lengths):
            texts = ids[group, : lengths[group].max()]
            rows = started(texts, prompts[group], tries)
            limit, first = lengths[group][rows.example], prompts[group][rows.example]
            choose = chooser(draws[group].reshape(-1, width), first, temperature)
            _, source, most = decoder.passed(texts, lengths[group])
            going = np.ones(len(limit), dtype=bool)
            decode(model, source, rows, going, limit, decoder.eos, most, lambda count: None, choose)
            place = np.arange(width) + first[:, None]
            inside = place < rows.ends[:, None]
            tokens = np.take_along_axis(rows.text, np.minimum(place, texts.shape[1] - 1), axis=1)
            found[group] = np.where(inside, tokens, NONE).reshape(len(group), tries, width)
            progress.add(len(group))
    return found


def started(texts: np.ndarray, prompts: np.ndarray, tries: int) -> Branches:
    """So many branches of each text that stand at the last token of its prompt."""
    example = np.repeat(np.arange(len(texts)), tries)
    last = prompts[example] - 1
    return Branches(example, last, texts[example], last + 1, np.full(len(example), np.inf))


def chooser(draws: np.ndarray, first: np.ndarray, temperature: float):
    """Takes the next tokens by the draws (M, W) of branches whose first drawn token has the position `first` (M,)."""

    def choose(logits: Tensor, branches: np.ndarray, position: int) -> tuple[Tensor, Tensor]:
        cumulative = (logits.double() / temperature).softmax(1).cumsum(1)
        draw = torch.as_tensor(draws[branches, position - first[branches]], device=logits.device)
        token = torch.searchsorted(cumulative, draw[:, None] * cumulative[:, -1:], right=True).squeeze(1)
        return token.clamp(max=logits.shape[1] - 1), logits.new_zeros(len(logits))

    return choose
