"""Rows of tokens, padded on the right: what every model reads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lethe.system.arrays import NO_TAG


@dataclass(frozen=True)
class Rows:
    """Token sequences, padded on the right.

    input_ids: (B, T) int64; lengths: (B,) int64 in [1, T]; labels: (B,) int64 class indices, of tagged text (B, T) with
    NO_TAG where a token has none, or None for text to be modelled; starts: (B,) int64 in [1, T), the first token after
    what is asked, or None: the first that a loss scores, or of a labelled pair of texts that of the second.
    """

    input_ids: Tensor
    lengths: Tensor
    labels: Tensor | None = None
    starts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def mask(self) -> Tensor:
        """(B, T) bool, the position holds a token and not a pad."""
        return torch.arange(self.input_ids.shape[1], device=self.lengths.device) < self.lengths[:, None]

    @property
    def tagged(self) -> bool:
        """Does each word have a label, rather than the whole text?"""
        return self.labels is not None and self.labels.dim() == 2

    @property
    def classes(self) -> Tensor:
        """(P,) classes to be predicted: one of each labelled text, of tagged ones one of each tag, row by row."""
        assert self.labels is not None, "text to be modelled has no classes"
        return self.labels[self.scored] if self.tagged else self.labels

    @property
    def scored(self) -> Tensor:
        """(B, T-1) bool, tokens 1… that a loss scores: neither pads nor the prompt; (B, T) the tokens with a tag."""
        if self.labels is not None and self.tagged:
            return self.labels != NO_TAG
        tokens = self.mask[:, 1:]
        if self.starts is None:
            return tokens
        return tokens & (
            torch.arange(1, self.input_ids.shape[1], device=tokens.device) >= self.starts[:, None]
        )

    def __getitem__(self, index) -> Rows:
        """Rows at an index array or slice, cut to their longest."""
        lengths = self.lengths[index]
        width = int(lengths.max()) if len(lengths) else 1
        labels, starts = (None if x is None else x[index] for x in (self.labels, self.starts))
        labels = labels[:, :width] if labels is not None and self.tagged else labels
        return Rows(self.input_ids[index][:, :width], lengths, labels, starts)

    def to(self, device) -> Rows:
        labels, starts = (None if x is None else moved(x, device) for x in (self.labels, self.starts))
        return Rows(moved(self.input_ids, device), moved(self.lengths, device), labels, starts)


def moved(tensor: Tensor, device) -> Tensor:
    """The tensor on a device; a GPU copies one of the host when it comes to it, and is not waited for."""
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def joined(parts: list[Rows]) -> Rows:
    """Rows of all parts, padded with 0 to the longest; where some have a prompt, the others begin at token 1."""
    width = max(part.input_ids.shape[1] for part in parts)
    padded = [torch.nn.functional.pad(p.input_ids, (0, width - p.input_ids.shape[1])) for p in parts]
    labelled = [part.labels for part in parts if part.labels is not None]
    labels = torch.cat(labelled) if labelled else None
    starts = None
    if any(part.starts is not None for part in parts):
        starts = torch.cat([torch.ones_like(p.lengths) if p.starts is None else p.starts for p in parts])
    return Rows(torch.cat(padded), torch.cat([p.lengths for p in parts]), labels, starts)
