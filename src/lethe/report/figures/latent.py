"""The latent space of classifiers before and after unlearning, beside that of the retrained model."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lethe.report.collect import Results
from lethe.report.figures.style import legend_below, literal, panels
from lethe.system import plugins

CAPTION = (
    "Latent space of the first seed. Each model's embeddings on the unit sphere, projected onto the plane in "
    "which the centroids of its own retained classes differ most; the planes are turned, not stretched, to match the "
    "first panel. Diamonds are the forget set, in the colour of their true class; no forget example enters the fit."
)

CONTRASTIVE = ("deepcut", "contrastive_unlearning")
MANY = 10  # classes that a legend and ten colours can hold


def latent(results: Results) -> Figure | None:
    """Original, the contrastive methods (or else the first), retrain if any; first seed. None without embeddings.

    Each model's embeddings, scaled to length 1, are projected onto the plane in which the centroids of its own
    retained classes differ most; no forget sample enters the fit. The plane is turned and mirrored, never
    stretched, so that its centroids lie as near as possible to those of the original.
    """
    names = ("embeddings", "labels", "sets", "classes")
    if not {*names} <= plugins.given(results.study.task, "metrics"):
        return None
    chosen = [run for run, m in results.study.methods.items() if m.objective in CONTRASTIVE]
    runs = ["original", *(chosen or results.methods[:1]), *results.study.retrained[:1]]
    planes = [projected(*results.scores(run, results.seeds[0], *names)) for run in runs]
    figure, axes = panels(len(runs), height=3.7, columns=len(runs))
    for axis, run, (points, centroids, labels, sets, classes) in zip(axes, runs, planes, strict=True):
        turn = rotation(centroids, planes[0][1])
        draw(axis, points @ turn, centroids @ turn, labels, sets, classes)
        axis.set_title(run)
    limit = 1.05 * max(np.abs(points).max() for points, *_ in planes)
    for axis in axes:
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")
    key(figure, axes[0], planes[0][4])
    return figure


def projected(embeddings, labels, sets, classes):
    """Points (N, 2) and class centroids (C, 2) in the plane of the retained classes, with what colours them."""
    points = embeddings / np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    retain = sets == "retain"
    present = np.unique(labels[retain])
    centroids = np.stack([points[retain & (labels == label)].mean(axis=0) for label in present])
    centre = centroids.mean(axis=0)
    _, _, directions = np.linalg.svd(centroids - centre, full_matrices=False)
    plane = np.zeros((2, points.shape[1]))
    plane[: len(directions)] = directions[:2]
    places = np.full((len(classes), 2), np.nan)
    places[present] = (centroids - centre) @ plane.T
    return (points - centre) @ plane.T, places, labels, sets, classes


def rotation(centroids: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Orthogonal (2, 2) matrix that brings centroids nearest to the target (Schönemann, 1966)."""
    both = ~np.isnan(centroids).any(axis=1) & ~np.isnan(target).any(axis=1)
    left, _, right = np.linalg.svd(centroids[both].T @ target[both])
    return left @ right


def class_colours(count: int):
    from matplotlib import colormaps

    return colormaps["tab10" if count <= MANY else "hsv"](
        np.arange(count) if count <= MANY else np.arange(count) / count
    )


def draw(axis: Axes, points, centroids, labels, sets, classes) -> None:
    colour = class_colours(len(classes))
    retain, forget = sets == "retain", sets == "forget"
    x, y = points.T
    axis.scatter(
        x[retain], y[retain], c=colour[labels[retain]], s=6, alpha=0.28, linewidths=0, label="_retain"
    )
    shade = colour[labels[forget]]
    axis.scatter(
        x[forget], y[forget], c=shade, s=26, marker="D", edgecolors="black", linewidths=0.7, label="_forget"
    )
    axis.scatter(
        centroids[:, 0],
        centroids[:, 1],
        c=colour,
        s=70,
        marker="X",
        edgecolors="white",
        linewidths=1.2,
        label="_class centroid",
    )
    axis.grid(False)
    axis.spines[:].set(visible=True, color="#d5d9de")


def key(figure: Figure, axis: Axes, classes: np.ndarray) -> None:
    """Legend of classes, if they are few, and of the three kinds of marks."""
    colour = class_colours(len(classes))
    if len(classes) <= MANY:
        for name, shade in zip(classes, colour, strict=True):
            axis.plot([], [], "o", color=shade, markersize=5, label=literal(str(name)))
    axis.plot([], [], "o", color="#999999", alpha=0.5, markersize=3, label="retain")
    axis.plot([], [], "D", color="#cccccc", markeredgecolor="black", markersize=5, label="forget")
    axis.plot([], [], "X", color="#777777", markersize=7, label="class centroid")
    legend_below(figure, axis, columns=7)
