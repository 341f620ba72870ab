"""The forward pass, shift, mask and the losses made of them: written once.

Every value is per sequence, a mean or sum over its own scored tokens, so that padding, the composition of a
batch and micro-batches never change it. Rows are padded on the right; a causal model then never sees a pad
from a real position, so it gets no attention mask. Logarithms are natural: units are nats.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softmax

from lethe.data.rows import NO_TAG, Rows


def forward(model, rows: Rows) -> Tensor:
    """Logits: (B, T, V) of a causal language model, (B, C) of a classifier, (B, T, C) of a tagger."""
    some = at_least_one(rows)
    if rows.labels is None:
        return model(input_ids=some.input_ids).logits[: len(rows)]
    return model(**classified(model, some)).logits[: len(rows)]


def classified(model, rows: Rows) -> dict[str, Tensor]:
    """What a classifier or a tagger is given; of a pair of texts, too, which of them a token is of, if it asks."""
    given = {"input_ids": rows.input_ids, "attention_mask": rows.mask.long()}
    if rows.starts is not None and getattr(model.config, "type_vocab_size", 0) > 1:
        place = torch.arange(rows.input_ids.shape[1], device=rows.input_ids.device)
        given["token_type_ids"] = (rows.mask & (place >= rows.starts[:, None])).long()
    return given


def at_least_one(rows: Rows) -> Rows:
    """The rows; one of a single token where there are none, as few models run on an empty batch."""
    if len(rows):
        return rows
    return Rows(rows.input_ids.new_zeros(1, rows.input_ids.shape[1]), rows.lengths.new_ones(1))


def token_nll(logits: Tensor, rows: Rows) -> Tensor:
    """(B, T-1) negative log-probability of tokens 1..T-1, 0 where it is not scored."""
    targets = rows.input_ids[:, 1:]
    flat = cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets.flatten(), reduction="none")
    return flat.view(targets.shape) * rows.scored


def scored_tokens(rows: Rows) -> Tensor:
    """(B,) number of scored tokens: all but the first and the prompt, or those with a tag.

    Raises:
        ValueError: a sequence has none: a mean over nothing is not zero. A GPU is not waited for to find out: there
            such a mean is NaN.
    """
    counts = rows.scored.sum(1)
    if counts.device.type == "cpu" and (counts == 0).any():
        raise ValueError(f"row {int(counts.argmin())} has no token to score")
    return counts


def nll(logits: Tensor, rows: Rows) -> Tensor:
    """(B,) ell: mean negative log-likelihood of a text's tokens or tags, or the cross-entropy of its label."""
    if rows.labels is not None:
        flat = logits.float().flatten(0, -2)
        each = cross_entropy(flat, rows.labels.flatten(), reduction="none", ignore_index=NO_TAG)
        return mean_prediction(each.view(rows.labels.shape), rows)
    return token_nll(logits, rows).sum(1) / scored_tokens(rows)


def lowered(logits: Tensor, rows: Rows, by: float) -> Tensor:
    """(B, T, V) logits of text, that of the token which comes next at each position lowered by `by`."""
    following = rows.input_ids[:, 1:, None]
    changed = logits.clone()
    changed[:, :-1].scatter_add_(2, following, logits.new_full((), -by).expand(following.shape))
    return changed


def example_loss(model, rows: Rows) -> Tensor:
    """(B,) `nll` of the model on the rows."""
    return nll(forward(model, rows), rows)


def sequence_log_probability(model, rows: Rows) -> Tensor:
    """(B,) S: summed token log-probability given the first token."""
    return -token_nll(forward(model, rows), rows).sum(1)


def kl(frozen_logits: Tensor, logits: Tensor, rows: Rows) -> Tensor:
    """(B,) KL(frozen || model) >= 0: mean over the predicted tokens or tags of text, or of its one label."""
    before, after = log_softmax(frozen_logits.float(), -1), log_softmax(logits.float(), -1)
    return mean_prediction((before.exp() * (before - after)).sum(-1), rows)


def soft_nll(target_logits: Tensor, logits: Tensor, rows: Rows) -> Tensor:
    """(B,) cross-entropy to the distribution of the target's logits; means as in `kl`."""
    target, after = softmax(target_logits.float(), -1), log_softmax(logits.float(), -1)
    return mean_prediction(-(target * after).sum(-1), rows)


def mean_prediction(values: Tensor, rows: Rows) -> Tensor:
    """(B,) mean of (B, T) values over the positions that predict a token or a tag; the (B,) values of labelled rows."""
    if rows.labels is not None and not rows.tagged:
        return values
    predicted = values if rows.tagged else values[:, :-1]
    return (predicted * rows.scored).sum(1) / scored_tokens(rows)


def pooled(hidden: Tensor, rows: Rows, pooling: str) -> Tensor:
    """(P, H) a vector for each of the rows' classes: the token's own that has the tag.

    For the one label of a text, the first token's (`cls`), the last one's (`last`) or the mean over tokens (`mean`).
    """
    if rows.tagged:
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


def skipped_anchors(batch: dict[str, Rows]) -> dict[str, int]:
    """Forget samples of a batch that take no part in a contrast with its retain samples, as a column of the trace."""
    _, usable = contrasts(batch["forget"].classes, batch["retain"].classes)
    return {"skipped": int((~usable).sum())}


def products(vectors: Tensor, others: Tensor) -> Tensor:
    """(A, R) inner products of (A, H) and (R, H) in float32, also under autocast, where they would be in bf16."""
    with torch.autocast(vectors.device.type, enabled=False):
        return vectors.float() @ others.float().T


def logits_and_embedding(model, rows: Rows, pooling: str = "cls") -> tuple[Tensor, Tensor]:
    """Logits and (P, H) last hidden state, pooled, before the classification head, of one pass.

    `cls` is the token that the head reads: of a decoder the last, as its first one sees nothing of the text.
    """
    if pooling == "cls" and is_decoder(model):
        pooling = "last"
    output = model(**classified(model, rows), output_hidden_states=True)
    return output.logits, pooled(output.hidden_states[-1], rows, pooling)


def is_decoder(model) -> bool:
    """Is this a classifier made of a decoder? Those of transformers call their head `score`, those of encoders not."""
    return any(name.rpartition(".")[2] == "score" for name, _ in model.named_modules())
