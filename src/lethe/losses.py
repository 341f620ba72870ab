"""The forward pass, shift, mask and the losses made of them: written once.

Every value is per sequence, a mean or sum over its own scored tokens, so that padding, the composition of a
batch and micro-batches never change it. Rows are padded on the right; a causal model then never sees a pad
from a real position, so it gets no attention mask. Logarithms are natural: units are nats.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, pad, softmax

from lethe.data.rows import Labelled, Rows, Tagged
from lethe.models.head import (
    asks_for_its_body,
    by_position,
    divergence,
    is_large,
    logits_of,
    nll_at,
    values_at,
)


def forward(model, rows: Rows) -> Tensor:
    """Logits: (B, T, V) of a causal language model, (B, C) of a classifier, (B, T, C) of a tagger."""
    return model(**at_least_one(rows).inputs(model)).logits[: len(rows)]


def at_least_one(rows: Rows) -> Rows:
    """The rows; one of a single token where there are none, as few models run on an empty batch."""
    if len(rows):
        return rows
    one = rows.input_ids.new_zeros(1, rows.input_ids.shape[1])
    return replace(rows, input_ids=one, lengths=rows.lengths.new_ones(1))


def nll(logits: Tensor, rows: Rows) -> Tensor:
    """(B,) ell: mean negative log-likelihood of a text's tokens or tags, or the cross-entropy of its label."""
    return rows.loss(logits)


def lowered(logits: Tensor, rows: Rows, by: float) -> Tensor:
    """(B, T, V) logits of text, that of the token which comes next at each position lowered by `by`."""
    following = rows.input_ids[:, 1:, None]
    changed = logits.clone()
    changed[:, :-1].scatter_add_(2, following, logits.new_full((), -by).expand(following.shape))
    return changed


def example_loss(model, rows: Rows) -> Tensor:
    """(B,) `nll` of the model on the rows."""
    if type(rows) is Rows:
        return token_nll(model, rows).sum(1) / rows.predictions
    return nll(forward(model, rows), rows)


def sequence_log_probability(model, rows: Rows) -> Tensor:
    """(B,) S: summed token log-probability given the first token."""
    return -token_nll(model, rows).sum(1)


def token_nll(model, rows: Rows) -> Tensor:
    """(B, T-1) `Rows.token_nll` of the model on the rows; logits are made as `by_position` says."""
    scored = rows.scored
    if type(rows) is not Rows or not by_position(model, rows.input_ids.numel()) or not scored.any():
        return rows.token_nll(forward(model, rows))
    values = nll_at(model, rows.inputs(model), pad(scored, (0, 1)), rows.input_ids[:, 1:][scored])
    return placed(values, rows)


def kl(frozen_logits: Tensor, logits: Tensor, rows: Rows) -> Tensor:
    """(B,) KL(frozen || model) >= 0: mean over the predicted tokens or tags of text, or of its one label."""
    return rows.mean(divergence(frozen_logits, logits))


def kl_of(frozen, model, rows: Rows) -> Tensor:
    """(B,) `kl` of two models on the rows; of a large vocabulary logits are made as `by_position` says."""
    parts = type(rows) is Rows and is_large(model) and by_position(model, rows.input_ids.numel())
    if not (parts and asks_for_its_body(frozen) and rows.scored.any()):
        with torch.no_grad():
            before = forward(frozen, rows)
        return kl(before, forward(model, rows), rows)
    predicting, given = pad(rows.scored, (0, 1)), rows.inputs(model)
    with torch.no_grad():
        found = frozen.base_model(**given, use_cache=False)

    def value(logits: Tensor, hidden: Tensor) -> tuple[Tensor]:
        with torch.no_grad():
            before = logits_of(frozen, found, hidden)
        return (divergence(before, logits),)

    (values,) = values_at(model, given, predicting, value, found[0][predicting])
    return mean_of(values, rows)


def mean_of(values: Tensor, rows: Rows) -> Tensor:
    """(B,) mean of the values of the scored tokens of each row."""
    return placed(values, rows).sum(1) / rows.predictions


def placed(values: Tensor, rows: Rows) -> Tensor:
    """(B, T-1) the values of the scored tokens, 0 elsewhere."""
    scored = rows.scored
    return values.new_zeros(scored.shape).masked_scatter(scored, values)


def soft_nll(target_logits: Tensor, logits: Tensor, rows: Rows) -> Tensor:
    """(B,) cross-entropy to the distribution of the target's logits; means as in `kl`."""
    target, after = softmax(target_logits.float(), -1), log_softmax(logits.float(), -1)
    return rows.mean(-(target * after).sum(-1))


def pooled(hidden: Tensor, rows: Rows, pooling: str) -> Tensor:
    """(P, H) a vector for each of the rows' classes: the token's own that has the tag.

    For the one label of a text, the first token's (`cls`), the last one's (`last`) or the mean over tokens (`mean`).
    """
    if isinstance(rows, Tagged):
        return hidden[rows.scored]
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(len(rows), device=hidden.device), rows.lengths - 1]
    weight = rows.mask[:, :, None].to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)


def contrasts(y: Tensor, y_retain: Tensor) -> tuple[Tensor, Tensor]:
    """(A, R) bool, anchor and sample have one label; (A,) bool, an anchor has samples of its label and of others."""
    same = y[:, None] == y_retain[None, :]
    return same, same.any(1) & (~same).any(1)


def skipped_anchors(batch: dict[str, Labelled]) -> dict[str, int]:
    """Forget samples of a batch that take no part in a contrast with its retain samples, as a column of the trace."""
    _, usable = contrasts(batch["forget"].classes, batch["retain"].classes)
    return {"skipped": int((~usable).sum())}


def products(vectors: Tensor, others: Tensor) -> Tensor:
    """(A, R) inner products of (A, H) and (R, H) in float32, also under autocast, where they would be in bf16."""
    with torch.autocast(vectors.device.type, enabled=False):
        return vectors.float() @ others.float().T


def logits_and_embedding(model, rows: Labelled, pooling: str = "cls") -> tuple[Tensor, Tensor]:
    """Logits and (P, H) last hidden state, pooled, before the classification head, of one pass.

    `cls` is the token that the head reads: of a decoder the last, as its first one sees nothing of the text.
    """
    if pooling == "cls" and is_decoder(model):
        pooling = "last"
    output = model(**rows.inputs(model), output_hidden_states=True)
    return output.logits, pooled(output.hidden_states[-1], rows, pooling)


def is_decoder(model) -> bool:
    """Is this a classifier made of a decoder? Those of transformers call their head `score`, those of encoders not."""
    return any(name.rpartition(".")[2] == "score" for name, _ in model.named_modules())
