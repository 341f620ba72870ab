"""SISA: sharded, isolated, sliced and aggregated training (Bourtoule et al., IEEE S&P 2021, arXiv:1912.03817).

    L = E CE(x)    x in slices 1, …, j of shard s, for each j in turn, from the model after slice j - 1
    p(y | x) = mean_s p_s(y | x)

Every example has a shard and, in it, a slice. Each shard has a model of its own, trained from the base model on its
first slice, then on its first two, and so on; what it is after each slice is kept. A deletion trains a shard again from
the first slice that held one of the examples, and leaves the others as they are. This is exact: the result is the one
of training without the examples from the beginning. The original of this method is thus not that of the study but its
own shards, trained on all examples; what that costs is counted apart from the deletion.

The epochs of the slices are such that the whole costs as much as the recipe without slices: 2 / (R + 1) of its epochs
each, rounded as in the authors' code. Here the schedule and the optimiser begin anew with every slice. Shard and slice
of an example are drawn from its id alone (the paper cuts the data into parts of one size), so that they say nothing
about what was deleted. A shard that loses all its examples has no say. `training` is that of the original unless the
method says otherwise.

What each model is after each slice is kept until the run is done. A later request finds no slices: its run trains the
shards on what was left before it, which gives the same models, and counts that as training beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lethe import models
from lethe.data.rows import Rows
from lethe.models.composed import Mean, Vote
from lethe.params.fields import Count
from lethe.system.streams import stream_seed

NEEDS = ("classes", "base")
TERMS = {"retain": "retain"}
RECIPE = "finetune"  # what `training` does not say is as for the original
SPACE = {"shards": [2, 4], "slices": [1, 2, 4]}

log = logging.getLogger("lethe.sisa")


@dataclass(frozen=True)
class Hyper:
    shards: Count = 4  # S
    slices: Count = 4  # R
    aggregate: Literal["mean", "vote"] = "mean"  # of the distributions, or of the classes they prefer


def shard_and_slice(hyper: Hyper, ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) shard and (N,) slice of each id, counted from 0; they depend on seed and id alone."""
    draws = [stream_seed(seed, "shard and slice", name) % (hyper.shards * hyper.slices) for name in ids]
    shard, part = np.divmod(np.array(draws, int), hyper.slices)
    return shard, part


def epochs(hyper: Hyper, total: int) -> list[int]:
    """Epochs of each slice, (R,): 2 total / (R + 1) on average; what one is rounded down by goes to the next."""
    ends = [2 * total * done // (hyper.slices + 1) for done in range(hyper.slices + 1)]
    return [int(n) for n in np.diff(ends)]


def work(hyper: Hyper, known: Sequence[str], asked: Sequence[str], seed: int, total: int) -> tuple[int, int]:
    """Examples that pass, counted with their epochs, when `asked` of all `known` are deleted, and those beforehand.

    Args:
        total: epochs of the recipe without slices.
    """
    shard, part = shard_and_slice(hyper, known, seed)
    kept, each = ~np.isin(known, asked), epochs(hyper, total)
    after = before = 0
    for number in np.unique(shard).tolist():
        first = int(part[(shard == number) & ~kept].min(initial=hyper.slices))
        for place in range(hyper.slices):
            until = (shard == number) & (part <= place)
            before += each[place] * int(until.sum())
            if place >= first:
                after += each[place] * int((until & kept).sum())
    return after, before


@dataclass(frozen=True)
class Shards:
    """N examples: rows, their shard and slice (N,), and whether they are kept (N,) bool; epochs of each slice."""

    rows: Rows
    shard: np.ndarray
    part: np.ndarray
    kept: np.ndarray
    epochs: list[int]

    def first(self, shard: int) -> int:
        """The first slice of a shard that a deletion touches; the number of slices if it touches none."""
        return int(self.part[(self.shard == shard) & ~self.kept].min(initial=len(self.epochs)))

    def until(self, shard: int, part: int, among: np.ndarray) -> Rows:
        """The examples of a shard's slices up to one."""
        return self.rows[np.flatnonzero(among & (self.shard == shard) & (self.part <= part))]


def shards_of(hyper: Hyper, run) -> Shards:
    """All examples of the training pool, of which those to forget are deleted."""
    pool = run.encoded("forget", "retain")
    shard, part = shard_and_slice(hyper, pool.ids, run.seed)
    kept = ~np.isin(pool.ids, run.encoded("forget").ids)
    return Shards(pool.rows, shard, part, kept, epochs(hyper, run.training.epochs))


def train_slices(
    run, model, shards: Shards, shard: int, parts: Iterable[int], among: np.ndarray, beforehand: bool
) -> Any:
    """The model of a shard after slices in turn, of which those that are done only give it what it was after them."""
    for part in parts:
        rows, count = shards.until(shard, part, among), shards.epochs[part]
        if len(rows) and count:
            recipe = run.training.model_copy(update={"epochs": count})
            columns = {"shard": shard, "slice": part}
            name = f"shard{shard}-slice{part}"
            model = run.fit(name, model, rows, recipe, beforehand=beforehand, columns=columns)
    return model


def retrained_shard(run, shards: Shards, shard: int) -> Any:
    """The model of a shard after the deletion."""
    everything, first, end = np.ones_like(shards.kept), shards.first(shard), len(shards.epochs)
    model = train_slices(run, run.base(), shards, shard, range(end), everything, beforehand=True)
    if first == end:
        return model
    model = run.base()
    if trained := [part for part in range(first) if shards.epochs[part]]:
        model = train_slices(
            run, model, shards, shard, trained[-1:], everything, beforehand=True
        )  # it is done
    model = train_slices(run, model, shards, shard, range(first, end), shards.kept, beforehand=False)
    log.info("shard %d: trained again from slice %d of %d", shard, first, end)
    return model


def unlearn(hyper: Hyper, run):
    """Train the shards on all examples, delete those to forget, and put what is left together."""
    shards = shards_of(hyper, run)
    found = {shard: retrained_shard(run, shards, shard) for shard in np.unique(shards.shard).tolist()}
    left = [model.eval() for shard, model in found.items() if shards.kept[shards.shard == shard].any()]
    members = {f"shard{number}": model for number, model in enumerate(left)}
    return models.Composed(members, Vote() if hyper.aggregate == "vote" else Mean())
