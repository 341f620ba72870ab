"""Extraction likelihood, memorization accuracy and margin of texts under any causal language model of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lethe.decoding.continuations import Decoder, end_tokens
from lethe.decoding.decoding import TeacherForced, checked, evaluating
from lethe.decoding.greedy_branches import Branches
from lethe.metrics.extraction_likelihood import extraction_likelihood, number_of_terms
from lethe.metrics.memorization_accuracy import memorization_accuracy
from lethe.system.progress import Progress


@dataclass(frozen=True)
class Extraction:
    """What can be drawn out of a model, one value per text.

    memorization_accuracy: (N,) float64 in [0, 1]. extraction_likelihood: n -> (N,) float64 in [0, 1]. margin: (N,)
    float64, the smallest gap between the two largest logits at any decision behind these values; below about 1e-4 in
    float32 a token may differ on another machine or in another batch. tokens: the pass over the true texts they rest
    on. continuations: the greedy continuations, if kept; `continuations.continuation(i, t)` is that of prefix t.
    """

    memorization_accuracy: np.ndarray
    extraction_likelihood: dict[int, np.ndarray]
    margin: np.ndarray
    tokens: TeacherForced
    continuations: Branches | None = None


def extraction(
    model, input_ids, n: Sequence[int] = (3, 5, 10), start: int | np.ndarray = 1, lengths=None, *,
    eos: Sequence[int] | None = None, batch_size: int = 32, decode_batch_tokens: int = 65536,
    logprob: bool = False, keep: bool = False, allow_short: bool = False, float32_head: bool = True,
) -> Extraction:  # fmt: skip
    """EL_n, MA and margin of every text; one pass over each text, and each distinct continuation decoded once.

    Continuations are those of `model.generate` without sampling, one text at a time, to the length of the text.

    Args:
        model: causal language model; its state is left as it is.
        input_ids: (N, T) int, padded on the right with anything.
        n: sizes of n-grams.
        start: shortest prefix, `t0`: 1 (Jang et al.), 150 (ICU); one number, or (N,) one per text.
        lengths: (N,) int in [2, T]; None: all T.
        eos: tokens that end a continuation; None: those of the model's generation settings; (): none.
        batch_size: texts in one pass; many logits are computed in parts, see `lethe.models.head`.
        decode_batch_tokens: tokens whose keys and values are held at once; bounds the memory.
        logprob: also compute `tokens.logprob`, `tokens.mu` and `tokens.sigma`.
        keep: keep the continuations, (M, T) tokens for M stops of the truth.
        allow_short: a text shorter than n + start tokens gets NaN as its EL_n, which is 0/0, not an error.
        float32_head: logits in float32 also where weights have less precision, and rounding would tie them.
    Raises:
        ValueError: shapes do not fit; a text has fewer than two tokens or, for an n, no term; decode_batch_tokens
            holds no two of the longest text. The first such row is named.
        InputError: the model keeps a state other than keys and values, and does not say so.
    """
    ids, lengths = checked(input_ids, lengths)
    for size in n:
        number_of_terms(lengths, size, start, allow_short)
    decoder = Decoder(model, end_tokens(model, eos), batch_size, decode_batch_tokens, logprob)
    parts = []
    with evaluating(model, float32_head), Progress("extraction", len(ids), "texts") as progress:
        for group in decoder.groups(lengths):
            sizes = lengths[group]
            texts = ids[group, : sizes.max()]
            first = start[group] if isinstance(start, np.ndarray) else start
            found, rows = decoder.read(texts, sizes, first, progress, all_prefixes=True)
            decoded = (texts, sizes, rows.example, rows.first, rows.text, rows.ends)
            likelihood = {size: extraction_likelihood(*decoded, size, first, allow_short) for size in n}
            parts.append((group, found, likelihood, smallest_gap(found, rows), rows if keep else None))
    return gathered(parts, ids.shape, n, keep)


def smallest_gap(found: TeacherForced, rows: Branches) -> np.ndarray:
    """(N,) float64 smallest gap of each text, over the pass and its branches."""
    smallest = np.where(found.mask, found.gap, np.inf).min(axis=1).astype(np.float64)
    np.minimum.at(smallest, rows.example, rows.gap)
    return smallest


def gathered(parts: list[tuple], shape: tuple[int, int], n: Sequence[int], keep: bool) -> Extraction:
    """Values of all groups in the order of the input."""
    groups, passes, likelihoods, margins, kept = zip(*parts, strict=True)
    back = np.argsort(np.concatenate(groups))
    names = [name for name, value in vars(passes[0]).items() if value is not None]
    tokens = TeacherForced(**{k: widened([vars(p)[k] for p in passes], shape[1] - 1)[back] for k in names})
    return Extraction(
        memorization_accuracy(tokens.correct, tokens.mask),
        {size: np.concatenate([values[size] for values in likelihoods])[back] for size in n},
        np.concatenate(margins)[back],
        tokens,
        merged(groups, kept, shape[1]) if keep else None,
    )


def merged(groups: Sequence[np.ndarray], rows: Sequence[Branches], width: int) -> Branches:
    """Branches of all groups, numbered and ordered by the texts of the input."""
    example = np.concatenate([group[part.example] for group, part in zip(groups, rows, strict=True)])
    first = np.concatenate([part.first for part in rows])
    order = np.lexsort((first, example))
    text = widened([part.text for part in rows], width)
    ends, gap = np.concatenate([part.ends for part in rows]), np.concatenate([part.gap for part in rows])
    return Branches(example[order], first[order], text[order], ends[order], gap[order])


def widened(arrays: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Rows of all arrays, with zeros up to a width."""
    return np.concatenate([np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in arrays])
