"""Matched hold-outs by hand."""

import numpy as np
import pytest

from lethe.evaluation.matching import matched
from lethe.evaluation.numbers import with_match
from lethe.params.measure import Measure
from lethe.system.errors import InputError


def chosen(forget, test, **labels):
    sets = np.repeat(["forget", "test", "retain"], [len(forget), len(test), 1])
    result = matched(sets, np.array([*forget, *test, 10]), **labels)
    assert not result[: len(forget)].any() and not result[-1]
    return result[len(forget) : -1].tolist()


def test_the_nearest_in_length_and_none_twice():
    assert chosen([10, 100], [11, 12, 90, 1000]) == [True, False, True, False]
    assert chosen([100, 100], [10, 90, 400, 5000]) == [
        False,
        True,
        True,
        False,
    ]  # 400 is nearer than 10 by ratio


def test_the_longest_choose_first():
    assert chosen([30, 100], [50, 10]) == [True, True]
    assert chosen([40, 80], [60, 1, 2]) == [True, False, True]


def test_only_within_the_class_and_no_more_than_there_are():
    labels = np.array(["a", "a", "b", "a", "b", "b", "a"])
    sets = np.array(["forget", "forget", "forget", "test", "test", "test", "retain"])
    found = matched(sets, np.array([50, 60, 70, 1000, 71, 50, 60]), labels)
    assert found.tolist() == [False, False, False, True, True, False, False]


def test_a_test_set_without_the_forgotten_class_cannot_be_matched():
    scores = {"sets": np.array(["forget", "test", "holdout"]), "characters": np.array([5, 5, 5])}
    with pytest.raises(
        InputError, match=r"measure\.matched: true; no test example is of a class of the forget"
    ):
        with_match(scores | {"labels": np.array([0, 1, 0])}, Measure(matched=True))
    assert with_match(scores | {"labels": np.array([0, 0, 1])}, Measure(matched=True))["matched"].sum() == 1
