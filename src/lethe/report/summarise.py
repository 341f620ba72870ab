"""Over seeds: mean, spread, the gap to `retrain` with its interval, its noise band, and which run is better."""

from __future__ import annotations

from typing import Any

from lethe.metrics.common.statistics import gap_band, mean_interval, summary
from lethe.report.descriptions import Column

COSTS = ("wall_seconds", "steps", "tokens", "examples", "peak_memory_bytes")
BEFOREHAND = {  # what a run that trains its own original spends on it -> the cost of retrain it is compared with
    "beforehand_seconds": "wall_seconds",
    "beforehand_steps": "steps",
    "beforehand_tokens": "tokens",
}
Numbers = dict[str, dict[int, dict[str, float]]]  # run -> seed -> metric -> number


def summaries(
    numbers: Numbers, confidence: float, again: Numbers | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Every metric of every run over the seeds, beside `retrain`.

    The gap is paired: the run minus the retrain of the same seed, so of the same forget set.

    Args:
        numbers: run -> seed -> metric -> number.
        confidence: level of the Student-t interval of the gap, and of the band.
        again: further retrained models of the same seeds.
    Returns:
        run -> metric -> {mean, sd, n, gap: {mean, sd, n, low, high, excludes_zero}}. With a single seed sd,
        low, high and excludes_zero are absent, not 0; `gap` is absent for retrain and where retrain has no value.
        Retrain has {band: {half, degrees}} instead, the noise of a gap (`statistics.gap_band`), where there are two
        retrained models or more.
    """
    found = {
        run: {
            metric: entry(by_metric(seeds, metric), by_metric(numbers["retrain"], metric), run, confidence)
            for metric in sorted(set().union(*seeds.values()))
        }
        for run, seeds in numbers.items()
    }
    for metric, retrain in found["retrain"].items():
        models = [by_metric(seeds, metric) for seeds in (numbers["retrain"], *(again or {}).values())]
        groups = [[of[seed] for of in models if seed in of] for seed in models[0]]
        band = gap_band(groups, confidence)
        if band is not None:
            retrain["band"] = band
    return found


def better(
    numbers: Numbers, runs: list[str], columns: list[Column], confidence: float
) -> dict[str, dict[str, list[str]]]:
    """Which runs a run is better than: those over which the paired interval of its lead, over seeds, is above zero.

    Args:
        numbers: run -> seed -> metric -> number.
        runs: those that are compared.
        columns: the metrics, and which way is good: higher, lower, or near retrain (the distance counts).
        confidence: level of the Student-t interval.
    Returns:
        run -> metric -> names, in the order of `runs`; empty with a single seed.
    """

    def lead(run: str, other: str, column: Column) -> list[float]:
        merits = [merit(numbers[name], numbers["retrain"], column) for name in (run, other)]
        return [merits[0][seed] - merits[1][seed] for seed in merits[0] if seed in merits[1]]

    def leads(run: str, other: str, column: Column) -> bool:
        differences = lead(run, other, column)
        interval = mean_interval(differences, confidence) if differences else None
        return interval is not None and interval[0] > 0

    return {
        run: {c.key: [other for other in runs if other != run and leads(run, other, c)] for c in columns}
        for run in runs
    }


def merit(
    seeds: dict[int, dict[str, float]], retrain: dict[int, dict[str, float]], column: Column
) -> dict[int, float]:
    """seed -> how good a number is, more being better."""
    values, target = by_metric(seeds, column.key), by_metric(retrain, column.key)
    match column.good:
        case "higher":
            return values
        case "lower":
            return {seed: -value for seed, value in values.items()}
        case _:
            return {seed: -abs(values[seed] - target[seed]) for seed in values if seed in target}


def by_metric(seeds: dict[int, dict[str, float]], metric: str) -> dict[int, float]:
    return {seed: found[metric] for seed, found in seeds.items() if metric in found}


def entry(values: dict[int, float], retrain: dict[int, float], run: str, confidence: float) -> dict[str, Any]:
    result: dict[str, Any] = summary(list(values.values()))
    shared = [seed for seed in values if seed in retrain]
    if run != "retrain" and shared:
        differences = [values[seed] - retrain[seed] for seed in shared]
        result["gap"] = summary(differences)
        interval = mean_interval(differences, confidence)
        if interval is not None:
            low, high = interval
            result["gap"] |= {"low": low, "high": high, "excludes_zero": not low <= 0 <= high}
    return result


def costs(found: dict[str, dict[int, dict[str, Any]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Cost of every run over the seeds, and its ratio to retraining in the same seed.

    Args:
        found: run -> seed -> content of cost.json.
    Returns:
        run -> cost -> {mean, sd, n, ratio: {mean, sd, n}}; `ratio` is absent for retrain, for `base` (made once,
        for all seeds) and where retrain cost nothing.
    """
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for run, seeds in found.items():
        result[run] = {}
        own = [name for name in BEFOREHAND if all(name in cost for cost in seeds.values())]
        for name in [*COSTS, *own]:
            entry: dict[str, Any] = summary([cost[name] for cost in seeds.values()])
            beside = BEFOREHAND.get(name, name)
            retrain = {seed: found["retrain"][seed][beside] for seed in seeds if seed in found["retrain"]}
            if run not in ("base", "retrain") and all(retrain.values()):
                entry["ratio"] = summary([seeds[seed][name] / value for seed, value in retrain.items()])
            result[run][name] = entry
    return result
