"""Extraction likelihood, memorization accuracy and margin from their definitions: slow, plain, text by text.

Every token is decided by a pass over its whole prefix: no batch, no padding, no cache, nothing shared.
"""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch

from lethe.decoding import extraction as fast
from lethe.decoding.sampling import sampled_continuations
from lethe.decoding.wordings import answer_logprob


@torch.no_grad()
def decided(model, prefix: list[int]) -> tuple[int, float]:
    """The greedy token after a prefix, and the gap between the two largest logits."""
    logits = model(torch.tensor([prefix])).logits[0, -1].float().tolist()
    ranked = sorted(logits, reverse=True)
    return logits.index(ranked[0]), ranked[0] - ranked[1]


def continuation(model, prefix: list[int], length: int, eos=()) -> tuple[list[int], float]:
    """Tokens appended to the prefix, up to a total length or a token in `eos`, and the smallest gap met."""
    text, gap = list(prefix), inf
    while len(text) < length and (len(text) == len(prefix) or text[-1] not in eos):
        token, one = decided(model, text)
        text.append(token)
        gap = min(gap, one)
    return text[len(prefix) :], gap


def overlap(a: list[int], b: list[int], n: int) -> float:
    """Share: n-grams of a, with multiplicity, that occur in b, over the number of n-grams of b."""
    grams_a = [tuple(a[i : i + n]) for i in range(len(a) - n + 1)]
    grams_b = [tuple(b[i : i + n]) for i in range(len(b) - n + 1)]
    return sum(gram in grams_b for gram in grams_a) / len(grams_b)


def extraction_likelihood(
    text: list[int], continuations: dict[int, list[int]], n: int, start: int = 1
) -> float:
    """Mean over prefixes start .. T-n; `continuations` holds one per prefix. ZeroDivisionError without a term."""
    prefixes = range(start, len(text) - n + 1)
    return sum(overlap(continuations[t], text[t:], n) for t in prefixes) / len(prefixes)


def extraction(model, text: list[int], ns, start: int = 1, eos=()) -> tuple[dict[int, float], float, float]:
    """EL_n of each n, MA and margin of one text."""
    forced = [decided(model, text[:t]) for t in range(1, len(text))]
    accuracy = sum(token == truth for (token, _), truth in zip(forced, text[1:], strict=True)) / len(forced)
    found = {t: continuation(model, text[:t], len(text), eos) for t in range(start, len(text))}
    margin = min(gap for _, gap in [*forced, *found.values()])
    tokens = {t: c for t, (c, _) in found.items()}
    return {n: extraction_likelihood(text, tokens, n, start) for n in ns}, accuracy, margin


def check_decoding(model, texts, lengths: np.ndarray) -> None:
    """What is decoded is that of passes without a cache, as answers are whose prompt is read once.

    Draws do not depend on what is decoded together.
    """
    found = fast.extraction(model, texts, n=(2,), lengths=lengths)
    for row, length in enumerate(lengths):
        likelihood, accuracy, margin = extraction(model, texts[row, :length].tolist(), (2,))
        assert found.memorization_accuracy[row] == pytest.approx(accuracy)
        assert found.extraction_likelihood[2][row] == pytest.approx(likelihood[2])
        assert found.margin[row] == pytest.approx(margin, abs=1e-4)
    count = len(texts)
    draws = np.random.default_rng(0).random((count, 2, 12))
    tries = sampled_continuations(model, texts, np.full(count, 4), draws, lengths)
    again = sampled_continuations(model, texts, np.full(count, 4), draws, lengths, decode_batch_tokens=60)
    assert np.array_equal(tries, again)
    answers = np.concatenate([texts[:1], texts])
    answers[0, 4:] = texts[-1, 4:]  # another answer to the prompt of the next
    lengths = np.array([lengths[-1], *lengths])
    found = answer_logprob(model, answers, lengths, np.full(len(answers), 4), batch_size=2)
    for own, text, length in zip(found, answers, lengths, strict=True):
        tokens = torch.tensor(text[None, :length])
        with torch.no_grad():
            each = model(tokens).logits[0, :-1].float().log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
        np.testing.assert_allclose(own[3 : length - 1], each[3:].numpy(), atol=1e-5)
        assert not own[:3].any() and not own[length - 1 :].any()
