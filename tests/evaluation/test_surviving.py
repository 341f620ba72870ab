"""Verdicts on made-up numbers whose intervals are known."""

import pytest
from scipy.stats import t

from lethe.evaluation.surviving import Test as One  # not collected as a test
from lethe.evaluation.surviving import judged, ratios, survival
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
    assert (first["variant"], first["metric"]) == ("as it is", KEY)
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
