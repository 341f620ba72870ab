"""Which examples are still in which model: a heat map, forget examples by runs. Record ids only, never their text."""

from __future__ import annotations

import re

import numpy as np
from matplotlib.figure import Figure

from lethe.report.collect import Results
from lethe.report.figures.style import PAGE, literal, panels

CAPTION = (
    "Every forget example (row) of a seed in every run (column), the best memorised on top: dark "
    "is forgotten, bright is still there. The column of retrain says how bright unseen text of this kind is; a bright "
    "row in a dark column is a person who was not forgotten, whatever the mean says. Rows are named by record ids."
)

LABELLED = 64  # examples at most that are named beside their row
SHORTEST, ROW, TALLEST = 2.4, 0.13, 9.0  # inches: of a panel, of a row, of a panel


def titles(columns: set[str]) -> dict[str, str]:
    """Column of metrics.parquet -> title of its panel, in the order of panels; all are shares of a text in [0, 1]."""
    likelihoods = [c for c in columns if re.fullmatch(r"extraction_likelihood_\d+", c)]
    longest = sorted(likelihoods, key=lambda name: int(name.split("_")[2]))[-1:]
    wanted = {
        "memorization_accuracy": "MA",
        **{name: f"EL{name.split('_')[2]}" for name in longest},
        "completion_rouge_l": "Completion, ROUGE-L",
        "sampled_rouge_l_best": "Best sample, ROUGE-L",
    }
    return {column: title for column, title in wanted.items() if column in columns}


def examples(results: Results) -> Figure | None:
    """A panel per metric, a row per forget example of the first seed, a column per run; None for a classifier.

    Rows are sorted by the mean of the original over the panels, the best memorised on top.
    """
    shown = titles(set(results.columns_of("original", results.seeds[0])))
    if not shown:
        return None
    found = {
        run: forgotten(results.examples(run, results.seeds[0], "id", "set", *shown)) for run in results.runs
    }
    ids = found["original"]["id"]
    level = np.nanmean([found["original"][column] for column in shown], axis=0)
    order = np.lexsort((ids, -level))
    height = min(TALLEST, max(SHORTEST, ROW * len(ids) + 1.1))
    figure, axes = panels(len(shown), height, columns=4)
    figure.set_figwidth(PAGE)
    for axis, (column, title) in zip(axes, shown.items(), strict=True):
        values = np.stack([values_of(found[run], column, ids[order]) for run in results.runs], axis=1)
        image = axis.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto", interpolation="nearest")
        axis.set_title(title)
        axis.set_xticks(
            range(len(results.runs)), results.runs, rotation=60, ha="right", rotation_mode="anchor"
        )
        axis.set_yticks([])
        axis.grid(visible=False)
    if len(ids) <= LABELLED:
        axes[0].set_yticks(range(len(ids)), [literal(str(name)) for name in ids[order]], fontsize=6)
    else:
        axes[0].set_ylabel(f"{len(ids)} forget examples")
    figure.colorbar(image, ax=axes, shrink=0.5, pad=0.01)
    return figure


def forgotten(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows of the forget set."""
    rows = table["set"] == "forget"
    return {name: column[rows] for name, column in table.items()}


def values_of(table: dict[str, np.ndarray], column: str, ids: np.ndarray) -> np.ndarray:
    """Values of the examples named, NaN where there is none."""
    values = dict(zip(table["id"], table.get(column, np.full(len(table["id"]), np.nan)), strict=True))
    return np.array([values.get(name, np.nan) for name in ids], dtype=np.float64)
