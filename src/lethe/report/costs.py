"""What runs cost: mean and spread over seeds, and the ratio to retraining."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

COSTS = ("wall_seconds", "processor_seconds", "steps", "tokens", "examples", "peak_memory_bytes")
BEFOREHAND = {  # what a run that trains its own original spends on it -> the cost of retrain it is compared with
    "beforehand_seconds": "wall_seconds",
    "beforehand_steps": "steps",
    "beforehand_tokens": "tokens",
}


def costs(found: dict[str, dict[int, dict[str, Any]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Cost of every run over the seeds, and its ratio to retraining in the same seed.

    Args:
        found: run -> seed -> content of cost.json.
    Returns:
        run -> cost -> {mean, sd, n, ratio: {mean, sd, n}}; `ratio` is absent for retrain, for `base` (made once,
        for all seeds) and where retrain cost nothing, or was not made here.
    """
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for run, seeds in found.items():
        result[run] = {}
        own = [name for name in BEFOREHAND if all(name in cost for cost in seeds.values())]
        for name in [*COSTS, *own]:
            entry: dict[str, Any] = over_seeds([cost[name] for cost in seeds.values()])
            beside = BEFOREHAND.get(name, name)
            of_retrain = found.get("retrain", {})
            retrain = {seed: of_retrain[seed][beside] for seed in seeds if seed in of_retrain}
            if run not in ("base", "retrain") and retrain and all(retrain.values()):
                entry["ratio"] = over_seeds([seeds[seed][name] / value for seed, value in retrain.items()])
            result[run][name] = entry
    return result


def over_seeds(values: Sequence[float]) -> dict[str, float | int]:
    """Mean, number of values, and their sample standard deviation where there are two or more."""
    found: dict[str, float | int] = {"mean": fmean(values), "n": len(values)}
    return found | ({"sd": stdev(values)} if len(values) > 1 else {})
