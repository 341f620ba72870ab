"""Whether a model babbles, by hand."""

import numpy as np
import pytest

from lethe.metrics import degeneration
from lethe.metrics.degeneration import distinct, repetition, unigram_entropy


@pytest.mark.parametrize(
    ("tokens", "distinct_of", "repeated", "bits"),
    [
        ([1, 2, 1, 2, 1], (2 / 5, 2 / 4, 2 / 3), 0, 0.6 * np.log2(5 / 3) + 0.4 * np.log2(5 / 2)),
        ([7] * 6, (1 / 6, 1 / 5, 1 / 4), 2 / 3, 0),
        ([*range(8)], (1, 1, 1), 0, 3),
    ],
)
def test_by_hand(tokens, distinct_of, repeated, bits):
    assert tuple(distinct(tokens, n) for n in (1, 2, 3)) == pytest.approx(distinct_of)
    assert repetition(tokens, 4) == pytest.approx(repeated)
    assert unigram_entropy(tokens) == pytest.approx(bits)


def test_texts_without_an_n_gram_take_no_part():
    texts = {"completion": np.array([[3, 3, 3, 3, 3], [1, 2, -1, -1, -1], [-1] * 5], np.int32)}
    scores = degeneration.of_texts(texts) | {"sets": np.array(["forget", "forget", "test"])}
    found = degeneration.aggregate(scores, degeneration.values(scores, None), None, 0)
    assert found == {
        "completion_distinct_1_forget": pytest.approx((1 / 5 + 1) / 2),
        "completion_distinct_2_forget": pytest.approx((1 / 4 + 1) / 2),
        "completion_distinct_3_forget": pytest.approx(1 / 3),
        "completion_repetition_4_forget": pytest.approx(1 / 2),
        "completion_unigram_entropy_forget": pytest.approx(0.5),
        "completions_distinct_1_forget": pytest.approx(3 / 7),
        "completions_distinct_2_forget": pytest.approx(2 / 5),
        "completions_distinct_3_forget": pytest.approx(1 / 3),
    }


def test_one_answer_for_everybody_is_seen_by_all_continuations_together_alone():
    texts = {"completion": np.array([[1, 2, 3]] * 4, np.int32)}
    scores = degeneration.of_texts(texts) | {"sets": np.array(["forget"] * 4)}
    found = degeneration.aggregate(scores, degeneration.values(scores, None), None, 0)
    assert found["completion_distinct_1_forget"] == 1
    assert [found[f"completions_distinct_{n}_forget"] for n in (1, 2, 3)] == [3 / 12, 2 / 8, 1 / 4]


def test_nothing_is_said_where_nothing_was_continued():
    assert degeneration.values({"sets": np.array(["test"])}, None) == {}
