"""The family graph: what became of each fact, by a family worked by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from lethe.deduction import Deduction
from lethe.report.figures.families import Knowledge, families, knowledge
from lethe.report.figures.style import styled, svg

# 0 is the father of the son 1 and the daughter 2, who are siblings; a couple, 8 and 9, has nothing to do with them.
FACTS = [
    ("1m", "father", "0m"), ("2f", "father", "0m"), ("1m", "sister", "2f"), ("2f", "brother", "1m"),
    ("8m", "wife", "9f"),
]  # fmt: skip
LOST = {"retrain": {0}, "alone": {0, 2}, "deep": {0, 1}, "nothing": set()}


def test_what_became_of_each_fact():
    known = Knowledge(Deduction(FACTS), [0], LOST)
    follows, plain = "known, and the fact asked for follows from it", "known"
    asked = "asked to go, gone"
    assert known.fates("alone", 0) == {0: asked, 1: follows, 2: "gone", 3: follows}
    assert known.fates("deep", 0) == {0: asked, 1: "gone", 2: plain, 3: plain}
    assert known.fates("nothing", 0) == {0: "asked to go, still known", 1: plain, 2: plain, 3: plain}
    assert [known.told(run, 0) for run in LOST] == [
        "gone, but follows from 2 facts", "gone, but follows from 2 facts", "gone, and does not follow", "not gone",
    ]  # fmt: skip


def test_a_proof_is_enough_by_itself():
    """Of all facts of a family, whatever is lost: what is named is known, and the target follows from it alone."""
    deduction, draw = Deduction(FACTS), np.random.default_rng(0)
    for _ in range(40):
        lost = set(np.flatnonzero(draw.random(5) < 0.4).tolist())
        for target in range(5):
            used = deduction.proof(target, lost)
            assert bool(used) is deduction.derivable(target, lost)
            assert not used & lost
            if used:
                alone = Deduction([FACTS[number] for number in sorted(used)])
                assert FACTS[target] in alone.facts


def test_the_target_that_is_gone_and_follows_is_shown():
    known = Knowledge(Deduction(FACTS), [4, 0, 3], {"retrain": {0, 4}, "npo": {0, 1}})
    assert known.example == 0  # 4 follows from nothing, 3 is not gone
    known = Knowledge(Deduction(FACTS), [2, 0], {"retrain": {0, 2}})
    assert known.example == 0  # 2, a sister, follows from the brother alone


@pytest.fixture
def results():
    """The original knows all but the fourth fact; another run has lost the first; a question without a fact."""
    arrays = {
        "fact": np.array([*FACTS, ("", "", "")]),
        "target": np.array([True] + [False] * 5),
        "sets": np.array(["forget", "retain", "retain", "retain", "test", "retain"]),
    }
    answers = {"original": [1, 1, 1, 0, 1, 1], "retrain": [0, 1, 1, 0, 1, 1]}
    return SimpleNamespace(
        study=SimpleNamespace(forget=SimpleNamespace(strategy="superficial")), seeds=[1],
        compared=["original", "retrain"],
        scores=lambda run, seed, *names: [arrays[name] for name in names],
        examples=lambda run, seed: {"known": np.array(answers[run], float)},
    )  # fmt: skip


def test_only_what_the_original_knew_of_what_it_learnt_is_drawn(results):
    known = knowledge(results)
    assert known.deduction.facts[: known.deduction.count] == FACTS[:3]
    assert (known.targets, known.lost) == ([0], {"retrain": {0}})
    drawn = styled(families, results)
    assert [axis.get_title(loc="left") for axis in drawn.axes] == ["retrain: gone, but follows from 2 facts"]
    assert {text.get_text() for text in drawn.axes[0].texts} >= {"0m", "1m", "2f", "father", "sister"}
    assert svg(drawn) == svg(styled(families, results))


def test_there_is_none_where_no_fact_was_asked_for_or_known(results):
    results.study.forget.strategy = "random"
    assert families(results) is None
    results.study.forget.strategy = "deep"
    results.examples = lambda run, seed: {"known": np.zeros(6)}
    assert families(results) is None
