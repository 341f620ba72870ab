"""Gaps to retrained models and what is claimed of them, beside textbook values, other programs and simulations."""

import numpy as np
import pytest
from scipy import stats

from lethe.metrics.common.gaps import Gap, gap_to_fixed, gap_to_retrained, holm, paired_gaps, verdict


def test_gap_of_a_case_worked_by_hand():
    """Two seeds, three retrained models each: means 2 and 5, squares 2 + 2 over 4 degrees."""
    found = gap_to_retrained([4.0, 6.0], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert found.gap == pytest.approx(1.5)  # of 2 and 1
    assert found.degrees == 4
    assert found.error == pytest.approx(np.sqrt(1.0 * (1 + 1 / 3) / 2))
    low, high = found.interval(0.95)
    assert high - 1.5 == pytest.approx(stats.t.ppf(0.975, 4) * np.sqrt(2 / 3))
    assert low == pytest.approx(3 - high)


def test_of_one_seed_it_is_the_prediction_interval_of_a_further_model():
    values = [0.31, 0.35, 0.30, 0.36]
    found = gap_to_retrained([0.5], [values])
    spread = np.std(values, ddof=1) * np.sqrt(1 + 1 / 4)
    assert found.error == pytest.approx(spread) and found.degrees == 3


def test_retrained_models_that_are_the_same_for_all_runs_have_one_spread():
    """Means 2 and 1; the retrained models have variance 2, of which means of two runs and of two models hold half."""
    assert gap_to_fixed([1.0, 3.0], [0.0, 2.0]) == Gap(1.0, pytest.approx(np.sqrt(2)), 1)
    three = gap_to_fixed([4.0], [1.0, 2.0, 3.0])
    assert three == Gap(2.0, pytest.approx(np.sqrt(4 / 3)), 2)
    assert gap_to_fixed([1.0, 3.0], [0.0]) is None


def test_without_a_second_retrained_model_there_is_no_spread():
    assert gap_to_retrained([1.0, 2.0], [[1.0], [2.0]]) is None


def test_seeds_must_agree():
    with pytest.raises(ValueError, match="2 seeds of the run, 1 of retrained"):
        gap_to_retrained([1.0, 2.0], [[1.0, 2.0]])


def test_of_one_run_the_paired_gap_is_the_paired_t_test():
    run, retrained = np.array([0.4, 0.7, 0.5]), np.array([0.3, 0.4, 0.45])
    found = paired_gaps({"icu": run}, retrained)["icu"]
    reference = stats.ttest_rel(run, retrained)
    assert found.p_value() == pytest.approx(reference.pvalue)
    interval = reference.confidence_interval(0.95)
    assert found.interval(0.95) == pytest.approx((interval.low, interval.high))


def test_paired_gaps_are_those_of_an_analysis_of_variance():
    """Of runs × seeds, the variance of a difference is that of seeds plus that of the residue (balanced design)."""
    rng = np.random.default_rng(3)
    runs = {name: rng.normal(size=4) for name in "abc"}
    retrained = rng.normal(size=4)
    table = np.stack(list(runs.values())) - retrained
    grand = table.mean()
    seeds = 3 * ((table.mean(0) - grand) ** 2).sum() / 3
    residue = ((table - table.mean(0) - table.mean(1, keepdims=True) + grand) ** 2).sum() / (2 * 3)
    shared, own = (seeds - residue) / 3, residue
    found = paired_gaps(runs, retrained)
    assert found["a"].error ** 2 == pytest.approx((shared + own) / 4)
    assert found["a"].gap == pytest.approx(table[0].mean())
    parts = np.array([seeds / 3, residue * 2 / 3])  # of 3 and 2 · 3 degrees
    assert found["a"].degrees == pytest.approx(parts.sum() ** 2 / (parts**2 / [3, 6]).sum())


def test_two_seeds_know_noise_and_none_of_it_is_told_by_its_degrees():
    assert paired_gaps({"a": [1.0, 2.0]}, [0.0, 0.5])["a"] == Gap(1.25, 0.25, 1.0)
    still = paired_gaps({"a": [1.0, 2.0, 4.0], "b": [0.0, 1.0, 3.0]}, [0.0, 1.0, 3.0])
    assert still == {"a": Gap(1.0, 0.0, 2.0), "b": Gap(0.0, 0.0, 2.0)}
    assert (still["a"].p_value(), still["b"].p_value()) == (0, 1)


def test_one_seed_knows_no_noise():
    assert paired_gaps({"icu": [0.4]}, [0.3]) == {}


def test_an_error_is_not_below_that_of_the_examples():
    gap = gap_to_retrained([0.9, 0.9], [[1.0, 1.0], [1.0, 1.0]])
    assert gap.error == 0 and gap.p_value() == 0
    assert gap.at_least(0.2).error == 0.2
    assert gap.at_least(0.2).p_value() == pytest.approx(2 * stats.t.sf(0.5, 2))
    assert Gap(0.1, 0.3, 2).at_least(0.2).error == 0.3


@pytest.mark.parametrize(
    ("gap", "margin", "expected"),
    [
        (Gap(0.0, 0.1, 1e9), 0.17, "near"),  # 1.645 · 0.1 = 0.1645
        (Gap(0.0, 0.1, 1e9), 0.16, "open"),
        (Gap(-0.5, 0.1, 1e9), 0.3, "far"),  # ends at −0.3355
        (Gap(-0.5, 0.1, 1e9), 0.34, "open"),
        (Gap(0.0, 0.0, 1), 0.01, "near"),
    ],
)
def test_verdicts_are_two_one_sided_tests(gap, margin, expected):
    assert verdict(gap, margin) == expected
    assert verdict(Gap(-gap.gap, gap.error, gap.degrees), margin) == expected


def test_an_interval_that_ends_at_the_margin_is_within_it():
    spread = Gap(0.0, 0.1, 5)
    assert verdict(spread, spread.half(0.9)) == "near"
    for side in (1, -1):
        away = Gap(side * 0.5, 0.1, 5)
        assert verdict(away, min(map(abs, away.interval(0.9)))) == "open"


def test_holm_rejects_at_the_level_itself():
    assert holm({"a": 0.05}) == {"a"}


def test_holm_steps_down():
    """0.01 ≤ 0.05/4 and 0.013 ≤ 0.05/3, but 0.03 > 0.05/2: what follows is kept, whatever its own value."""
    assert holm({"a": 0.03, "b": 0.01, "c": 0.04, "d": 0.013}) == {"b", "d"}
    assert holm({"a": 0.06}) == set() and holm({}) == set()


def test_a_retrained_model_is_rarely_told_from_retrained_models():
    """Nominal 5 %, as in benchmarks/verdicts.py with more kinds of numbers; 3 standard errors of 2,000 are 1.5 %."""
    rng = np.random.default_rng(0)
    for seeds in (2, 3):
        p = [
            gap_to_retrained(rng.normal(size=seeds), rng.normal(size=(seeds, 3))).p_value()
            for _ in range(2000)
        ]
        assert 0.035 < np.mean(np.array(p) < 0.05) < 0.065


def test_a_declared_margin_is_passed_by_chance_in_one_of_twenty():
    """A run whose true gap is the margin itself is called near in at most 5 %, and nearly so often."""
    rng = np.random.default_rng(1)
    margin = 6.0
    near = [
        verdict(gap_to_retrained(rng.normal(size=2) + margin, rng.normal(size=(2, 3))), margin)
        for _ in range(2000)
    ].count("near")
    assert 0.035 < near / 2000 < 0.065
