"""Intervals from examples: of every number of a model, and of its difference to another model of the same examples."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lethe.evaluation.numbers import numbers_of
from lethe.metrics.common.statistics import percentile_interval
from lethe.params.measure import Measure
from lethe.system.arrays import NOT_PER_EXAMPLE
from lethe.system.streams import stream

Arrays = dict[str, np.ndarray]
Values = dict[ModuleType, Arrays]  # metric -> its values per example


def intervals(
    models: list[tuple[Arrays, Values]], settings: Measure, seed: int
) -> dict[str, dict[str, float]]:
    """Bootstrap over the examples of each set, the same resamples for both models (Efron, 1979).

    The values per example stay as they are: a fitted attack is not fitted anew. A resample in which a number is not
    defined, as it holds no text of a set that was extracted, has no part in the number's interval. Test examples that
    match the forget set are drawn apart from the others, so that every resample holds as many. An area under the curve
    and a true positive rate keep the intervals that they have without resampling, which fails for few and near 1.

    Args:
        models: arrays and values per example of the model, and, for gaps, of a retrained one; same examples, same
            order.
        settings: confidence and number of resamples.
        seed: of the random stream.
    Returns:
        name -> {value, low, high} and, beside another model that has the number, {retrain, gap, gap_low, gap_high}.
        What is itself a bound, a flag or a rate reached is left out, what is about other texts, that of downstream
        tasks, and the calibration error: it is larger in most resamples, so that they do not bound it.
    """
    bare = settings.model_copy(update={"bootstrap": 0})  # no interval within a resample
    found = [numbers_of(*model, settings, seed) for model in models]
    names = [name for name in found[0] if is_estimate(name)]
    draw = stream(seed, "bootstrap", "examples")
    groups = strata(models[0][0])
    draws = np.empty((settings.bootstrap, len(models), len(names)))
    for one in draws:
        rows = np.concatenate([draw.choice(group, len(group)) for group in groups])
        for model, result in zip(models, one, strict=True):
            numbers = numbers_of(*resampled(*model, rows), bare, seed)
            result[:] = [numbers.get(name, np.nan) for name in names]
    table = {}
    for i, name in enumerate(names):
        having = [name in numbers for numbers in found]
        of = draws[:, having, i]
        of = of[np.isfinite(of).all(axis=1)]
        low, high = percentile_interval(of[:, 0], settings.confidence)
        exact = [found[0].get(f"{name}_{end}", bound) for end, bound in (("low", low), ("high", high))]
        table[name] = {"value": found[0][name], "low": exact[0], "high": exact[1]}
        if sum(having) > 1:
            low, high = percentile_interval(of[:, 0] - of[:, 1], settings.confidence)
            table[name] |= {"retrain": found[1][name], "gap": found[0][name] - found[1][name]}
            table[name] |= {"gap_low": low, "gap_high": high}
    return table


def strata(arrays: Arrays) -> list[np.ndarray]:
    """Rows of each set, of test those that match the forget set apart from the others."""
    sets, match = arrays["sets"], arrays.get("matched")
    of_sets = [sets == name for name in np.unique(sets)]
    parts = of_sets if match is None else [rows & side for rows in of_sets for side in (match, ~match)]
    return [np.flatnonzero(rows) for rows in parts if rows.any()]


def is_estimate(name: str) -> bool:
    other = name.endswith(("_low", "_high", "_smallest")) or "_fpr_reached_" in name
    return not other and not name.startswith(("downstream_", "calibration_error_"))


def resampled(arrays: Arrays, values: Values, rows: np.ndarray) -> tuple[Arrays, Values]:
    """Arrays and values of the examples at `rows`."""
    chosen = {name: a if name in NOT_PER_EXAMPLE else a[rows] for name, a in arrays.items()}
    return chosen, {metric: {k: v[rows] for k, v in found.items()} for metric, found in values.items()}
