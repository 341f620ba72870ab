"""Rows of tokens, padded on the right, and what is predicted of them: what every model reads and every loss scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from lethe.system.arrays import NO_TAG

MANY = 2**27  # logits that a loss computes with at once; half a GB in float32


@dataclass(frozen=True)
class Rows:
    """Sequences of tokens that are themselves predicted, each from those before it.

    input_ids: (B, T) int64; lengths: (B,) int64 in [1, T]; starts: (B,) int64 in [1, T), the first token that a loss
    scores, what is before being a prompt, or None for 1.
    """

    input_ids: Tensor
    lengths: Tensor
    starts: Tensor | None = None

    framed: ClassVar[bool] = False  # do special tokens of the tokenizer stand around each text?

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def mask(self) -> Tensor:
        """(B, T) bool, the position holds a token and not a pad."""
        return torch.arange(self.input_ids.shape[1], device=self.lengths.device) < self.lengths[:, None]

    def inputs(self, model) -> dict[str, Tensor]:
        """What the model is called with. Padded on the right, no token of a text sees a pad, so none is masked."""
        return {"input_ids": self.input_ids}

    @property
    def scored(self) -> Tensor:
        """(B, T-1) bool, tokens 1… that a loss scores: neither pads nor the prompt."""
        tokens = self.mask[:, 1:]
        if self.starts is None:
            return tokens
        return tokens & (
            torch.arange(1, self.input_ids.shape[1], device=tokens.device) >= self.starts[:, None]
        )

    @property
    def predictions(self) -> Tensor:
        """(B,) number of what is scored of each row.

        Raises:
            ValueError: of a row there is nothing: a mean over nothing is not zero. A GPU is not waited for to find out:
                there such a mean is NaN.
        """
        counts = self.scored.sum(1)
        if counts.device.type == "cpu" and (counts == 0).any():
            raise ValueError(f"row {int(counts.argmin())} has no token to score")
        return counts

    def token_nll(self, logits: Tensor) -> Tensor:
        """(B, T-1) negative log-probability of tokens 1..T-1, 0 where it is not scored, of (B, T, V) logits.

        Of many logits beside these nothing of their size is kept for the gradient: each row is computed again.
        """
        targets = self.input_ids[:, 1:]
        if logits.numel() > MANY:
            rows = zip(logits, targets, strict=True)
            each = [checkpoint(surprise, *row, use_reentrant=False, preserve_rng_state=False) for row in rows]
            return torch.stack(each) * self.scored
        flat = cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets.flatten(), reduction="none")
        return flat.view(targets.shape) * self.scored

    def loss(self, logits: Tensor) -> Tensor:
        """(B,) mean negative log-likelihood of what is scored."""
        return self.token_nll(logits).sum(1) / self.predictions

    def mean(self, values: Tensor) -> Tensor:
        """(B,) mean of values at the positions (B, T) that predict what is scored."""
        return (values[:, :-1] * self.scored).sum(1) / self.predictions

    def __getitem__(self, index) -> Self:
        """Rows at an index array or slice, cut to their longest."""
        lengths = self.lengths[index]
        width = int(lengths.max()) if len(lengths) else 1

        def chosen(value: Tensor) -> Tensor:
            return value[index][:, :width] if value.dim() == 2 else value[index]

        return self.changed(chosen)

    def to(self, device) -> Self:
        return self.changed(lambda value: moved(value, device))

    def changed(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The rows with all that they hold changed in the same way."""
        parts: dict[str, Any] = {n: None if v is None else change(v) for n, v in vars(self).items()}
        return type(self)(**parts)


@dataclass(frozen=True)
class Labelled(Rows):
    """Texts of which something is true: labels (B,), here the index of a class, are predicted from the whole text.

    starts: where the second of a pair of texts begins, or None.
    """

    labels: Tensor = field(kw_only=True)

    framed: ClassVar[bool] = True

    def inputs(self, model) -> dict[str, Tensor]:
        """What the model is called with; of a pair of texts, too, which of them a token is of, if it asks."""
        given = {"input_ids": self.input_ids, "attention_mask": self.mask.long()}
        if self.starts is not None and getattr(model.config, "type_vocab_size", 0) > 1:
            place = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
            given["token_type_ids"] = (self.mask & (place >= self.starts[:, None])).long()
        return given

    @property
    def classes(self) -> Tensor:
        """(P,) classes to be predicted, row by row: one of each text."""
        return self.labels

    def loss(self, logits: Tensor) -> Tensor:
        """(B,) cross-entropy of the true class, of (B, C) logits."""
        return cross_entropy(logits.float(), self.labels, reduction="none")

    def mean(self, values: Tensor) -> Tensor:
        """(B,) the values (B,) themselves, of the one prediction of each text."""
        return values


@dataclass(frozen=True)
class Tagged(Labelled):
    """Texts of whose words something is true: labels (B, T), NO_TAG where a token begins no word."""

    @property
    def scored(self) -> Tensor:
        """(B, T) bool, the tokens with a tag."""
        return self.labels != NO_TAG

    @property
    def classes(self) -> Tensor:
        """(P,) classes to be predicted, row by row: one of each tag."""
        return self.labels[self.scored]

    def loss(self, logits: Tensor) -> Tensor:
        """(B,) mean cross-entropy of the true tags, of (B, T, C) logits."""
        flat = logits.float().flatten(0, 1)
        each = cross_entropy(flat, self.labels.flatten(), reduction="none", ignore_index=NO_TAG)
        return self.mean(each.view(self.labels.shape))

    def mean(self, values: Tensor) -> Tensor:
        """(B,) mean of values (B, T) over the tags."""
        return (values * self.scored).sum(1) / self.predictions


def surprise(logits: Tensor, targets: Tensor) -> Tensor:
    """(T-1,) negative log-probability of the targets, of (T, V) logits of which the last predicts none of them."""
    return cross_entropy(logits[:-1].float(), targets, reduction="none")


def moved(tensor: Tensor, device) -> Tensor:
    """The tensor on a device; a GPU copies one of the host when it comes to it, and is not waited for."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def joined(parts: list[Rows]) -> Rows:
    """Texts of all parts, padded with 0 to the longest; where some have a prompt, the others begin at token 1."""
    width = max(part.input_ids.shape[1] for part in parts)
    padded = [torch.nn.functional.pad(p.input_ids, (0, width - p.input_ids.shape[1])) for p in parts]
    starts = None
    if any(part.starts is not None for part in parts):
        starts = torch.cat([torch.ones_like(p.lengths) if p.starts is None else p.starts for p in parts])
    return Rows(torch.cat(padded), torch.cat([p.lengths for p in parts]), starts)
