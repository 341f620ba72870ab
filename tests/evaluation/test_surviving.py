"""Verdicts on made-up numbers whose intervals are known."""

import numpy as np
import pytest
from scipy.stats import t

from lethe.evaluation.surviving import Test as One  # not collected as a test
from lethe.evaluation.surviving import judged, ratios, ratios_of, survival
from lethe.tasks import Column

KEY = "completion_rouge_l_forget"


def numbers(**runs):
    return {run: {seed: {KEY: value} for seed, value in enumerate(values)} for run, values in runs.items()}


def test(**runs):
    base = {"original": [1.0, 0.9, 1.0], "retrain": [0.2, 0.1, 0.2]}
    return One("relearn-5", Column(KEY, "ROUGE-L", "retrain"), numbers(**(base | runs)))


test.__test__ = False


def verdict(word, returned):
    return {"verdict": word, "returned": pytest.approx(returned)}


def test_verdicts_by_hand():
    assert judged(test(run=[0.2, 0.11, 0.21]), "run", 0.5, 0.95) == verdict("survives", 0.02 / 3 / 0.8)
    assert judged(test(run=[0.9, 0.8, 0.9]), "run", 0.5, 0.95) == verdict("undone", 0.7 / 0.8)
    assert judged(test(run=[0.2, 0.9, 0.5]), "run", 0.5, 0.95)["verdict"] == "open"
    assert judged(test(run=[0.4, 0.5, 0.5], original=[0.1] * 3), "run", 0.5, 0.95) is None
    half = test(original=[1.0] * 3, retrain=[0.0] * 3, run=[0.5] * 3)  # an interval of nothing but the limit
    assert judged(half, "run", 0.5, 0.95) == verdict("open", 0.5)


def test_the_interval_is_that_of_student():
    """D = run − retrain − 0.5·0.8 has mean −0.3 and standard deviation s: decided while 0.3 > t·s/√3."""
    edge = 0.3 / (t.ppf(0.975, 2) / 3**0.5)
    for spread, expected in ((0.99 * edge, "survives"), (1.01 * edge, "open")):
        run = [0.3 - spread, 0.2, 0.3 + spread]
        assert judged(test(run=run), "run", 0.5, 0.95)["verdict"] == expected


def test_one_seed_decides_nothing():
    one = One("v", Column(KEY, "", ""), numbers(run=[0.2], original=[1.0], retrain=[0.2]))
    assert judged(one, "run", 0.5, 0.95) == verdict("open", 0)


def test_every_variant_is_tested_and_first_the_runs_as_they_are():
    plain = numbers(original=[1.0, 1.0], retrain=[0.0, 0.0], run=[0.1, 0.1])
    lost = numbers(original=[0.1, 0.1], retrain=[0.1, 0.1], run=[0.1, 0.1])
    first, second = survival("generation", plain, {"shift-9": lost}, ["run"], 0.5, 0.95)
    assert (first["variant"], first["metric"], first["label"]) == ("as it is", KEY, "completion, ROUGE-L")
    assert first["runs"] == {"run": verdict("survives", 0.1)}
    assert (second["variant"], second["runs"]) == ("shift-9", {"run": None})
    assert survival("generation", plain, {}, ["run"], 0.5, 0.95) == []


def test_sampled_decoding_is_a_test_where_there_are_variants():
    plain = numbers(original=[1.0, 1.0], retrain=[0.0, 0.0], run=[0.1, 0.1])
    for seeds in plain.values():
        for found in seeds.values():
            found["sampled_rouge_l_best_forget"] = found[KEY]
    tests = survival("generation", plain, {"shift-9": plain}, ["run"], 0.5, 0.95)
    assert [test["variant"] for test in tests] == ["as it is", "sampled decoding", "shift-9"]
    assert (tests[1]["metric"], tests[1]["label"]) == ("sampled_rouge_l_best_forget", "best ROUGE-L")
    del plain["retrain"]
    assert survival("generation", plain, {"shift-9": plain}, ["run"], 0.5, 0.95) == []


def test_ratios_by_hand():
    """Retrain gains 0.2 in 10 steps; the run 0.4, so R is 1/2; areas 0.2 · 5 + 0.4 · 5 / 2 … of trapezia."""
    plain = numbers(original=[1.0], retrain=[0.1], run=[0.2])
    steps = {"relearn-5": (0.2, 0.4), "relearn-10": (0.3, 0.6)}
    variants = {v: numbers(original=[1.0], retrain=[a], run=[b]) for v, (a, b) in steps.items()}
    (found,) = ratios("generation", plain, variants, ["run", "original"])
    assert (found["test"], found["metric"]) == ("relearn", KEY)
    area = (0.2 / 2 + 0.4 + 0.6 / 2) / (0.1 / 2 + 0.2 + 0.3 / 2)
    assert found["runs"]["run"] == pytest.approx({"R": 0.5, "Q": 1.0, "area": area})
    assert found["runs"]["original"]["R"] == 1  # it gains nothing


def test_what_is_quantised_has_no_area_and_may_lose():
    plain = numbers(original=[1.0], retrain=[0.2], run=[0.5])
    variants = {
        v: numbers(original=[1.0], retrain=[0.2], run=[b])
        for v, b in (("quantise-8", 0.5), ("quantise-4", 0.4))
    }
    (found,) = ratios("generation", plain, variants, ["run"])
    assert found["runs"]["run"] == pytest.approx({"R": 1.0, "Q": 0.8})
    variants["quantise-4"] = numbers(original=[1.0], retrain=[0.2], run=[0.9])
    assert ratios("generation", plain, variants, ["run"])[0]["runs"]["run"]["R"] == 0


def test_ratios_are_those_of_the_last_level_and_of_all_between():
    """Gains of 0.4 and 0.05 in the end; trapezia 4 and 6 wide of 0.25 and 0.45 beside ones of 0.15 and 0.175."""
    run, retrain = np.array([0.2, 0.3, 0.6]), np.array([0.1, 0.2, 0.15])
    area = (4 * 0.25 + 6 * 0.45) / (4 * 0.15 + 6 * 0.175)
    assert ratios_of(run, retrain, [0, 4, 10]) == pytest.approx({"R": 0.125, "Q": 1.0, "area": area})
    assert "area" not in ratios_of(run, retrain, [0, 8, 4])  # as of bits, of which fewer are stronger
    small = ratios_of(run[:2], np.array([0.05, 0.05]), [0, 2])
    assert small["area"] == pytest.approx(5) and small["R"] == 0
    assert "area" not in ratios_of(run[:2], np.zeros(2), [0, 2])
    assert ratios_of(run[:2], np.array([0.1, 0.25]), [0, 2])["R"] == 1  # retrain gains 1.5 times as much
    assert ratios_of(np.array([0.0, 0.1]), retrain[:2], [0, 2]).keys() == {"R", "area"}
    lost = ratios_of(np.array([0.5, 0.9, 0.4]), retrain, [0, 4, 10])
    assert (lost["R"], lost["Q"]) == (1, pytest.approx(0.8))


def test_ratios_of_tests_by_their_names_and_levels():
    """The level ends the name, which may have more parts; of metrics those that the last level has."""
    plain = numbers(original=[1.0], retrain=[0.1], run=[0.2])
    for seeds in plain.values():
        seeds[0]["memorization_accuracy_forget"] = 0.5
    levels = {"few-shot-1": (0.2, 0.3), "few-shot-5": (0.15, 0.6)}
    variants = {v: numbers(original=[1.0], retrain=[a], run=[b]) for v, (a, b) in levels.items()}
    variants |= {"prefill-3": numbers(original=[1.0], retrain=[0.3], run=[0.4])}
    few, fill = ratios("generation", plain, variants, ["run"])
    assert (few["test"], few["metric"], few["label"]) == ("few-shot", KEY, "completion, ROUGE-L")
    area = (0.25 + 4 * 0.45) / (0.15 + 4 * 0.175)
    assert few["runs"]["run"] == pytest.approx({"R": 0.125, "Q": 1.0, "area": area})
    assert fill["test"] == "prefill" and fill["runs"]["run"] == pytest.approx(
        {"R": 1, "Q": 1, "area": 0.9 / 0.6}
    )
    assert few.keys() == {"test", "metric", "label", "runs"}
    del plain["retrain"]
    assert ratios("generation", plain, variants, ["run"]) == []
