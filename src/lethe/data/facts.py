"""Which facts are to be forgotten: targets that follow from the others, alone or with what they follow from."""

from __future__ import annotations

import pandas as pd

from lethe.deduction import Deduction
from lethe.system.errors import InputError
from lethe.system.streams import stream

DRAWS = 100  # of minimal sets, of which the smallest is taken


def targets(pool: pd.DataFrame, size: int, seed: int) -> set[str]:
    """Ids of so many facts, drawn from those that follow from the other facts of the pool.

    Raises:
        InputError: the texts say no facts, or fewer follow from the others.
    """
    facts, deduction = facts_of(pool)
    able = [number for number in range(len(facts)) if deduction.derivable(number, {number})]
    if size > len(able):
        raise InputError(
            f"forget.size: {size}; {len(able)} facts of train follow from the others; allowed are fewer"
        )
    order = stream(seed, "forget", "facts").permutation(len(able))[:size]
    return {str(facts["id"].iloc[able[place]]) for place in order}


def with_minimal_sets(chosen: set[str], pool: pd.DataFrame, seed: int) -> set[str]:
    """The chosen facts and, for each, the smallest of some sets without which it no longer follows from the pool."""
    facts, deduction = facts_of(pool)
    ids = facts["id"].tolist()
    found = set(chosen)
    for number in [number for number, name in enumerate(ids) if name in chosen]:
        sets = deduction.minimal_sets(number, DRAWS, stream(seed, "minimal sets", ids[number]))
        found |= {ids[one] for one in sets[0]}
    return found


def facts_of(pool: pd.DataFrame) -> tuple[pd.DataFrame, Deduction]:
    """The examples of a pool that say a fact, and what follows from them."""
    if "fact" not in pool or pool["fact"].isna().all():
        raise InputError(
            "forget.strategy: superficial and deep need facts; allowed with dataset.source families"
        )
    facts = pool[pool["fact"].notna()].reset_index(drop=True)
    return facts, Deduction([(str(a), str(r), str(b)) for a, r, b in facts["fact"]])
