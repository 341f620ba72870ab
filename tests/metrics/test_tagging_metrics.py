"""Metrics of tagged text by hand, and entity F1 against seqeval's numbers."""

import math

import numpy as np
import pytest

from lethe.evaluation.numbers import modules
from lethe.metrics.common.aggregates import labelled, per_example
from lethe.metrics.entity_f1 import entity_counts, entity_f1
from lethe.metrics.token_accuracy import right_tags
from lethe.params.measure import Measure

TAGS = np.array(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


def f1(true, predicted) -> float:
    return entity_f1(*entity_counts(true, predicted).sum(axis=0))


def test_entity_f1_of_the_example_in_seqevals_documentation():
    true = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predicted = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    assert entity_counts(true, predicted).tolist() == [[0, 1, 1], [1, 1, 1]]
    assert f1(true, predicted) == 0.5


@pytest.mark.parametrize(
    ("true", "predicted", "counts"),  # right, true, predicted
    [
        ("B-PER I-PER", "B-LOC I-LOC", (0, 1, 1)),  # the words but not the type
        ("I-PER I-PER O", "B-PER I-PER O", (1, 1, 1)),  # an I- after nothing begins an entity
        ("B-PER B-PER", "B-PER I-PER", (0, 2, 1)),
        ("B-PER I-LOC", "B-PER B-LOC", (2, 2, 2)),  # another type begins another entity
        ("O B-PER O", "O O O", (0, 1, 0)),
        ("O O", "O O", (0, 0, 0)),
    ],
)
def test_entities_by_hand(true, predicted, counts):
    assert entity_counts([true.split()], [predicted.split()]).tolist() == [list(counts)]


@pytest.mark.parametrize(
    ("seed", "expected"), [(0, 0.7213114754098361), (1, 0.7304347826086955), (2, 0.6550724637681159)]
)
def test_entity_f1_equals_that_of_seqeval(seed, expected):
    """f1_score of seqeval 1.2.2 on 40 texts of random tags."""
    rng = np.random.default_rng(seed)
    true, predicted = [], []
    for words in rng.integers(1, 13, 40):
        tags = rng.integers(0, 5, words)
        guessed = np.where(rng.random(words) < 0.7, tags, rng.integers(0, 5, words))
        true.append(TAGS[tags].tolist())
        predicted.append(TAGS[guessed].tolist())
    assert f1(true, predicted) == pytest.approx(expected, abs=1e-12)


P = np.array([[[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]], [[0.1, 0.1, 0.8], [1 / 3, 1 / 3, 1 / 3]]])
SCORES = {  # two texts, of two words and of one, three classes
    "ids": np.array(["a", "b"]),
    "sets": np.array(["forget", "test"]),
    "classes": np.array(["B-PER", "I-PER", "O"]),
    "tags": np.array([[0, 1], [2, -100]]),
    "logits": np.log(P).astype(np.float32),
}


def test_what_an_example_is_worth_is_the_mean_over_its_tags():
    logits, tags = labelled(SCORES)
    assert tags.tolist() == [0, 1, 2] and logits.shape == (3, 3)
    assert per_example(np.array([1.0, 3.0, 5.0]), SCORES).tolist() == [2.0, 5.0]
    assert per_example(np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 7.0]]), SCORES).tolist() == [[2, 4], [5, 7]]


def test_values_of_two_texts_by_hand():
    found = {}
    for metric in modules(SCORES):
        if not metric.__name__.endswith(("attack", "lira", "rmia")):
            found |= metric.values(SCORES, Measure())
    assert found["loss"] == pytest.approx([(math.log(1 / 0.7) + math.log(4)) / 2, math.log(1 / 0.8)])
    assert found["confidence"] == pytest.approx([0.6, 0.8])
    assert found["margin"] == pytest.approx([(math.log(3.5) - math.log(2)) / 2, math.log(8)])
    assert [found[name].tolist() for name in ("right_tags", "words")] == [[1, 1], [2, 1]]
    assert found["entities"].tolist() == found["entities_predicted"].tolist() == [1, 0]
    assert found["entities_right"].tolist() == [0, 0]  # B-PER O is another entity than B-PER I-PER


def test_words_beyond_the_last_do_not_count():
    assert [a.tolist() for a in right_tags(SCORES["logits"], SCORES["tags"])] == [[1, 1], [2, 1]]
