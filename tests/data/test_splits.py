import itertools

import numpy as np
import pandas as pd
import pytest

from lethe.data.splits import UNUSED, assign, first_that_sum_to, groups
from lethe.system.streams import stream

SIZES = {"train": 40, "validation": 10, "holdout": 20, "test": 20}


def labels(seed=0, count=120):
    return pd.Series(np.random.default_rng(seed).choice(["a", "b", "c"], count, p=[0.6, 0.3, 0.1]))


@pytest.mark.parametrize("seed", range(5))
def test_sizes_are_exact_and_classes_in_proportion(seed):
    label = labels(seed)
    split = assign(np.arange(120), label, SIZES, stream(seed, "splits"))
    assert {name: (split == name).sum() for name in SIZES} == SIZES
    assert (split == UNUSED).sum() == 120 - sum(SIZES.values())
    for name, size in SIZES.items():
        for label_name, share in label.value_counts(normalize=True).items():
            assert abs((label[split == name] == label_name).sum() - share * size) <= 2


def test_groups_are_never_divided_and_sizes_still_exact():
    group = np.repeat(np.arange(60), [4, 1] * 30)  # 150 examples
    split = assign(group, labels(count=150), SIZES, stream(0, "splits"))
    assert {name: (split == name).sum() for name in SIZES} == SIZES
    assert (pd.Series(split).groupby(group).nunique() == 1).all()


def test_a_group_larger_than_every_split_is_left_out():
    group = np.array([0] * 50 + list(range(1, 91)))
    split = assign(group, pd.Series([None] * 140), SIZES, stream(0, "splits"))
    assert set(split[:50]) == {UNUSED}
    assert {name: (split == name).sum() for name in SIZES} == SIZES


def test_sizes_are_met_whenever_groups_allow_it():
    group = np.array([0, *np.repeat(np.arange(1, 14), 3)])  # one of 1, thirteen of 3
    for seed in range(20):
        split = assign(group, pd.Series([None] * 40), {"train": 18, "test": 6}, stream(seed, "splits"))
        assert [(split == "train").sum(), (split == "test").sum()] == [18, 6]
    split = assign(group, pd.Series([None] * 40), {"train": 17, "test": 6}, stream(0, "splits"))
    assert [(split == "train").sum(), (split == "test").sum()] == [0, 6]


@pytest.mark.parametrize("seed", range(30))
def test_first_that_sum_to_equals_all_subsets_in_order(seed):
    draw = np.random.default_rng(seed)
    parts = draw.integers(1, 5, size=8).tolist()
    total = int(draw.integers(0, 22))
    subsets = [
        s for n in range(9) for s in itertools.combinations(range(8), n) if sum(parts[i] for i in s) == total
    ]
    found = first_that_sum_to(total, parts)
    assert tuple(found) == min(subsets, key=lambda s: [i not in s for i in range(8)], default=())


def test_the_stream_alone_decides():
    first, second, other = (
        assign(np.arange(120), labels(), SIZES, stream(seed, "splits")) for seed in (3, 3, 4)
    )
    assert (first == second).all()
    assert (first != other).any()


def test_members_and_others_are_exchangeable():
    """Over many draws every example is in train equally often: in 40 of 120 cases, binomially."""
    often = sum(assign(np.arange(120), labels(), SIZES, stream(s, "x")) == "train" for s in range(90))
    assert often.mean() == pytest.approx(30)
    assert abs(often - 30).max() < 5 * np.sqrt(90 * (1 / 3) * (2 / 3))


def test_groups_link_near_duplicates_and_subjects():
    cluster = np.array([0, 1, 1, 2, 3, 4])
    subject = pd.Series(["ann", "ann", None, "bob", None, "bob"])
    assert groups(cluster, subject).tolist() == [0, 0, 0, 1, 2, 1]
    assert groups(cluster, pd.Series([None] * 6)).tolist() == [0, 1, 1, 2, 3, 4]
