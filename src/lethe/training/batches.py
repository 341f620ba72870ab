"""Which rows are seen at which step: a pure function of seed and position, so a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from lethe.data.rows import Rows, joined
from lethe.params.training import Training
from lethe.system.streams import stream

PAIRED = ("analogue", "alternative")  # roles whose rows belong to those of the forget set


@dataclass(frozen=True)
class TrainingRows:
    """Rows by role; `pairs` (N_forget, K) are the indices of each forget row's analogues, nearest first.

    For an objective that reads alternatives, they are the indices of those. Without pairs, analogues are drawn like
    any other role.
    """

    roles: dict[str, Rows]
    pairs: np.ndarray | None = None
    general: Rows | None = field(default=None)


def deck(seed: int, role: str, size: int, first: int, count: int) -> np.ndarray:
    """(count,) indices at positions first… of an endless row of shuffled decks of 0…size-1."""
    positions = np.arange(first, first + count)
    cycles = positions // size
    shuffled = {c: stream(seed, "deck", role, int(c)).permutation(size) for c in np.unique(cycles)}
    return np.array([shuffled[c][p] for c, p in zip(cycles, positions % size, strict=True)])


def epoch_order(seed: int, epoch: int, active: np.ndarray) -> np.ndarray:
    """The active indices of the first role, shuffled for this epoch."""
    return stream(seed, "order", epoch).permutation(np.flatnonzero(active))


@dataclass(frozen=True)
class Batches:
    """Batches of one run."""

    rows: TrainingRows
    recipe: Training
    terms: dict[str, str]  # term -> role it is a mean over; the first role is passed over once an epoch
    seed: int
    roles_of: Callable[[int], Iterable[str]] | None = None  # an epoch -> the roles it trains on; None: all
    fixed: bool = False  # batches are made of all rows; those of rows that are skipped stay smaller
    length: int | None = (
        None  # steps of the run, whose last epoch ends where they do; None: those of its epochs
    )

    @property
    def sizes(self) -> dict[str, int]:
        return cast(dict[str, int], self.recipe.batch)

    @property
    def first_role(self) -> str:
        return next(iter(self.terms.values()))

    def order(self, epoch: int, active: np.ndarray) -> list[np.ndarray]:
        """Rows of the first role in each batch of an epoch; a batch without any is left out."""
        size = self.sizes[self.first_role]
        order = epoch_order(self.seed, epoch, np.ones_like(active) if self.fixed else active)
        batches = [order[begin : begin + size] for begin in range(0, len(order), size)]
        return [batch[active[batch]] for batch in batches if active[batch].any()]

    def steps(self, active: np.ndarray, epoch: int = 0) -> int:
        """Steps of an epoch."""
        return len(self.order(epoch, active))

    def batch(self, epoch: int, position: int, step: int, active: np.ndarray) -> dict[str, Rows]:
        """Rows by role at a position of an epoch; `step` counts from the start of the run."""
        chosen = self.order(epoch, active)[position]
        rows = {self.first_role: self.rows.roles[self.first_role][chosen]}
        for role in dict.fromkeys(self.terms.values()):
            if role == self.first_role:
                continue
            paired = role in PAIRED and self.rows.pairs is not None
            rows[role] = self.paired(role, epoch, chosen) if paired else self.drawn(role, step)
        kept = next((role for role in ("analogue", "retain") if role in rows), None)
        if kept and self.rows.general is not None and "general" in self.recipe.batch:
            extra = self.drawn("general", step)
            rows[kept] = joined([rows[kept], extra])
        return {role: rows[role] for role in self.roles_of(epoch)} if self.roles_of else rows

    def paired(self, role: str, epoch: int, chosen: np.ndarray) -> Rows:
        """Analogues of each chosen forget row, as many as `batch.analogue` holds, or an alternative of it.

        Other ones every epoch.
        """
        pairs = self.rows.pairs
        assert pairs is not None
        each = max(1, self.sizes.get(role, 1) // self.sizes["forget"])
        ranks = np.arange(epoch * each, (epoch + 1) * each) % pairs.shape[1]
        return self.rows.roles[role][pairs[chosen][:, ranks].ravel()]

    def drawn(self, role: str, step: int) -> Rows:
        general = self.rows.general
        pool = general if role == "general" and general is not None else self.rows.roles[role]
        count = self.sizes.get(role, self.sizes[self.first_role])
        return pool[deck(self.seed, role, len(pool), step * count, count)]


def micro_batches(rows: dict[str, Rows], most: int | None, processes: int = 1) -> list[dict[str, Rows]]:
    """The batch in as few parts as keep every role at or below `most` rows; roles are split evenly.

    A role that stands alone is split by length, so that little is padded; rows of several may belong together.
    There are as many parts for each of the processes, which take them in turns. Where a role has fewer rows than
    there are parts, some parts hold none of it, and its terms there sum to 0.
    """
    each = 1 if most is None else max(-(-len(r) // (most * processes)) for r in rows.values())
    parts = each * processes
    alone = len(rows) == 1 and parts > 1
    order = {
        role: np.argsort(r.lengths.numpy(), kind="stable") if alone else np.arange(len(r))
        for role, r in rows.items()
    }
    split = {role: np.array_split(order[role], parts) for role in rows}
    return [{role: rows[role][split[role][k]] for role in rows} for k in range(parts)]
