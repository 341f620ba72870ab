"""Tests of losses beside textbook values and other programs, and how often each is wrong."""

import numpy as np
import pytest
import scipy.stats

from lethe.metrics.loss_tests import combined, loss_ks, loss_paired


def test_kolmogorov_smirnov_by_counting():
    # two samples of 3 that do not overlap: 2 of the 20 orders are as extreme
    assert loss_ks(np.array([1.0, 2, 3]), np.array([4.0, 5, 6])) == pytest.approx(0.1)
    same = np.random.default_rng(0).normal(size=50)
    assert loss_ks(same, same) == 1
    with pytest.raises(ValueError, match="not finite"):
        loss_ks(np.array([np.nan]), same)


def test_the_paired_test_is_students():
    rng = np.random.default_rng(1)
    own, retrain = rng.normal(size=20), rng.normal(0.3, 1, 20)
    assert loss_paired(own, retrain) == pytest.approx(scipy.stats.ttest_rel(own, retrain).pvalue)
    assert loss_paired(own, own) == 1 and loss_paired(own[:1], retrain[:1]) == 1
    assert loss_paired(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == 0


def test_p_values_are_combined_as_fishers():
    p = [0.04, 0.3, 0.01]
    assert combined(p) == pytest.approx(scipy.stats.combine_pvalues(p).pvalue)
    assert combined([0.2]) == pytest.approx(0.2)
    assert combined([0.0, 0.5]) < 1e-200
    assert combined([0.04, 0.04]) < 0.04  # a second seed that agrees rejects more


def test_the_same_texts_leave_kolmogorov_smirnov_little_to_find():
    """Losses that two models share but for noise: at 5 % it rejects equal models in under 1 %, shifted ones seldom."""
    rng, rejected = np.random.default_rng(2), {0.0: [0, 0], 0.25: [0, 0]}
    for shift, counts in rejected.items():
        for _ in range(200):
            hardness = rng.normal(0, 1, 64)
            own, retrain = (hardness + rng.normal(s, 0.2, 64) for s in (shift, 0.0))
            counts[0] += loss_ks(own, retrain) < 0.05
            counts[1] += loss_paired(own, retrain) < 0.05
    assert rejected[0.0][0] <= 2 and rejected[0.25][0] < 60
    assert 2 <= rejected[0.0][1] <= 20 and rejected[0.25][1] > 195
