"""Every metric of a model, from the arrays of a model: one value per example, then numbers of the whole run."""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType

import numpy as np

from lethe.evaluation.matching import matched
from lethe.metrics.common.answers import without_end
from lethe.params.measure import Measure
from lethe.system import plugins
from lethe.system.errors import InputError


def metrics(
    scores: dict[str, np.ndarray], settings: Measure, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Columns per example and numbers of the run, by every metric whose arrays are there."""
    scores = with_match(scores, settings)
    values = values_of(scores, settings)
    columns = {name: column for found in values.values() for name, column in found.items()}
    if "matched" in scores:
        columns["matched"] = scores["matched"]
    return columns, numbers_of(scores, values, settings, seed)


def numbers_of(
    scores: dict[str, np.ndarray],
    values: dict[ModuleType, dict[str, np.ndarray]],
    settings: Measure,
    seed: int,
) -> dict[str, float]:
    """Numbers of the run by every metric, from its values per example."""
    numbers: dict[str, float] = {}
    for metric, found in values.items():
        numbers |= metric.aggregate(with_end(metric, scores, settings), found, settings, seed)
    return numbers


def values_of(scores: dict[str, np.ndarray], settings: Measure) -> dict[ModuleType, dict[str, np.ndarray]]:
    """Of every metric whose arrays are there its values per example."""
    return {metric: metric.values(with_end(metric, scores, settings), settings) for metric in modules(scores)}


def with_end(metric: ModuleType, scores: dict[str, np.ndarray], settings: Measure) -> dict[str, np.ndarray]:
    """The scores as a metric sees them for which `measure.end_token` says whether the end of answers counts."""
    name = metric.__name__.rpartition(".")[2]
    counts = next((said for of, said in settings.end_token.items() if of == name), None)
    if counts is None or "ends" not in scores:
        return scores
    mask = scores["mask"] if counts else without_end(scores)
    return {name: array for name, array in scores.items() if name != "ends"} | {"mask": mask}


def with_match(scores: dict[str, np.ndarray], settings: Measure) -> dict[str, np.ndarray]:
    """The scores with the choice of non-members that match the forget set, where that is asked for.

    Raises:
        InputError: no test example is of a class of the forget set.
    """
    if not settings.matched:
        return scores
    chosen = matched(scores["sets"], scores["characters"], scores.get("labels"))
    if not chosen.any():
        raise InputError(
            "measure.matched: true; no test example is of a class of the forget set; allowed: false"
        )
    return scores | {"matched": chosen}


def modules(available: Collection[str]) -> list[ModuleType]:
    """The metrics whose arrays are there, by file name."""
    needs = {name: plugins.constants_in("metrics", name)["NEEDS"] for name in plugins.names_in("metrics")}
    able = [name for name, of in needs.items() if of is not None and {*of} <= {*available}]
    return [plugins.imported("metrics", name) for name in able]
