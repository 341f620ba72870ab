"""Intervals against published values, scipy.stats and exact enumeration."""

import math

import numpy as np
import pytest
import scipy.stats

from lethe.metrics.common import statistics


def test_summary_of_three_by_hand():
    assert statistics.summary([1, 2, 6]) == pytest.approx({"mean": 3, "sd": math.sqrt(7), "n": 3})
    assert statistics.summary([1, 3]) == pytest.approx({"mean": 2, "sd": math.sqrt(2), "n": 2})


def test_spread_of_one_value_is_absent_not_zero():
    assert statistics.summary([0.25]) == {"mean": 0.25, "n": 1}
    assert statistics.mean_interval([0.25], 0.95) is None


def test_mean_interval_of_two_by_hand():
    # t with 1 degree of freedom is Cauchy: its 97.5% quantile is tan(0.475 π) = 12.7062
    low, high = statistics.mean_interval([1, 3], 0.95)
    assert (low, high) == pytest.approx((2 - math.tan(0.475 * math.pi), 2 + math.tan(0.475 * math.pi)))


def test_half_width_of_the_tables():
    # t quantiles 12.706, 4.303, 2.776 over √2, √3, √5
    found = [statistics.half_width(n, 0.95) for n in (2, 3, 5)]
    assert found == pytest.approx([8.985, 2.484, 1.242], abs=1e-3)


def test_mean_interval_equals_scipys_paired_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=7), rng.normal(size=7)
    expected = scipy.stats.ttest_rel(a, b).confidence_interval(0.9)
    assert statistics.mean_interval(a - b, 0.9) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0)],
)  # printed in tables of Clopper-Pearson limits
def test_binomial_bounds_of_the_tables(successes, trials, low, high):
    assert statistics.binomial_bounds(successes, trials, 0.95) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("successes", [0, 1, 17, 63, 64])
def test_binomial_bounds_equal_scipy(successes):
    expected = scipy.stats.binomtest(successes, 64).proportion_ci(0.99, method="exact")
    assert statistics.binomial_bounds(successes, 64, 0.99) == pytest.approx((expected.low, expected.high))


def test_binomial_bounds_cover_at_least_as_often_as_promised():
    trials, proportion = 12, 0.3
    covered = 0.0
    for successes in range(trials + 1):
        low, high = statistics.binomial_bounds(successes, trials, 0.9)
        if low <= proportion <= high:
            covered += math.comb(trials, successes) * proportion**successes * 0.7 ** (trials - successes)
    assert 0.9 <= covered < 1


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 4), (5, 4)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="successes of"):
        statistics.binomial_bounds(successes, trials, 0.95)


def test_percentile_interval_of_a_uniform_grid():
    assert statistics.percentile_interval(np.arange(101), 0.9) == pytest.approx((5, 95))


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf]])
def test_what_is_not_finite_is_refused(values):
    for function in (statistics.summary, lambda v: statistics.mean_interval(v, 0.95)):
        with pytest.raises(ValueError, match=r"not finite|at least one"):
            function(values)


@pytest.mark.parametrize(("seeds", "models"), [(3, 2), (4, 1)])
def test_a_band_holds_the_gap_of_another_model_as_often_as_promised(seeds, models):
    rng, held = np.random.default_rng(0), 0
    for _ in range(2000):
        groups = rng.normal(size=(seeds, models))
        band = statistics.gap_band(list(groups), 0.9)
        held += abs(rng.normal(size=seeds).mean() - groups[:, 0].mean()) <= band["half"]
    assert held / 2000 == pytest.approx(0.9, abs=0.025)


def test_a_band_between_seeds_holds_what_differs_between_them():
    close = [[1.0, 1.1], [5.0, 5.1]]
    assert statistics.gap_band(close, 0.95)["half"] < statistics.gap_band([[1.0], [5.0]], 0.95)["half"] / 10
    assert statistics.gap_band([[1.0]], 0.95) is None
