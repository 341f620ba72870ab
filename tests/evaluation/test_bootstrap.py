"""Intervals from examples, by metrics whose numbers on every resample are known."""

from types import ModuleType

import numpy as np
import pytest
from scipy.stats import norm

from lethe.evaluation.bootstrap import intervals, is_estimate, resampled, strata
from lethe.params.measure import Measure

SETTINGS = Measure(bootstrap=400, confidence=0.9)
SETS = np.repeat(["forget", "test"], [50, 70])


def metric(aggregate) -> ModuleType:
    """A metric of the numbers that (arrays, values, settings, seed) give."""
    module = ModuleType("lethe.metrics.mine")
    module.aggregate = aggregate
    return module


def model(values, aggregate, **arrays):
    return {"sets": SETS} | arrays, {metric(aggregate): {"mine": np.asarray(values, float)}}


def mean(arrays, values, settings, seed):
    return {"mine": float(values["mine"].mean())}


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    """Of a mean over two sets of sizes that stay, the variance is the sum of those within the sets."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 2, 50), rng.normal(30, 1, 70)])
    settings = SETTINGS.model_copy(update={"bootstrap": 4000})
    (found,) = intervals([model(values, mean)], settings, 0).values()
    within = [part.var() * len(part) for part in (values[:50], values[50:])]
    half = norm.ppf(0.95) * np.sqrt(sum(within)) / 120
    assert found["value"] == values.mean()
    assert [found["low"], found["high"]] == pytest.approx(
        values.mean() + np.array([-half, half]), abs=0.05 * half
    )
    assert set(found) == {"value", "low", "high"}


def test_every_resample_holds_as_many_of_each_set():
    def counts(arrays, values, settings, seed):
        sizes = {name: float((arrays["sets"] == name).sum()) for name in ("forget", "test")}
        return sizes | {"matched": float((arrays["matched"] & (arrays["sets"] == "test")).sum())}

    matched = np.arange(120) >= 100
    table = intervals([model(np.arange(120), counts, matched=matched)], SETTINGS, 0)
    assert table == {
        name: {"value": n, "low": n, "high": n} for name, n in (("forget", 50), ("test", 70), ("matched", 20))
    }


def test_values_and_arrays_are_drawn_together():
    def apart(arrays, values, settings, seed):
        return {"mine": float(np.abs(values["mine"] - arrays["copy"]).max())}

    numbers = np.arange(120.0)
    assert intervals([model(numbers, apart, copy=numbers)], SETTINGS, 0)["mine"]["high"] == 0


def test_both_models_are_drawn_on_the_same_examples():
    """A model that is 3 higher in every example has that gap in every resample, though both intervals are wide."""
    values = np.random.default_rng(1).normal(size=120)
    one, other = model(values + 3, mean), model(values, mean)
    found = intervals([one, other], SETTINGS, 0)["mine"]
    assert found["high"] - found["low"] > 0.1
    assert found["retrain"] == values.mean() and found["value"] == (values + 3).mean()
    assert [found[key] for key in ("gap", "gap_low", "gap_high")] == pytest.approx([3, 3, 3])


def test_the_gap_is_that_of_the_first_model_over_the_second():
    rng = np.random.default_rng(2)
    values, more = rng.normal(size=120), rng.normal(1, 0.5, 120)
    found = intervals([model(values + more, mean), model(values, mean)], SETTINGS, 0)["mine"]
    alone = intervals([model(more, mean)], SETTINGS, 0)["mine"]
    assert [found["gap"], found["gap_low"], found["gap_high"]] == pytest.approx(
        [alone["value"], alone["low"], alone["high"]]
    )


def test_a_number_that_the_second_model_lacks_has_no_gap_and_the_same_interval():
    values = np.random.default_rng(3).normal(size=120)
    one = model(values, mean)
    beside = intervals([one, model(values, lambda *_: {"another": 0.0})], SETTINGS, 0)
    assert beside == intervals([one], SETTINGS, 0)


@pytest.mark.parametrize("absent", [{}, {"mine": np.nan}, {"mine": np.inf}], ids=str)
def test_resamples_in_which_a_number_is_not_defined_have_no_part(absent):
    """The number is there while the first example is drawn, as in about two of three resamples."""

    def first(arrays, values, settings, seed):
        return {"mine": 7.0} if 0 in values["mine"] else absent

    one = model(np.arange(120), first)
    assert intervals([one], SETTINGS, 0)["mine"] == {"value": 7, "low": 7, "high": 7}
    found = intervals([model(np.arange(120) + 0.0, lambda *_: {"mine": 9.0}), one], SETTINGS, 0)["mine"]
    assert (found["gap_low"], found["gap_high"], found["low"]) == (2, 2, 9)


def test_numbers_with_an_interval_of_their_own_keep_it_and_resamples_compute_none():
    asked = []

    def own(arrays, values, settings, seed):
        asked.append((settings.bootstrap, settings.confidence, seed))
        ends = {"auc_low": -5.0, "auc_high": 5.0} if settings.bootstrap else {}
        return mean(arrays, values, settings, seed) | {"auc": 0.5, "half": 0.5, "half_low": -4.0} | ends

    table = intervals([model(np.zeros(120), own)], SETTINGS, 11)
    assert table.keys() == {"mine", "auc", "half"}
    assert table["auc"] == {"value": 0.5, "low": -5, "high": 5}
    assert table["half"] == {"value": 0.5, "low": -4, "high": 0.5}  # one bound is enough to be kept
    assert asked == [(400, 0.9, 11)] + [(0, 0.9, 11)] * 400


def test_the_level_and_the_seed_count():
    """Of two examples, 0 and 1, the mean is 0, 1/2 or 1 in a quarter, a half and a quarter of the resamples."""
    arrays = {"sets": np.array(["forget", "forget"])}
    values = {metric(mean): {"mine": np.array([0.0, 1.0])}}

    def ends(confidence, seed=0):
        settings = Measure(bootstrap=1000, confidence=confidence)
        found = intervals([(arrays, values)], settings, seed)["mine"]
        return found["low"], found["high"]

    assert ends(0.4) == (0.5, 0.5) and ends(0.6) == (0, 1)
    one = model(np.random.default_rng(4).normal(size=120), mean)
    first, again, other = (intervals([one], SETTINGS, seed)["mine"] for seed in (0, 0, 1))
    assert first == again and first["low"] != other["low"]


def test_strata_are_the_sets_and_in_them_what_matches():
    sets = np.array(["test", "forget", "test", "forget", "test"])
    assert list(map(list, strata({"sets": sets}))) == [[1, 3], [0, 2, 4]]
    matched = np.array([True, False, False, False, True])
    assert list(map(list, strata({"sets": sets, "matched": matched}))) == [[1, 3], [0, 4], [2]]


def test_what_is_no_estimate():
    for name in (
        "mine",
        "loss_auc",
        "mine_lower",
        "my_downstream",
        "fpr_reached",
        "calibration_errors",
        "low_high_x",
    ):
        assert is_estimate(name) is True, name
    for name in (
        "loss_auc_low", "loss_auc_high", "epsilon_smallest", "loss_fpr_reached_0.05", "downstream_cloze",
        "calibration_error_test",
    ):  # fmt: skip
        assert is_estimate(name) is False, name


def test_what_is_not_per_example_stays():
    arrays = {"sets": np.array(["a", "b", "c"]), "n": np.array([3, 5, 10]), "task": np.array("generation")}
    values = {"metric": {"mine": np.array([1.0, 2.0, 3.0])}, "other": {}}
    chosen, found = resampled(arrays, values, np.array([2, 0, 2]))
    assert chosen["sets"].tolist() == ["c", "a", "c"]
    assert chosen["n"].tolist() == [3, 5, 10] and chosen["task"] == "generation"
    assert found["metric"]["mine"].tolist() == [3, 1, 3] and found["other"] == {}
