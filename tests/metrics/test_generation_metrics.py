"""Generator metrics against cases worked by hand, slow loops and faults known from published code."""

import math

import numpy as np
import pytest
from synthetic import generation_scores

from lethe.metrics import memorization_accuracy as memorization_metric
from lethe.metrics.extraction_strength import extraction_strength
from lethe.metrics.loss import token_loss
from lethe.metrics.loss_zlib import loss_zlib
from lethe.metrics.min_k import lowest_mean, min_k
from lethe.metrics.min_k_plus import min_k_plus
from lethe.metrics.perplexity import next_token_accuracy, perplexity
from lethe.metrics.reference_loss import reference_loss
from lethe.params.measure import Measure

LOGPROB = -np.array([[9.0, 1.0, 3.0, 2.0], [9.0, 4.0, np.nan, np.inf]])
MASK = np.array([[False, True, True, True], [False, True, False, False]])


def test_loss_by_hand_and_without_padding():
    assert token_loss(LOGPROB, MASK).tolist() == [2, 4]


def test_perplexity_weighs_tokens_not_sequences_or_batches():
    assert perplexity(LOGPROB, MASK) == pytest.approx(math.exp(10 / 4))
    means = np.exp(token_loss(LOGPROB, MASK)).mean()
    assert perplexity(LOGPROB, MASK) != pytest.approx(means)


def test_perplexity_of_the_uniform_model_is_the_vocabulary():
    logprob = np.full((3, 5), -math.log(2048))
    assert perplexity(logprob, np.ones((3, 5), bool)) == pytest.approx(2048)


def test_perplexity_of_a_broken_model_is_finite():
    assert perplexity(np.full((1, 2), -5000.0), np.ones((1, 2), bool)) == pytest.approx(1e12)


def test_next_token_accuracy_weighs_tokens():
    correct = np.array([[True, True, True, False], [True, False, True, True]])
    assert next_token_accuracy(correct, MASK) == 2 / 4  # the mean over sequences would be (2/3 + 0)/2


def test_loss_per_compressed_byte_by_hand():
    assert loss_zlib(LOGPROB, MASK, np.array([4, 16])).tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="not positive"):
        loss_zlib(LOGPROB, MASK, np.array([4, 0]))


def test_reference_loss_by_hand():
    assert reference_loss(LOGPROB, LOGPROB - 0.5, MASK) == pytest.approx([-0.5, -0.5])


def test_min_k_by_hand():
    # of 3 tokens, 70% are 2 (floor): the losses 3 and 2; 20% are at least 1: the loss 3
    assert min_k(LOGPROB, MASK, 0.7).tolist() == [2.5, 4]
    assert min_k(LOGPROB, MASK, 0.2).tolist() == [3, 4]


def test_min_k_of_all_tokens_is_the_loss():
    scores = generation_scores(0, 0.5)
    expected = token_loss(scores["logprob"], scores["mask"])
    assert min_k(scores["logprob"], scores["mask"], 1.0) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.1, 0.29, 0.3, 0.57])
def test_share_of_one_hundred_is_exact_in_spite_of_rounding(share):
    values, mask = np.arange(100.0)[None], np.ones((1, 100), bool)
    count = round(share * 100)
    assert lowest_mean(values, mask, share)[0] == pytest.approx((count - 1) / 2)


def test_min_k_plus_equals_a_loop():
    scores = generation_scores(1, 0.5)
    rng = np.random.default_rng(0)
    mu = rng.normal(-3, 0.5, scores["mask"].shape)
    sigma = rng.uniform(0.5, 2, scores["mask"].shape)
    found = min_k_plus(scores["logprob"], scores["mask"], mu, sigma, 0.2)
    for row in range(0, len(mu), 37):
        scored = scores["mask"][row]
        z = sorted((scores["logprob"][row, scored] - mu[row, scored]) / sigma[row, scored])
        assert found[row] == pytest.approx(-np.mean(z[: int(0.2 * len(z))]))


def test_min_k_plus_of_a_sure_or_flat_prediction_is_average():
    logprob, mask = np.array([[0.0, 0.0, -math.log(7)]]), np.array([[False, True, True]])
    assert min_k_plus(logprob, mask, logprob, np.zeros_like(logprob), 1.0).tolist() == [0]


def test_min_k_plus_of_a_token_in_the_place_of_a_sure_one_is_no_sign_of_membership():
    """The model is sure of another token: the text is less a member than any whose prediction is open."""
    logprob, mask = np.array([[0.0, -60.0], [0.0, -9.0]]), np.array([[False, True], [False, True]])
    mu, sigma = np.array([[0.0, -1e-12], [0.0, -3.0]]), np.array([[0.0, 1e-9], [0.0, 2.0]])
    wrong, open_one = min_k_plus(logprob, mask, mu, sigma, 1.0)
    assert open_one == 3 and wrong == pytest.approx(60 / 1e-6)


def test_excess_memorization_is_over_unseen_text_under_the_same_model():
    """A model that predicts nothing has no excess; one that predicts forgotten texts alone is found by its MA."""
    sets = np.array(["forget"] * 2 + ["test"] * 2 + ["retain", "holdout"])
    settings = Measure(bootstrap=100)
    for rates, excess, area in (([0.5, 0.25, 0.25, 0.5], 0.0, 0.5), ([1, 0.75, 0.25, 0.5], 0.5, 1.0)):
        values = {"memorization_accuracy": np.array([*rates, 0.5, 0.5])}
        found = memorization_metric.aggregate({"sets": sets}, values, settings, 0)
        assert found["memorization_accuracy_excess"] == pytest.approx(excess)
        assert found["memorization_accuracy_auc"] == pytest.approx(area)


@pytest.mark.parametrize(
    ("correct", "strength"),
    [
        ([0, 1, 1, 1], 3 / 4),  # the first token yields the other three
        ([0, 0, 1, 1], 2 / 4),
        ([0, 1, 1, 0], 0),  # the last token is wrong: nothing extracted is 0, not 1/T
        ([0, 0, 0, 0], 0),
        ([0, 1, 0, 1], 1 / 4),
    ],
)
def test_extraction_strength_by_hand(correct, strength):
    mask = np.array([[False, True, True, True]])
    padded = np.array([[False, True, True, True, False]])
    assert extraction_strength(np.array([correct], bool), mask).tolist() == [strength]
    assert extraction_strength(np.array([[*correct, 1]], bool), padded).tolist() == [strength]


def test_extraction_strength_equals_its_definition():
    rng = np.random.default_rng(0)
    correct = rng.random((50, 12)) < 0.8
    mask = np.ones((50, 12), bool)
    mask[:, 0] = False
    for row, found in enumerate(extraction_strength(correct, mask)):
        shortest = min((k for k in range(1, 13) if correct[row, k:].all()), default=12)
        assert found == pytest.approx(1 - shortest / 12)


@pytest.mark.parametrize(
    "function",
    [
        lambda mask: token_loss(LOGPROB, mask),
        lambda mask: min_k(LOGPROB, mask, 0.2),
        lambda mask: extraction_strength(mask, mask),
    ],
)
def test_a_mean_over_no_token_is_an_error(function):
    with pytest.raises(ValueError, match="1 sequences have no scored token"):
        function(np.array([[False, True, True, True], [False] * 4]))
