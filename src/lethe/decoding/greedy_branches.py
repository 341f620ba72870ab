"""Greedy continuations of every prefix of a text, each distinct one decoded once.

From prefix t greedy decoding follows the true text up to the first position p >= t where it stops doing so: all
prefixes with the same p share one continuation, a branch. Only branches are decoded, from copies of the keys and
values of the one pass over the true texts, or, of models that keep another state, by reading them again. All branches
that are being decoded stand at the same position, so there is no padding among them; a branch that has ended leaves
its row to another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lethe.decoding.decoding import TeacherForced, greedy
from lethe.decoding.key_values import KeyValues, Prefixes
from lethe.models.composed import cache_windows
from lethe.models.head import rows_at_once

# (B, V) float32 logits, which may be used up, of the B branches given, and the position of the token to be chosen
# -> (B,) tokens, (B,) gaps
Choose = Callable[[Tensor, np.ndarray, int], tuple[Tensor, Tensor]]


def most_likely(logits: Tensor, branches: np.ndarray, position: int) -> tuple[Tensor, Tensor]:
    """Greedy decoding."""
    return greedy(logits)


@dataclass
class Branches:
    """Distinct continuations of texts, M rows sorted by (example, first).

    example: (M,) the text. first: (M,) position of the first generated token, the text's length where the truth itself
    is the continuation. text: (M, T) the true prefix, then what was generated. ends: (M,) the continuation ends before
    this position. gap: (M,) smallest gap met in decoding.
    """

    example: np.ndarray
    first: np.ndarray
    text: np.ndarray
    ends: np.ndarray
    gap: np.ndarray

    def continuation(self, example: int, prefix: int) -> np.ndarray:
        """Tokens that greedy decoding appends to the first `prefix` tokens of a text."""
        row = np.flatnonzero((self.example == example) & (self.first >= prefix))[0]
        return self.text[row, prefix : self.ends[row]]

    def shortest(self) -> Branches:
        """The first branch of each text, which continues its shortest prefix."""
        rows = np.unique(self.example, return_index=True)[1]
        return Branches(**{name: value[rows] for name, value in vars(self).items()})


def branches(
    ids: np.ndarray, lengths: np.ndarray, found: TeacherForced, start: int | np.ndarray, eos: np.ndarray
) -> Branches:
    """Branches of all prefixes of at least `start` tokens (one number, or one per text), with their first token.

    The truth is left where the greedy token differs from it, and also where it rightly is an end of text.
    """
    stops = np.pad(found.mask & (~found.correct | np.isin(found.predicted, eos)), ((0, 0), (1, 1)))
    stops[np.arange(len(ids)), lengths] = True  # the truth itself
    stops &= np.arange(stops.shape[1]) >= np.reshape(start, (-1, 1))
    example, first = np.nonzero(stops)
    generated = first < lengths[example]
    text = ids[example]
    rows = np.flatnonzero(generated)
    text[rows, first[rows]] = found.predicted[example[rows], first[rows] - 1]
    return Branches(example, first, text, first + generated, np.full(len(first), np.inf))


def unended(branches: Branches, limit: np.ndarray, eos: np.ndarray) -> np.ndarray:
    """(M,) bool, the first generated token of a branch is neither an end of text nor the last before its limit."""
    last = branches.text[np.arange(len(limit)), np.minimum(branches.first, limit - 1)]
    return (branches.first + 1 < limit) & ~np.isin(last, eos)


def decode(
    model, source: KeyValues | Prefixes, branches: Branches, going: np.ndarray, limit: np.ndarray, eos: np.ndarray,
    rows: int,
    report: Callable[[int], None], choose: Choose = most_likely,
) -> None:  # fmt: skip
    """Complete the branches in place, at most `rows` at once, and fewer where their logits were too many.

    Args:
        model: as within `evaluating`.
        source: keys and values of the texts, row i those of text i; or nothing.
        going: (M,) bool, the branches that are continued after their position `first`; used up.
        limit: (M,) where continuations end at the latest.
        eos: tokens that end a continuation.
        report: called with the number of tokens decoded, now and then.
        choose: takes the next tokens out of their logits.
    """
    waiting = np.flatnonzero(going)
    waiting = waiting[np.argsort(branches.first[waiting], kind="stable")]
    width = branches.text.shape[1]
    rows = min(rows, rows_at_once(model))
    slab: KeyValues | Prefixes = Prefixes(model)
    if isinstance(source, KeyValues):
        slab = KeyValues(model, min(rows, len(waiting)), width, cache_windows(model))
    elif "logits_to_keep" not in slab.given:
        rows = max(1, rows_at_once(model) // width)
    while len(waiting):
        room = min(rows, len(waiting))
        waiting = walk(model, source, slab, branches, limit, eos, going, waiting, room, report, choose)


def walk(model, source, slab, branches, limit, eos, going, waiting, rows, report, choose) -> np.ndarray:
    """One walk over the positions with up to `rows` branches at once; returns those that found no room.

    Row r of the slab holds branch active[r]. `waiting` are branches sorted by their first position.
    """
    active, left_over = waiting[:0], []
    starts = branches.first[waiting]
    for position in range(int(starts[0]), branches.text.shape[1] - 1):
        slab.stand(position)
        active = compacted(slab, active, going[active])
        due = waiting[np.searchsorted(starts, position) : np.searchsorted(starts, position, "right")]
        due, late = np.split(due, [rows - len(active)])
        left_over.append(late)
        if len(due):
            slab.admit(source, branches.example[due], len(active))
            active = np.concatenate([active, due])
        if not len(active):
            continue
        tokens = torch.from_numpy(branches.text[active, slab.unread(position) : position + 1]).to(
            model.device
        )
        logits = model(input_ids=tokens, **slab.given).logits[:, -1].float()
        token, gap = (value.cpu().numpy() for value in choose(logits, active, position + 1))
        branches.text[active, position + 1] = token
        branches.ends[active] = position + 2
        branches.gap[active] = np.minimum(branches.gap[active], gap)
        going[active] = (position + 2 < limit[active]) & ~np.isin(token, eos)
        report(len(active))
    return np.concatenate(left_over)


def compacted(slab: KeyValues | Prefixes, active: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """Branches of the rows that stay, moved into the first rows; only rows behind a hole move."""
    count = int(stays.sum())
    holes, behind = np.flatnonzero(~stays[:count]), count + np.flatnonzero(stays[count:])
    if len(holes):
        slab.move(behind, holes)
        active = active.copy()
        active[holes] = active[behind]
    return active[:count]
