"""Where a classifier's representations of the forget set lie: the claim of DeepCUT, measured.

DeepCUT (He et al., 2025, arXiv:2503.14900) says that unlearning should show in the latent space: forget
samples leave their class. The geometry is that of its loss, the unit sphere (cosine).
"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import masked_elsewhere, set_means

NEEDS = ("embeddings", "labels")
JUDGED = ("forget", "retain", "test")


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings (N, H) scaled to length 1, float64; ValueError if one is zero and so has no direction."""
    length = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    if not length.all():
        raise ValueError(f"{int((length == 0).sum())} embeddings are zero and have no direction")
    return embeddings / length


def class_reference(labels: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Examples that stand for their class: retain, and for a class that retain lacks all outside the forget set.

    The second case occurs when a whole class is forgotten.

    Args:
        labels: (N,) int, the true class.
        sets: (N,) names.
    Returns:
        (N,) bool; no example of a class that occurs in the forget set only, for which nothing stands.
    """
    retain = sets == "retain"
    return retain | (~np.isin(labels, labels[retain]) & (sets != "forget"))


def centroid_distance(points: np.ndarray, labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosine distance of each example to the centroid of its own class.

    Args:
        points: (N, H) of length 1.
        labels: (N,) int, the true class.
        reference: (N,) bool, the examples whose mean is their class's centroid.
    Returns:
        (N,) float64 in [0, 2]; higher = farther from its class. For the forget set near `retrain` is best.
    """
    result = np.empty(len(points))
    for label in np.unique(labels):
        centroid = unit(points[reference & (labels == label)].mean(axis=0, keepdims=True))[0]
        result[labels == label] = 1 - points[labels == label] @ centroid
    return result


def silhouette(points: np.ndarray, labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(b − a)/max(a, b): a the mean cosine distance to the reference of one's class, b to the nearest other one.

    Rousseeuw (1987), with the clusters held fixed: an example is judged against the reference examples, whether
    or not it is one of them (itself left out of its own class).

    Args:
        points: (N, H) of length 1.
        labels: (N,) int, the true class.
        reference: (N,) bool, the examples that make up the clusters; at least two classes.
    Returns:
        (N,) float64 in [−1, 1]; 1 deep in its class, negative inside another one. Alone in its class: 0.
    """
    classes = np.unique(labels)
    sums = np.stack([points[reference & (labels == c)].sum(axis=0) for c in classes])  # (C, H)
    counts = np.array([(reference & (labels == c)).sum() for c in classes])
    own = labels[:, None] == classes  # (N, C)
    others = counts - (own & reference[:, None])  # itself left out
    similarity = points @ sums.T - (own & reference[:, None])  # an example's similarity with itself is 1
    distance = np.maximum(1 - similarity / np.maximum(others, 1), 0)
    a, b = distance[own], np.where(own, np.inf, distance).min(axis=1)
    largest = np.maximum(a, b)
    defined = (others[own] > 0) & (largest > 1e-9)  # below it, all points coincide up to rounding
    return np.where(defined, (b - a) / np.where(defined, largest, 1), 0.0)


def probe_correct(points: np.ndarray, labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Whether a linear probe fitted on the reference examples reads the true class off an embedding.

    Args:
        points: (N, H) of length 1.
        labels: (N,) int, the true class.
        reference: (N,) bool, the examples the logistic regression is fitted on.
    Returns:
        (N,) bool; in-sample for the reference. High on the forget set: its class is still in the embedding.
    """
    from sklearn.linear_model import LogisticRegression

    scale = np.sqrt(points.shape[1])  # coordinates of a unit vector are of size 1/sqrt(H)
    model = LogisticRegression(max_iter=10_000).fit(points[reference] * scale, labels[reference])
    return model.predict(points * scale) == labels


def values(scores, settings):
    points, labels = unit(scores["embeddings"]), scores["labels"]
    reference = class_reference(labels, scores["sets"])
    known = np.isin(labels, labels[reference])
    given = points[known], labels[known], reference[known]
    columns = {"centroid_distance": centroid_distance(*given)}
    if len(np.unique(given[1])) > 1:  # what is relative to other classes is not defined for a single one
        columns |= {"silhouette": silhouette(*given), "probe_correct": probe_correct(*given)}
    return {name: masked_elsewhere(known, column) for name, column in columns.items()}


def aggregate(scores, values, settings, seed):
    names = {
        "centroid_distance": "centroid_distance",
        "silhouette": "silhouette",
        "probe_correct": "probe_accuracy",
    }
    result: dict[str, float] = {}
    for column, found in values.items():
        result |= set_means(names[column], found, scores["sets"], JUDGED)
    return result
