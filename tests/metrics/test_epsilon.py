"""Epsilon of the NeurIPS 2023 challenge beside published code's values, a case worked by hand, and its null."""

import json
from pathlib import Path

import numpy as np
import pytest

from lethe.metrics import epsilon as file
from lethe.metrics.epsilon import epsilon, forget_score

GOLDEN = Path(__file__).parents[3] / "shared/golden/metrics/neurips2023_forget_score.json"


def test_a_case_worked_by_hand():
    """At 10 and above lie three of four retrained models and one unlearned; no rule without a rate of 0 is better."""
    unlearned, retrained = np.array([0.0, 1, 2, 10]), np.array([0.5, 11, 12, 13])
    assert epsilon(unlearned, retrained) == pytest.approx(np.log((0.75 - 1e-5) / 0.25))
    assert epsilon(retrained, unlearned) == pytest.approx(np.log((0.75 - 1e-5) / 0.25))


def test_models_that_are_told_for_sure():
    assert epsilon(np.array([0.0, 1.0]), np.array([5.0, 6.0])) == 50
    assert epsilon(np.zeros(3), np.array([-1.0, 0.0, 1.0])) == 50  # all say the same
    peak, around = np.array([-0.5, 0.0, 0.5]), np.array([-20.0, -10.0, 20.0])
    assert epsilon(peak, around) == 50  # an interval tells them, no single threshold


def test_the_score_halves_with_every_half_unit():
    assert forget_score(np.array([0.0, 0.49, 0.5, 1.2]), 64) == pytest.approx((1 + 1 + 0.5 + 0.25) / 4)
    assert forget_score(np.array([2.2, 50.0]), 8) == 0  # of 8 models none can be shown beyond 2


@pytest.mark.skipif(not GOLDEN.exists(), reason="values of the published code are not at hand")
def test_published_values():
    """The published code tries a grid of thresholds, this one all: it finds as much or more, by one model at most."""
    for case in json.loads(GOLDEN.read_text())["cases"]:
        models = [np.array(case[name]) for name in ("unlearned", "retrained")]
        found = np.array([epsilon(*columns) for columns in zip(*(of.T for of in models), strict=True)])
        published = np.array(case["epsilons"])
        assert (found > published - 1e-4).all() and (found < published + 0.1).all()
        assert np.isclose(found, published, atol=1e-4).mean() >= 0.5
        assert forget_score(found, len(models[0])) == case["forget_score"]


def test_a_method_that_leaves_nothing_is_within_its_null_and_one_that_leaves_much_is_not():
    rng, found = np.random.default_rng(0), {}
    member = np.stack([rng.permutation(np.repeat([True, False], 8)) for _ in range(24)])
    for name, shift in (("honest", 0.0), ("leaving", 4.0)):
        confidence = rng.normal(size=member.shape) + shift * member
        scores = {
            "ulira_methods": np.array([name]),
            "ulira_confidence": confidence[:, None],
            "ulira_member": member,
            "ulira_known": np.ones(24, bool),
        }
        found |= file.aggregate(scores, file.values(scores, None), None, 0)
    assert abs(found["epsilon_honest"] - found["epsilon_honest_null"]) < 0.3 * found["epsilon_honest_null"]
    assert found["epsilon_leaving"] > 2 * found["epsilon_leaving_null"]
    assert found["forget_score_leaving"] < found["forget_score_leaving_null"] < 1


@pytest.mark.parametrize(("missed", "wrong"), [(1, 2), (2, 1)])
def test_the_rarer_fault_of_a_rule_counts_whichever_it_is(missed, wrong):
    """Of five each one is told wrong and two: log((1 - 2/5) / (1/5)), but for delta."""
    positive, negative = np.arange(5) >= missed, np.arange(5) < wrong
    assert file.told(positive, negative) == pytest.approx(np.log(3), abs=1e-4)


def test_the_score_counts_what_so_many_models_can_show():
    """ceil(log 3) is 2: epsilons of 1.6 lie in the half unit that ends there, those of 2.1 in the next."""
    assert forget_score(np.array([1.6]), 4) == 0.5**3
    assert forget_score(np.array([2.1]), 4) == 0
