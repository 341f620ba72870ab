"""Does a model still continue a text from its beginning? The check of iterative contrastive unlearning (ICU).

Each text is continued from its prefix and compared with its true suffix (Tang et al., 2024, arXiv:2407.20271). Only
the texts that are given are continued, all in one batch; one that is left out cannot be found to have come back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch

from lethe.decoding.continuations import end_tokens, greedy_continuations
from lethe.decoding.decoding import checked, evaluating
from lethe.decoding.key_values import keeps_keys_and_values
from lethe.decoding.similarity import bert_score, bleu

Tokens = list[np.ndarray]
WORDS = re.compile(r"\w+|[^\w\s]")
Compare = Callable[[Tokens, Tokens], np.ndarray]


def forgotten(
    model, input_ids, rules: Sequence[tuple[Compare, float]], lengths=None, *, prefix: float | int | np.ndarray = 0.5,
    generated: int | None = None, beams: int = 1, batch_size: int = 64, decode_batch_tokens: int = 65536,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Similarity of each continuation to the true suffix, and whether the text counts as forgotten.

    Args:
        model: causal language model; its state is left as it is.
        input_ids: (N, T) int, padded on the right.
        rules: a similarity and its threshold; a text is forgotten if any similarity is at most its threshold. Later
            ones are only asked about texts that the earlier ones do not call forgotten.
        lengths: (N,) int in [2, T]; None: all T.
        prefix, generated, beams, batch_size, decode_batch_tokens: see `continuations`.
    Returns:
        (N,) float64 similarity by the first rule, and (N,) bool, the text is forgotten.
    Raises:
        ValueError: no rule, or as `continuations`.
    """
    if not rules:
        raise ValueError("no rule: at least one similarity with its threshold is needed")
    ours, true = continuations(
        model, input_ids, lengths, prefix=prefix, generated=generated, beams=beams, batch_size=batch_size,
        decode_batch_tokens=decode_batch_tokens,
    )  # fmt: skip
    gone, found = np.zeros(len(ours), dtype=bool), []
    for compare, threshold in rules:
        asked = np.flatnonzero(~gone)
        values = compare([ours[i] for i in asked], [true[i] for i in asked])
        found.append(values)
        gone[asked] = values <= threshold
    return found[0], gone


def continuations(
    model, input_ids, lengths=None, *, prefix: float | int | np.ndarray = 0.5, generated: int | None = None,
    beams: int = 1, batch_size: int = 64, decode_batch_tokens: int = 65536,
) -> tuple[Tokens, Tokens]:  # fmt: skip
    """What the model appends to the prefix of each text, up to an end of text, and what is there in truth.

    Args:
        prefix: tokens of the prompt, one number or (N,) one per text, or a float in (0, 1), its share of the text,
            rounded down to at least 1.
        generated: tokens to continue by at most; None: to the end of the text. ICU: prefix 50, generated 50, beams 2.
        beams: width of the beam search by `model.generate`; 1 is greedy and continues only from where the model
            leaves the truth.
        batch_size: texts in one pass or one search; texts whose prompt and continuation are equally long are searched
            together, without padding.
    Returns:
        N arrays of the tokens appended, N of the true tokens.
    Raises:
        ValueError: a text is not longer than its prefix, and the shortest is named; a number is out of its range.
    """
    ids, lengths = checked(input_ids, lengths)
    prompts = prompt_lengths(lengths, prefix)
    if beams < 1 or (generated is not None and generated < 1):
        raise ValueError(f"beams {beams}, generated {generated}: both must be at least 1")
    totals = lengths if generated is None else np.minimum(lengths, prompts + generated)
    true = [row[a:b] for row, a, b in zip(ids, prompts, totals, strict=True)]
    if beams > 1:
        return searched(model, ids, prompts, totals, beams, batch_size), true
    ours = greedy_continuations(
        model,
        ids[:, : totals.max()],
        prompts,
        totals,
        batch_size=batch_size,
        decode_batch_tokens=decode_batch_tokens,
    )
    return ours, true


def prompt_lengths(lengths: np.ndarray, prefix: float | int | np.ndarray) -> np.ndarray:
    """(N,) tokens of each prompt."""
    if isinstance(prefix, float):
        if not 0 < prefix < 1:
            raise ValueError(f"prefix {prefix}: a number of tokens, or a share between 0 and 1")
        return np.maximum((lengths * prefix).astype(np.int64), 1)
    prompts = np.broadcast_to(prefix, lengths.shape)
    if (wrong := (prompts < 1) | (prompts >= lengths)).any():
        row = int(np.argmin(np.where(wrong, lengths, lengths.max() + 1)))
        what = f"prefix {prompts[row]}: row {row} has {lengths[row]} tokens"
        raise ValueError(f"{what}; at least 1 and fewer than each text")
    return prompts.copy()


def searched(model, ids, prompts, totals, beams: int, batch_size: int) -> Tokens:
    """Beam search of texts of equal shape at a time: beams do not depend on the batch."""
    found, eos = [ids[0, :0]] * len(ids), end_tokens(model)
    shapes = np.stack([prompts, totals], 1)
    cached = keeps_keys_and_values(model)  # some keep another state where a search cannot reorder it
    with evaluating(model):
        for prompt, total in np.unique(shapes, axis=0):
            alike = np.flatnonzero((shapes == (prompt, total)).all(1))
            for begin in range(0, len(alike), batch_size):
                rows = alike[begin : begin + batch_size]
                tokens = torch.from_numpy(ids[rows, :prompt]).to(model.device)
                out = model.generate(
                    tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=int(total - prompt), num_beams=beams,
                    do_sample=False, pad_token_id=int(eos[0]) if len(eos) else 0, use_cache=cached,
                )  # fmt: skip
                for row, text in zip(rows, out[:, prompt:].cpu().numpy(), strict=True):
                    found[row] = until_end(text, eos)
    return found


def until_end(tokens: np.ndarray, eos: np.ndarray) -> np.ndarray:
    """Tokens up to and with the first end of text; what `generate` appends to it is padding."""
    ends = np.flatnonzero(np.isin(tokens, eos))
    return tokens[: ends[0] + 1] if len(ends) else tokens


def token_bleu(ours: Tokens, true: Tokens) -> np.ndarray:
    """(N,) smoothed BLEU-4 over token ids: needs no tokenizer and no words."""
    return np.array([bleu(list(a), list(b)) for a, b in zip(ours, true, strict=True)], dtype=np.float64)


def word_bleu(tokenizer) -> Compare:
    """Unsmoothed BLEU-4 over words and punctuation marks of the decoded texts in lower case: 0 without a common 4-gram.

    ICU takes its words from nltk's tokenizer, which also splits contractions.
    """

    def compare(ours: Tokens, true: Tokens) -> np.ndarray:
        texts = [[WORDS.findall(text.lower()) for text in decoded(tokenizer, side)] for side in (ours, true)]
        return np.array([bleu(a, b or [""], smooth=False) for a, b in zip(*texts, strict=True)], np.float64)

    return compare


def word_bert_score(tokenizer, encoder, encoder_tokenizer) -> Compare:
    """BERTScore F1 of the decoded texts."""

    def compare(ours: Tokens, true: Tokens) -> np.ndarray:
        return bert_score(decoded(tokenizer, ours), decoded(tokenizer, true), encoder, encoder_tokenizer)

    return compare


def decoded(tokenizer, tokens: Tokens) -> list[str]:
    return tokenizer.batch_decode([list(map(int, row)) for row in tokens], skip_special_tokens=True)
