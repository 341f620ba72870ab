"""Deduction: a family by hand, all subsets of small ones, and the published values."""

import hashlib
import json
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from lethe.deduction import PUBLISHED, Deduction

GOLDEN = Path(__file__).parents[2] / "shared/golden/systems"
# 0 is the father of the son 1 and the daughter 2, who are siblings.
FAMILY = [("1m", "father", "0m"), ("2f", "father", "0m"), ("1m", "sister", "2f"), ("2f", "brother", "1m")]


def golden(name: str) -> dict:
    if not (GOLDEN / name).exists():
        pytest.skip("golden values are kept outside of the repository")
    return json.loads((GOLDEN / name).read_text())


def facts_of(case: dict, key: str = "facts") -> list:
    names = [f"{number}{gender[0]}" for number, gender in enumerate(case["gender"])]
    return [(names[a], relation, names[b]) for a, relation, b in case[key]]


def test_a_family_by_hand():
    found = Deduction(FAMILY)
    assert set(found.facts[4:]) == {("0m", "child", "1m"), ("0m", "child", "2f")}
    assert found.derivable(0, {0}) and not found.derivable(0, {0, 1}) and not found.derivable(0, {0, 2, 3})
    assert found.derivable(0, {0, 2}) and found.derivable(0, {0, 3})  # the other word gives it back
    sets = found.minimal_sets(0, 20, np.random.default_rng(0))
    assert sets == [frozenset({0, 1}), frozenset({0, 2, 3})]


def test_from_a_nephew_follows_an_uncle_but_not_by_the_published_rules():
    nephew = [("0m", "nephew", "1m")]
    assert set(Deduction(nephew).facts) == {*nephew, ("1m", "uncle", "0m")}
    assert Deduction(nephew, PUBLISHED).facts == nephew
    assert set(Deduction([("0f", "nephew", "1m")]).facts) == {("0f", "nephew", "1m"), ("1m", "aunt", "0f")}


def test_a_fact_is_given_once():
    with pytest.raises(ValueError, match="once"):
        Deduction([FAMILY[0], FAMILY[0]])


def test_closure_is_monotone_and_closed():
    found = Deduction(FAMILY)
    everything = found.closure()
    assert everything == set(range(6))
    for lost in combinations(range(4), 2):
        less = found.closure(lost)
        assert less <= everything
        again = Deduction([found.facts[number] for number in sorted(less)])
        assert set(again.facts) == {found.facts[number] for number in less}


def exact(found: Deduction, target: int) -> set[frozenset[int]]:
    """All minimal sets, by trying every subset in the order of size."""
    among = sorted(n for n in found.relevant(target) if n < found.count)
    sets: set[frozenset[int]] = set()
    for size in range(1, len(among) + 1):
        for chosen in map(frozenset, combinations(among, size)):
            if not any(one < chosen for one in sets) and not found.derivable(target, chosen):
                sets.add(chosen)
    return sets


@pytest.mark.parametrize(
    "facts", [FAMILY, [*FAMILY, ("0m", "wife", "3f"), ("2f", "mother", "3f"), ("3f", "child", "1m")]]
)
def test_drawn_sets_are_all_the_minimal_ones(facts):
    found = Deduction(facts)
    for target in range(len(facts)):
        assert set(found.minimal_sets(target, 150, np.random.default_rng(0))) == exact(found, target)


def test_small_families_are_as_published():
    for case in golden("deep_unlearning.json")["cases"]:
        found = Deduction(facts_of(case), PUBLISHED)
        assert set(found.facts) == set(facts_of(case, "closure")), case["name"]
        for one in case["deducible"]:
            assert found.derivable(one["target"], one["removed"]) is one["deducible"], case["name"]
        for one in case["minimal_sets"]:
            drawn = set(found.minimal_sets(one["target"], 40, np.random.default_rng(1)))
            assert drawn <= set(map(frozenset, one["exact"])), case["name"]


def test_four_hundred_facts_as_published_in_seconds():
    case, began = golden("edu_relat.json"), time.process_time()
    facts = facts_of(case)
    found = Deduction(facts, PUBLISHED)
    assert len(found.facts) == case["closure_size"]
    numbers = {fact: [int(fact[0][:-1]), fact[1], int(fact[2][:-1])] for fact in found.facts}
    digest = hashlib.sha256(json.dumps(sorted(numbers.values())).encode()).hexdigest()
    assert digest == case["closure_sha256"]
    assert all(
        found.derivable(number, {number}) for number in range(len(facts))
    )  # nothing goes by going alone
    for target, sets in case["minimal_sets_of_100_draws"].items():
        for one in sets[:2]:
            assert not found.derivable(int(target), one)
            assert all(found.derivable(int(target), set(one) - {number}) for number in one)
    drawn = {target: found.minimal_set(target, np.random.default_rng(0)) for target in case["targets"]}
    for target, one in drawn.items():
        assert target in one and not found.derivable(target, one)
        assert all(found.derivable(target, one - {number}) for number in one)
    assert time.process_time() - began < 20
