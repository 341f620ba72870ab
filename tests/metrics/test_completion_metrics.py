"""Verbatim completion and sampled extraction, against other libraries and cases worked by hand."""

import math

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from lethe.decoding.similarity import bleu as plain_bleu
from lethe.metrics import sampled_extraction, verbatim_completion
from lethe.metrics.sampled_extraction import log_probability, rouge_l_of_tries, share_verbatim
from lethe.metrics.verbatim_completion import bleu, compared, longest_common_substring, rouge_l
from lethe.params.measure import Measure

TRUE = [5, 6, 7, 8, 9, 5]


class Words:
    """A tokenizer for rouge_score that leaves numbers alone."""

    def tokenize(self, text):
        return text.split()


def test_rouge_l_is_that_of_google():
    rng = np.random.default_rng(0)
    scorer = RougeScorer(["rougeL"], tokenizer=Words())
    for _ in range(30):
        ours, true = (rng.integers(0, 6, rng.integers(1, 15)).tolist() for _ in range(2))
        words = [" ".join(map(str, tokens)) for tokens in (true, ours)]
        assert rouge_l(ours, true) == pytest.approx(scorer.score(*words)["rougeL"].fmeasure)


def test_bleu_is_that_of_the_paper_where_nothing_is_smoothed():
    ours = [5, 6, 7, 8, 1, 2]  # holds common 4-grams
    assert bleu(ours, TRUE) == pytest.approx(plain_bleu(ours, TRUE, smooth=False))
    assert bleu(TRUE, TRUE) == 1
    assert bleu([1, 2, 3], TRUE) == 0
    assert bleu(TRUE[:5], TRUE) == pytest.approx(math.exp(1 - 6 / 5))  # brevity


def test_longest_common_substring_by_hand():
    assert longest_common_substring([1, 7, 8, 9, 2, 5, 6], TRUE) == 3
    assert longest_common_substring([6, 5, 9, 8], TRUE) == 1  # a subsequence is no substring
    assert longest_common_substring([1], TRUE) == 0
    assert (
        longest_common_substring([3] * 300 + TRUE, [3] * 300 + TRUE) == 306
    )  # no token is too common to count


def test_short_texts_have_a_bleu_and_common_tokens_count():
    assert bleu([5, 6], [5, 6]) == 1  # of the orders that there are
    assert longest_common_substring([9, *[3, 4] * 150], [3, 4] * 150) == 300  # each token is half of the text


def test_token_0_is_a_token():
    suffix, completion = rows([0, 5], [0, 0, 0], [7]), rows([5, 0], [0, 0, 0], [0])
    assert verbatim_completion.tokens_of(suffix[0]) == [0, 5]
    texts = {"suffix": suffix, "completion": completion, "tries": np.stack([completion, suffix], axis=1)[:2]}
    found = verbatim_completion.of_texts(texts)
    assert found["completion_verbatim"].tolist() == [0, 1, 0]
    assert found["completion_rouge_l"] == pytest.approx([1 / 2, 1, 0])
    texts = {"suffix": suffix[1:2], "tries": np.zeros((1, 2, 3), np.int32)}
    texts["suffix"] = texts["suffix"][:, :3]
    found = sampled_extraction.of_texts(texts)
    assert found["sampled_verbatim"].tolist() == found["sampled_rouge_l_best"].tolist() == [1]
    assert found["sampled_rouge_l"].tolist() == [[1, 1]]


def test_the_best_of_each_text_is_its_own():
    """Of three texts the second was not sampled; the first has a half and a whole, the third nothing."""
    suffix = rows([1, 2], [3, 4], [5, 6], width=2)
    tries = np.array([[[1, 9], [1, 2]], [[-1, -1], [-1, -1]], [[9, 9], [8, 8]]])
    found = sampled_extraction.of_texts({"suffix": suffix, "tries": tries})
    assert found["sampled_rouge_l_best"] == pytest.approx([1, np.nan, 0], nan_ok=True)
    assert found["sampled_verbatim"] == pytest.approx([0.5, np.nan, 0], nan_ok=True)
    assert found["sampled_rouge_l"] == pytest.approx(
        np.array([[0.5, 1], [np.nan, np.nan], [0, 0]]), nan_ok=True
    )


def rows(*lists, width=6):
    return np.array([[*tokens, *[-1] * (width - len(tokens))] for tokens in lists], dtype=np.int32)


def test_rows_without_a_suffix_are_not_compared():
    found = compared(rouge_l, rows(TRUE, [], [5, 6]), rows(TRUE, [], [5, 6, 7]))
    assert found.tolist() == [1, None, pytest.approx(4 / 5)]


def test_tries_by_hand():
    suffix = rows([5, 6, 7], [8, 9])
    tries = np.stack([rows([5, 6, 7], [5, 6], [1, 1, 1], [5, 6, 7]), rows([9, 8], [8], [8, 9, 9], [9])])
    assert share_verbatim(tries, suffix).tolist() == [0.5, 0]
    assert rouge_l_of_tries(tries, suffix)[1] == pytest.approx([1 / 2, 2 / 3, 4 / 5, 2 / 3])
    assert rouge_l_of_tries(tries, suffix).max(axis=1) == pytest.approx([1, 4 / 5])


def test_probability_of_the_suffix_by_hand():
    logprob = -np.array([[9.0, 1.0, 3.0, 2.0], [9.0, 4.0, np.nan, np.inf]])
    mask = np.array([[False, True, True, True], [False, True, False, False]])
    assert log_probability(logprob, mask, np.array([2, 1])).tolist() == [-5, -4]


def scores():
    texts = {
        "suffix": rows([5, 6], [7, 8], [], [9]),
        "completion": rows([5, 6], [7], [], [1]),
        "tries": np.stack([rows([5, 6], [5, 6]), rows([7, 8], [7]), rows([], []), rows([], [])]),
    }
    return {
        "sets": np.array(["forget", "forget", "test", "holdout"]),
        "logprob": np.log(np.full((4, 4), 0.5)),
        "mask": np.array([[False, True, True, True]] * 4),
        "prompt": np.array([2, 2, 0, 3]),
        **verbatim_completion.of_texts(texts),
        **sampled_extraction.of_texts(texts),
    }


def test_means_are_over_what_was_completed_and_sampled():
    numbers = {}
    for metric in (verbatim_completion, sampled_extraction):
        columns = metric.values(scores(), Measure(confidence=0.9))
        numbers |= metric.aggregate(scores(), columns, None, 0)
    assert numbers["completion_verbatim_forget"] == 0.5
    assert numbers["completion_rouge_l_forget"] == pytest.approx((1 + 2 / 3) / 2)
    assert numbers["completion_longest_substring_holdout"] == 0
    assert numbers["sampled_verbatim_forget"] == 0.75
    assert numbers["sampled_verbatim_any_forget"] == 1
    assert numbers["sampled_verbatim_bound_forget"] == pytest.approx(
        (1 + np.sqrt(0.9)) / 2
    )  # 1 of 2: p² = 0.9
    assert numbers["verbatim_probability_forget"] == pytest.approx(0.25)
    assert numbers["verbatim_probability_holdout"] == pytest.approx(0.5)
    assert not any(name.endswith("_test") for name in numbers)
    assert not any(name.startswith("sampled") and name.endswith("holdout") for name in numbers)


def test_scores_without_completions_have_none_of_it():
    bare = {name: scores()[name] for name in ("sets", "logprob", "mask")}
    for metric in (verbatim_completion, sampled_extraction):
        assert metric.values(bare, None) == {} == metric.aggregate(bare, {}, None, 0)


def test_no_tries_say_nothing(recwarn):
    texts = {"suffix": rows([5, 6], [7, 8]), "tries": np.empty((2, 0, 6), np.int32)}
    found = sampled_extraction.of_texts(texts)
    assert {*found} == {"sampled_verbatim", "sampled_rouge_l_best"} and not recwarn.list
    assert all(np.isnan(column).all() and len(column) == 2 for column in found.values())
