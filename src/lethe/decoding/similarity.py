"""How much a continuation resembles the true one: BLEU over tokens or words, BERTScore by a given encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lethe.metrics.common.ngrams import ngrams

ORDERS = 4


def bleu(candidate: Sequence | np.ndarray, reference: Sequence | np.ndarray, smooth: bool = True) -> float:
    """BLEU-4 of one pair (Papineni et al., ACL 2002), over any tokens that can be compared.

    Args:
        candidate, reference: tokens or words; the reference holds at least one.
        smooth: add one to the matches and the counts of 2-, 3- and 4-grams (Lin and Och, COLING 2004), without which
            a pair that shares no 4-gram has value 0.
    Returns:
        In [0, 1]; 1 for equal sequences (unsmoothed: of at least four tokens), 0 without a common token.
    Raises:
        ValueError: the reference is empty.
    """
    if not len(reference):
        raise ValueError("the reference is empty: nothing can resemble it")
    logs = []
    for n in range(1, ORDERS + 1):
        ours, true = ngrams(candidate, n), ngrams(reference, n)
        plus = int(smooth and n > 1)
        matched, count = (ours & true).total() + plus, ours.total() + plus
        if not matched:
            return 0.0
        logs.append(np.log(matched / count))
    return float(np.exp(min(0.0, 1 - len(reference) / len(candidate)) + np.mean(logs)))


@torch.no_grad()
def bert_score(
    candidates: Sequence[str], references: Sequence[str], encoder, tokenizer, batch_size: int = 64
) -> np.ndarray:
    """BERTScore F1 (Zhang et al., ICLR 2020, arXiv:1904.09675), not rescaled, every word the same weight.

    Args:
        candidates, references: (N,) texts.
        encoder: model whose last hidden states represent words; a shortened BERT gives an inner layer.
        tokenizer: its tokenizer; special tokens may be matched but are not averaged over.
    Returns:
        (N,) float64, at most 1, which equal texts have; 0 where one text has no word or nothing is alike.
    """
    ours = embedded(candidates, encoder, tokenizer, batch_size)
    true = embedded(references, encoder, tokenizer, batch_size)
    return np.array([matched_f1(*pair) for pair in zip(ours, true, strict=True)], dtype=np.float64)


def embedded(texts: Sequence[str], encoder, tokenizer, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Per text unit vectors (L, H) of its tokens and (L,) bool, the token is a word and not special."""
    found = []
    for begin in range(0, len(texts), batch_size):
        batch = tokenizer(
            list(texts[begin : begin + batch_size]), return_tensors="pt", padding=True, truncation=True,
            return_special_tokens_mask=True,
        ).to(encoder.device)  # fmt: skip
        special = batch.pop("special_tokens_mask").bool()
        vectors = torch.nn.functional.normalize(encoder(**batch).last_hidden_state.float(), dim=-1)
        for row, token in enumerate(batch["attention_mask"].bool()):
            found.append((vectors[row, token], ~special[row, token]))
    return found


def matched_f1(ours: tuple[Tensor, Tensor], true: tuple[Tensor, Tensor]) -> float:
    """Harmonic mean of the mean best cosine of our words and of the true words; 0 where there is no word."""
    if not (ours[1].any() and true[1].any()):
        return 0.0
    cosine = ours[0] @ true[0].T
    precision = float(cosine.amax(1)[ours[1]].mean())
    recall = float(cosine.amax(0)[true[1]].mean())
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0
