"""Latent-space metrics against scikit-learn and points on a circle."""

import numpy as np
import pytest
import sklearn.metrics
from synthetic import classification_scores

from lethe.metrics.latent_space import (
    aggregate,
    centroid_distance,
    class_reference,
    probe_correct,
    silhouette,
    unit,
    values,
)


def on_circle(*degrees):
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


def test_centroid_distance_on_a_circle():
    # class 0 centred at 0°, class 1 at 90°; a forget sample of class 0 stands at 60°
    points, labels = on_circle(-10, 10, 80, 100, 60), np.array([0, 0, 1, 1, 0])
    reference = np.array([True, True, True, True, False])
    expected = 1 - np.cos(np.radians([10, 10, 10, 10, 60]))
    assert centroid_distance(points, labels, reference) == pytest.approx(expected)


def test_silhouette_on_a_circle():
    points, labels = on_circle(0, 90, 60), np.array([0, 1, 0])
    reference = np.array([True, True, False])
    a, b = 1 - np.cos(np.radians(60)), 1 - np.cos(np.radians(30))
    assert silhouette(points, labels, reference) == pytest.approx([0, 0, (b - a) / a])


def test_silhouette_of_the_reference_equals_scikit_learn():
    rng = np.random.default_rng(0)
    points, labels = unit(rng.normal(size=(40, 5))), rng.integers(0, 4, 40)
    labels[0] = 4  # alone in its class
    expected = sklearn.metrics.silhouette_samples(points, labels, metric="cosine")
    assert silhouette(points, labels, np.ones(40, bool)) == pytest.approx(expected, abs=1e-9)


def test_judged_examples_do_not_move_the_clusters():
    rng = np.random.default_rng(1)
    points, labels = unit(rng.normal(size=(30, 5))), rng.integers(0, 3, 30)
    reference = np.arange(30) < 20
    alone = silhouette(points[:20], labels[:20], reference[:20])
    assert silhouette(points, labels, reference)[:20] == pytest.approx(alone)


def test_coinciding_points_have_no_silhouette():
    points = np.repeat(on_circle(33), 6, axis=0)
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert silhouette(points, labels, np.ones(6, bool)).tolist() == [0] * 6


def test_a_forgotten_class_is_represented_by_unseen_examples():
    labels = np.array([0, 0, 1, 1, 1, 0])
    sets = np.array(["retain", "retain", "forget", "forget", "holdout", "holdout"])
    assert class_reference(labels, sets).tolist() == [True, True, False, False, True, False]
    assert class_reference(labels[:4], sets[:4]).tolist() == [True, True, False, False]


def test_a_class_of_the_forget_set_alone_has_no_place_and_changes_no_other():
    scores = classification_scores(0, memory=1.0)
    lost = (scores["sets"] == "forget") & (np.arange(len(scores["sets"])) % 3 == 0)
    before = values(scores, None)
    after = values(scores | {"labels": np.where(lost, 3, scores["labels"])}, None)
    for name, column in after.items():
        assert np.ma.getmaskarray(column).tolist() == lost.tolist()
        assert column[~lost].tolist() == pytest.approx(before[name][~lost].tolist())
    numbers = aggregate(scores, after, None, 0)
    assert numbers["probe_accuracy_forget"] == after["probe_correct"][scores["sets"] == "forget"].mean()


def test_probe_reads_separable_classes_and_not_noise():
    scores = classification_scores(0, memory=1.0)
    reference = scores["sets"] == "retain"
    points = unit(scores["embeddings"])
    forget = scores["sets"] == "forget"
    assert probe_correct(points, scores["labels"], reference)[forget].mean() > 0.9
    noise = unit(np.random.default_rng(0).normal(size=points.shape))
    assert probe_correct(noise, scores["labels"], reference)[forget].mean() < 0.6


def test_zero_embedding_is_refused():
    with pytest.raises(ValueError, match="no direction"):
        unit(np.zeros((1, 3)))
