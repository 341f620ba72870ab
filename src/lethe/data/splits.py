"""Disjoint splits of exact sizes, stratified by class, that keep what belongs together on one side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet

from lethe.data.near_duplicates import numbered

UNUSED = ""
TRAINED = (
    "train",
    "forget",
    "forgotten",
    "retain",
)  # splits that the original is trained on: one, or those given


def groups(cluster: np.ndarray, subject: pd.Series) -> np.ndarray:
    """(N,) int64 number of the group of each example: linked through near-duplicates or a common subject."""
    linked = DisjointSet(range(len(cluster)))
    for key in (pd.Series(cluster), subject.reset_index(drop=True)):
        for rows in key.groupby(key).groups.values():  # those without a subject are in none
            for row in rows[1:]:
                linked.merge(rows[0], row)
    return numbered(linked, len(cluster))


def assign(
    group: np.ndarray, label: pd.Series, sizes: dict[str, int], draw: np.random.Generator
) -> np.ndarray:
    """Name of the split of each example, or UNUSED.

    The groups are put into a random order in which every stretch holds the classes in their proportions, and the
    splits are cut from it one after the other, skipping a group only where the size could not be met with it.

    Args:
        group: (N,) number of the group of each example; a group is never divided.
        label: N classes, stratified by; a group counts for the class of its first member.
        sizes: split -> number of examples, in the order in which they are filled.
        draw: the random stream.
    Returns:
        (N,) str. A split that cannot have its size, of what the splits before it left, stays empty.
    """
    split = np.full(len(group), UNUSED, dtype=object)
    members = pd.Series(range(len(group))).groupby(group).agg(list)
    order = [members[number] for number in stratified_order(group, label, draw)]
    for name, size in sizes.items():
        taken = set(first_that_sum_to(size, [len(rows) for rows in order]))
        for position in taken:
            split[order[position]] = name
        order = [rows for position, rows in enumerate(order) if position not in taken]
    return split


def first_that_sum_to(total: int, parts: list[int]) -> list[int]:
    """Positions of parts whose sum is exactly `total`, each as early as can be; [] if there are none.

    Parts are taken as they come until only a margin is left to be met exactly. Where that cannot be, it is widened.
    """
    margin = 4 * max(parts, default=0)
    while True:
        start, rest = 0, total
        while start < len(parts) and rest - parts[start] >= margin:
            rest -= parts[start]
            start += 1
        found = exactly(rest, parts[start:])
        if found is not None:
            return [*range(start), *(start + position for position in found)]
        if start == 0:
            return []
        margin *= 4


def exactly(total: int, parts: list[int]) -> list[int] | None:
    """Positions as in `first_that_sum_to`, by working out which sums the parts after each position can have."""
    sums = [1]  # bit s of sums[i]: some of the last i parts have the sum s
    for part in reversed(parts):
        sums.append((sums[-1] | sums[-1] << part) & ((1 << total + 1) - 1))
    if not sums.pop() >> total & 1:
        return None
    chosen = []
    for position, part in enumerate(parts):
        following = sums.pop()
        if part <= total and following >> total - part & 1:
            chosen.append(position)
            total -= part
    return chosen


def stratified_order(group: np.ndarray, label: pd.Series, draw: np.random.Generator) -> np.ndarray:
    """Numbers of all groups: those of a class are shuffled and spread evenly over the whole order."""
    first = pd.DataFrame({"group": group, "label": label.fillna("").to_numpy()}).groupby("group")
    table = first.agg(label=("label", "first"), members=("label", "size"))
    table = table.iloc[draw.permutation(len(table))]
    by_class = table.groupby("label")["members"]
    offset = {name: draw.random() for name in sorted(table["label"].unique())}
    before = by_class.cumsum() - table["members"]
    position = (before + table["label"].map(offset)) / by_class.transform("sum")
    return table.index.to_numpy()[np.argsort(position.to_numpy(), kind="stable")]
