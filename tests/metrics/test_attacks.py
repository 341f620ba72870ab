"""Attacks against pairwise counts, scikit-learn and cases of four points."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from lethe.metrics.common import attacks
from lethe.params.measure import Measure

SETTINGS = Measure(bootstrap=200)


def pairwise(members, others):
    return np.mean([(m < o) + 0.5 * (m == o) for m in members for o in others])


@pytest.fixture
def tied():
    rng = np.random.default_rng(1)
    return rng.integers(0, 6, 31).astype(float), rng.integers(1, 8, 47).astype(float)


def test_four_points_by_hand():
    # pairs (1,2) (1,4) right, (3,4) right, (3,2) wrong
    assert attacks.auc([1, 3], [2, 4]) == 0.75
    false, true = attacks.roc([1, 3], [2, 4])
    assert false.tolist() == [0, 0, 0.5, 0.5, 1]
    assert true.tolist() == [0, 0.5, 0.5, 1, 1]


def test_a_member_scores_lower():
    assert attacks.auc([0, 0.1], [1, 2]) == 1
    assert attacks.auc([1, 2], [0, 0.1]) == 0
    assert attacks.auc([1, 1], [1, 1, 1]) == 0.5


def test_auc_with_ties_equals_pairwise_count_and_scikit_learn(tied):
    members, others = tied
    labels = np.repeat([1, 0], [len(members), len(others)])
    expected = roc_auc_score(labels, -np.concatenate(tied))
    assert attacks.auc(members, others) == pytest.approx(pairwise(members, others), abs=1e-12)
    assert attacks.auc(members, others) == pytest.approx(expected, abs=1e-12)


def test_roc_equals_scikit_learn(tied):
    labels = np.repeat([1, 0], [len(tied[0]), len(tied[1])])
    false, true, _ = roc_curve(labels, -np.concatenate(tied), drop_intermediate=False)
    assert np.allclose(attacks.roc(*tied), [false, true])


def test_bootstrap_is_centred_on_the_auc_not_on_one_minus_it():
    rng = np.random.default_rng(2)
    members, others = rng.normal(-1, 1, 60), rng.normal(0, 1, 40)
    draws = attacks.auc_draws(members, others, 2000, np.random.default_rng(3))
    assert draws.mean() == pytest.approx(pairwise(members, others), abs=0.005)
    assert draws.mean() > 0.7


def test_bootstrap_equals_the_auc_of_each_resample(tied):
    draws = attacks.auc_draws(*tied, 5, np.random.default_rng(4))
    rng = np.random.default_rng(4)
    for draw in draws:
        resampled = [rng.choice(group, len(group)) for group in tied]
        assert draw == pytest.approx(pairwise(*resampled), abs=1e-12)


def test_bootstrap_interval_is_close_to_the_known_standard_error():
    # equal distributions: var = (M + O + 1) / (12 M O) (Mann-Whitney), here averaged over 40 data sets
    rng, widths = np.random.default_rng(5), []
    for _ in range(40):
        widths.append(attacks.auc_draws(rng.normal(size=50), rng.normal(size=50), 200, rng).std())
    assert np.mean(widths) == pytest.approx(np.sqrt(101 / (12 * 2500)), rel=0.05)


@pytest.mark.parametrize(
    ("rate", "found", "wrong"),
    # members 1 2 5 7, others 3 4 6 8 9
    [(0.0, 2, 0), (0.19, 2, 0), (0.2, 2, 1), (0.4, 3, 2), (0.6, 4, 3), (1.0, 4, 5)],
)
def test_true_positives_by_hand(rate, found, wrong):
    assert attacks.true_positives_at([1, 2, 5, 7], [3, 4, 6, 8, 9], rate) == (found, wrong)


def test_nothing_is_found_when_the_lowest_score_is_a_non_member():
    assert attacks.true_positives_at([2, 3], [1, 4, 5], 0.01) == (0, 0)


def test_a_tie_across_the_threshold_is_not_split():
    assert attacks.true_positives_at([1, 2, 2], [2, 3], 0.01) == (1, 0)


def test_best_threshold_by_hand():
    assert attacks.best_threshold([1, 2, 5], [3, 6, 7]) == 2.5  # as good as 5.5, and lower
    assert attacks.best_threshold([1, 2, 3], [5, 6, 7]) == 4
    assert attacks.best_threshold([5, 6], [1, 2]) == -np.inf


def test_balanced_accuracy_equals_scikit_learn(tied):
    labels = np.repeat([1, 0], [len(tied[0]), len(tied[1])])
    expected = balanced_accuracy_score(labels, np.concatenate(tied) < 2.5)
    assert attacks.balanced_accuracy(*tied, 2.5) == pytest.approx(expected)


def planted(shift):
    sets = np.repeat(["forget", "retain", "holdout", "test"], [40, 120, 50, 100])
    scores = np.random.default_rng(6).normal(size=len(sets))
    return scores + np.select([sets == "forget", sets == "retain"], [shift, -2.0], 0.0), {"sets": sets}


def test_the_interval_is_the_closed_one_and_draws_nothing():
    scores, arrays = planted(-2.0)
    found, sets = attacks.membership("loss", scores, arrays, SETTINGS), arrays["sets"]
    expected = attacks.auc_interval(scores[sets == "forget"], scores[sets == "test"], SETTINGS.confidence)
    assert (found["loss_auc_low"], found["loss_auc_high"]) == expected
    bare = attacks.membership("loss", scores, arrays, SETTINGS.model_copy(update={"bootstrap": 0}))
    assert "loss_auc_low" not in bare and bare["loss_auc"] == found["loss_auc"]


def test_the_threshold_is_learnt_on_retain_against_holdout():
    scores, arrays = planted(-2.0)
    result, sets = attacks.membership("loss", scores, arrays, SETTINGS), arrays["sets"]
    threshold = attacks.best_threshold(scores[sets == "retain"], scores[sets == "holdout"])
    expected = (
        np.mean(scores[sets == "forget"] < threshold) + np.mean(scores[sets == "test"] >= threshold)
    ) / 2
    assert result["loss_balanced_accuracy"] == pytest.approx(expected)
    assert result["loss_balanced_accuracy"] > 0.75


def test_rates_come_with_exact_bounds_and_with_the_rate_reached_and_its_bound():
    result = attacks.membership("loss", *planted(-2.0), SETTINGS)
    assert result["loss_fpr_reached_0.01"] == 0.01  # one of the 100
    assert result["loss_fpr_reached_0.01_high"] == pytest.approx(
        0.0545, abs=1e-4
    )  # Clopper and Pearson, of tables
    assert (
        result["loss_tpr_at_fpr_0.01_low"]
        < result["loss_tpr_at_fpr_0.01"]
        < result["loss_tpr_at_fpr_0.01_high"]
    )


def test_a_rate_below_one_test_example_is_not_given():
    result = attacks.membership("loss", *planted(-2.0), SETTINGS)
    assert "loss_tpr_at_fpr_0.05" in result and not [name for name in result if "0.001" in name]


def test_the_bounds_of_both_rates_hold():
    """The threshold is found among the non-members: rates at it are known exactly where scores are normal."""
    rng, missed = np.random.default_rng(3), [0, 0]
    sets = np.repeat(["forget", "test"], [32, 64])
    for _ in range(1000):
        score = np.concatenate([rng.normal(-1, 1, 32), rng.normal(0, 1, 64)])
        found = attacks.membership("x", score, {"sets": sets}, SETTINGS)
        threshold = np.sort(score[32:])[3]  # the fourth is too many for 5 % of 64
        false, true = norm.cdf(threshold), norm.cdf(threshold + 1)
        missed[0] += not found["x_tpr_at_fpr_0.05_low"] <= true <= found["x_tpr_at_fpr_0.05_high"]
        missed[1] += not false <= found["x_fpr_reached_0.05_high"]
    assert missed[0] <= 60 and missed[1] <= 38  # of nominal 50 and 25; binomial bounds are on the safe side


@pytest.mark.parametrize("members", [[], [np.nan, 1.0]])
def test_an_empty_or_undefined_group_is_an_error(members):
    with pytest.raises(ValueError, match=r"not finite|at least one"):
        attacks.auc(members, [1.0])


def test_placements_are_mann_whitney_counts():
    above, below = attacks.placements([1.0, 2.0, 2.0], [2.0, 3.0])
    assert above == pytest.approx([1.0, 0.75, 0.75])  # of 2 and 3: both above 1; 3 and half of 2 above 2
    assert below == pytest.approx([2 / 3, 1.0])
    assert above.mean() == pytest.approx(attacks.auc([1.0, 2.0, 2.0], [2.0, 3.0]))


def test_auc_interval_of_few_is_newcombes():
    """Method 5 for 8 and 10 examples: the bounds solve |g − a| = z·sqrt(v(g)), found here by a fine grid."""
    rng = np.random.default_rng(0)
    members, others = rng.normal(-1, 1, 8), rng.normal(0, 1, 10)
    area, grid, size = attacks.auc(members, others), np.linspace(1e-6, 1 - 1e-6, 400_001), 8
    variance = grid * (1 - grid) * (1 + size * (1 - grid) / (2 - grid) + size * grid / (1 + grid)) / 80
    inside = grid[np.abs(grid - area) <= 1.959964 * np.sqrt(variance)]
    assert attacks.auc_interval(members, others, 0.95) == pytest.approx((inside[0], inside[-1]), abs=1e-5)


def test_auc_interval_of_many_is_delongs():
    """Of 4,000 examples around 0.75 the normal interval with DeLong's variance, here by its own definition."""
    rng = np.random.default_rng(1)
    members, others = rng.normal(-1, 1, 2000), rng.normal(0, 1, 2000)
    wins = (members[:, None] < others).astype(float)
    variance = wins.mean(1).var(ddof=1) / 2000 + wins.mean(0).var(ddof=1) / 2000
    half = 1.959964 * np.sqrt(variance)
    expected = wins.mean() - half, wins.mean() + half
    assert attacks.auc_interval(members, others, 0.95) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("members", "others"), [([0.0], [1.0, 2.0]), ([3.0], [1.0, 2.0]), ([1.0], [1.0])])
def test_auc_interval_of_the_extremes_has_a_width(members, others):
    low, high = attacks.auc_interval(members, others, 0.95)
    assert 0 <= low <= attacks.auc(members, others) <= high <= 1 and high - low > 0.2


@pytest.mark.parametrize(("members", "others", "area"), [(2, 64, 0.9), (32, 64, 0.97), (32, 64, 0.995)])
def test_auc_interval_holds_its_level(members, others, area):
    rng = np.random.default_rng(2)
    shift = np.sqrt(2) * norm.ppf(area)
    held = []
    for _ in range(1000):
        low, high = attacks.auc_interval(rng.normal(-shift, 1, members), rng.normal(0, 1, others), 0.95)
        held.append(low <= area <= high)
    assert 0.92 < np.mean(held) < 0.99
