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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lethe.objectives import finetune
from lethe.params.fields import Count
from lethe.system.streams import stream_seed

TASKS = ("classification", "tagging")
TERMS = {"retain": "retain"}
FROZEN = None
FROM_BASE = True  # models are trained from the base, on shards, and are one model together
SPACE = {"shards": [2, 4], "slices": [1, 2, 4]}

loss = finetune.loss


@dataclass(frozen=True)
class Hyper:
    shards: Count = 4  # S
    slices: Count = 4  # R
    aggregate: Literal["mean", "vote"] = "mean"  # of the distributions, or of the classes they prefer


def places(hyper: Hyper, ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) shard and (N,) slice of each id, counted from 0; they depend on seed and id alone."""
    draws = [stream_seed(seed, "shard and slice", name) % (hyper.shards * hyper.slices) for name in ids]
    shard, part = np.divmod(np.array(draws, int), hyper.slices)
    return shard, part


def epochs(hyper: Hyper, total: int) -> list[int]:
    """Epochs of each slice, (R,): 2 total / (R + 1) on average; what one is rounded down by goes to the next."""
    ends = [2 * total * done // (hyper.slices + 1) for done in range(hyper.slices + 1)]
    return [int(n) for n in np.diff(ends)]
