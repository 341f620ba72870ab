"""Verdicts on made-up numbers whose intervals are known."""

from types import SimpleNamespace

import pytest
from scipy.stats import t

from lethe.report.descriptions import Column
from lethe.report.robustness import Test as One  # not collected as a test
from lethe.report.robustness import judged, robustness_table, verdicts
from lethe.report.robustness import tests as all_tests

KEY = "completion_rouge_l_forget"


def numbers(**runs):
    return {run: {seed: {KEY: value} for seed, value in enumerate(values)} for run, values in runs.items()}


def test(**runs):
    base = {"original": [1.0, 0.9, 1.0], "retrain": [0.2, 0.1, 0.2]}
    return One("relearn-5", Column(KEY, "ROUGE-L", "retrain"), numbers(**(base | runs)))


test.__test__ = False


def test_verdicts_by_hand():
    assert judged(test(run=[0.2, 0.11, 0.21]), "run", 0.5, 0.95) == ("✓", pytest.approx(0.02 / 3 / 0.8))
    assert judged(test(run=[0.9, 0.8, 0.9]), "run", 0.5, 0.95) == ("✗", pytest.approx(0.7 / 0.8))
    assert judged(test(run=[0.2, 0.9, 0.5]), "run", 0.5, 0.95)[0] == "?"
    assert judged(test(run=[0.4, 0.5, 0.5], original=[0.1] * 3), "run", 0.5, 0.95) is None


def test_the_interval_is_that_of_student():
    """D = run − retrain − 0.5·0.8 has mean −0.3 and standard deviation s: decided while 0.3 > t·s/√3."""
    edge = 0.3 / (t.ppf(0.975, 2) / 3**0.5)
    for spread, verdict in ((0.99 * edge, "✓"), (1.01 * edge, "?")):
        run = [0.3 - spread, 0.2, 0.3 + spread]
        assert judged(test(run=run), "run", 0.5, 0.95)[0] == verdict


def test_one_seed_decides_nothing():
    one = One("v", Column(KEY, "", ""), numbers(run=[0.2], original=[1.0], retrain=[0.2]))
    assert judged(one, "run", 0.5, 0.95) == ("?", 0)


def results(variants):
    plain = numbers(original=[1.0, 1.0], retrain=[0.0, 0.0], good=[0.0, 0.0], weak=[0.1, 0.1])
    for seeds in plain.values():
        for found in seeds.values():
            found["sampled_rouge_l_best_forget"] = found[KEY]
    return SimpleNamespace(
        study=SimpleNamespace(task="generation"), numbers=plain, variants=variants, methods=["good", "weak"]
    )


def test_the_report_says_what_survives_what():
    back = numbers(original=[1.0, 1.0], retrain=[0.1, 0.1], good=[0.1, 0.2], weak=[0.9, 0.9])
    lost = numbers(original=[0.1, 0.1], retrain=[0.1, 0.1], good=[0.1, 0.1], weak=[0.1, 0.1])
    found = results({"relearn-5": back, "shift-9": lost})
    table = robustness_table(found, 0.5, 0.95)
    assert table.head == ["test", "good", "weak"]
    assert table.rows == [
        ["as it is: completion, ROUGE-L", "✓ 0.00", "✓ 0.10"],
        ["sampled decoding: best ROUGE-L", "✓ 0.00", "✓ 0.10"],
        ["relearn-5: completion, ROUGE-L", "? 0.06", "✗ 0.89"],
        ["shift-9: completion, ROUGE-L", "–", "–"],
    ]
    assert verdicts(found, 0.5, 0.95) == [
        "good: forgetting survives as it is, sampled decoding; undecided under relearn-5.",
        "weak: forgetting survives as it is, sampled decoding; is undone by relearn-5.",
    ]


def test_where_nothing_was_remembered_nothing_is_said_to_survive():
    found = results({"shift-9": numbers(original=[0.1], retrain=[0.1], good=[0.1], weak=[0.1])})
    found.numbers["original"] = found.numbers["retrain"]
    assert verdicts(found, 0.5, 0.95)[0] == (
        "good: no test says anything, as the original itself shows no more than retrain."
    )


def test_without_variants_there_is_no_table():
    assert robustness_table(results({}), 0.5, 0.95) is None
    assert verdicts(results({}), 0.5, 0.95) == [] == all_tests(results({}))
