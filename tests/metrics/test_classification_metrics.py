"""Classifier metrics against scikit-learn and cases worked by hand."""

import math

import numpy as np
import pytest
import sklearn.metrics
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from synthetic import classification_scores

from lethe.metrics.accuracy import correct
from lethe.metrics.attack import attack_features, attack_score
from lethe.metrics.calibration_error import calibration_error
from lethe.metrics.confidence import confidence
from lethe.metrics.entropy import entropy
from lethe.metrics.loss import label_loss
from lethe.metrics.macro_f1 import macro_f1
from lethe.metrics.margin import margin
from lethe.metrics.modified_entropy import modified_entropy

LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]], dtype=np.float64))
LABELS = np.array([0, 1])


def test_scores_of_two_examples_by_hand():
    assert correct(LOGITS, LABELS).tolist() == [True, False]
    assert confidence(LOGITS) == pytest.approx([0.7, 0.5])
    assert label_loss(LOGITS, LABELS) == pytest.approx([-math.log(0.7), math.log(4)])
    assert margin(LOGITS, LABELS) == pytest.approx([math.log(3.5), -math.log(2)])
    assert entropy(LOGITS)[1] == pytest.approx(1.5 * math.log(2))
    first = 0.3 * math.log(1 / 0.7) + 0.2 * math.log(1 / 0.8) + 0.1 * math.log(1 / 0.9)
    second = 0.75 * math.log(4) + 0.25 * math.log(4 / 3) + 0.5 * math.log(2)
    assert modified_entropy(LOGITS, LABELS) == pytest.approx([first, second])


def test_a_constant_added_to_the_logits_changes_no_score():
    for function in (confidence, entropy):
        assert function(LOGITS + 100) == pytest.approx(function(LOGITS))
    for function in (label_loss, margin, modified_entropy):
        assert function(LOGITS + 100, LABELS) == pytest.approx(function(LOGITS, LABELS))


def test_scores_of_an_extremely_sure_model_are_finite():
    sure = np.array([[200.0, -200.0], [200.0, -200.0]], dtype=np.float32)
    labels = np.array([0, 1])
    assert label_loss(sure, labels) == pytest.approx([0, 400])
    assert entropy(sure) == pytest.approx([0, 0], abs=1e-100)
    assert modified_entropy(sure, labels) == pytest.approx([0, 800])  # −log p of the true class, twice


def test_a_member_scores_lower():
    scores = classification_scores(0, memory=1.0)
    member, other = scores["sets"] == "retain", scores["sets"] == "test"
    logits, labels = scores["logits"], scores["labels"]
    lower = {
        "loss": label_loss(logits, labels),
        "confidence": -confidence(logits),
        "entropy": entropy(logits),
        "modified entropy": modified_entropy(logits, labels),
        "margin": -margin(logits, labels),
        "attack": attack_score(attack_features(logits, labels), scores["sets"], 1.0),
    }
    for name, values in lower.items():
        assert values[member].mean() < values[other].mean() - 0.1 * values.std(), name


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_macro_f1_equals_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    labels, predicted = rng.integers(0, classes, 50), rng.integers(0, classes, 50)
    assert macro_f1(predicted, labels) == pytest.approx(
        sklearn.metrics.f1_score(labels, predicted, average="macro")
    )


def test_macro_f1_counts_only_classes_that_occur():
    # class 7 neither true nor predicted; class 2 predicted once, never right: F1 1, 2/3, 0
    assert macro_f1(np.array([0, 1, 2]), np.array([0, 1, 1])) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_calibration_error_by_hand():
    # bins (0, 0.5] and (0.5, 1]: |(1 − 0.4)|·1/4 and |(1 + 0 + 1) − (0.9 + 0.7 + 0.8)|/3 · 3/4
    confidences, hits = np.array([0.4, 0.9, 0.7, 0.8]), np.array([True, True, False, True])
    assert calibration_error(confidences, hits, 2) == pytest.approx(0.6 / 4 + 0.4 / 4)


def test_calibration_error_of_edges_and_of_perfect_calibration():
    assert calibration_error(np.array([0.5, 0.5]), np.array([True, False]), 2) == 0
    assert calibration_error(np.array([0.0, 1.0]), np.array([False, True]), 10) == 0
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        calibration_error(np.array([1.5]), np.array([True]), 10)


def test_one_example_is_enough_and_none_is_an_error():
    one, none = np.array([1]), np.array([], int)
    assert macro_f1(one, one) == 1 and macro_f1(one, one - 1) == 0
    assert calibration_error(np.array([0.75]), np.array([True]), 4) == pytest.approx(0.25)
    with pytest.raises(ValueError, match=r"^no example: F1 needs at least one$"):
        macro_f1(none, none)
    with pytest.raises(ValueError, match=r"^at least one example, with a confidence"):
        calibration_error(np.array([]), np.array([], bool), 4)


def test_attack_equals_scikit_learns_pipeline_fitted_on_retain_and_holdout_only():
    scores = classification_scores(3, memory=0.5)
    features, sets = attack_features(scores["logits"], scores["labels"]), scores["sets"]
    known = np.isin(sets, ["retain", "holdout"])
    scaler = StandardScaler().fit(features[known])
    model = LogisticRegression(C=0.5, class_weight="balanced", max_iter=10_000, tol=1e-8)
    model.fit(scaler.transform(features[known]), sets[known] == "holdout")
    expected = model.decision_function(scaler.transform(features))
    assert np.allclose(attack_score(features, sets, 2.0), expected, atol=1e-9)


def test_attack_does_not_learn_from_what_it_judges():
    scores = classification_scores(3, memory=0.5)
    features, sets = attack_features(scores["logits"], scores["labels"]), scores["sets"]
    judged = np.isin(sets, ["forget", "test"])
    changed = np.where(judged[:, None], features + 5, features)
    before, after = attack_score(features, sets, 1.0), attack_score(changed, sets, 1.0)
    assert np.array_equal(before[~judged], after[~judged])


def test_attack_is_balanced_whatever_the_sizes():
    # the same two points, one of them 9 times as often: the even guess stays halfway
    features = np.repeat([[0.0], [1.0]], [90, 10], axis=0)
    sets = np.repeat(["retain", "holdout"], [90, 10])
    score = attack_score(features, sets, 1.0)
    assert score[0] == pytest.approx(-score[-1], abs=1e-3)
    assert score[0] < 0 < score[-1]


def test_a_constant_feature_does_not_break_the_attack():
    features = np.stack([np.arange(6.0), np.full(6, 2.0)], axis=1)
    sets = np.array(["retain", "retain", "retain", "holdout", "holdout", "test"])
    assert np.isfinite(attack_score(features, sets, 1.0)).all()
