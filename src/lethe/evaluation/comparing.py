"""Runs beside the retrained model: gaps and their intervals, noise bands, who leads, and what two models differ in.

Everything here is arithmetic on numbers and on values per example that `lethe measure` wrote; the bootstrap of a
single seed alone (`example_gaps`) evaluates metrics, on resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from lethe.evaluation.bootstrap import Arrays, Values, intervals
from lethe.metrics.common.attacks import auc, auc_draws, judged_others, roc
from lethe.metrics.common.gaps import gap_to_fixed, gap_to_retrained, holm, paired_gaps
from lethe.metrics.common.statistics import gap_band, mean_interval, percentile_interval, summary
from lethe.metrics.forget_quality import forget_quality
from lethe.metrics.privacy_leak import privacy_leak
from lethe.params.measure import Measure
from lethe.system.streams import stream
from lethe.tasks import Column

Seeds = dict[int, dict[str, float]]  # seed -> metric -> number
Numbers = dict[str, Seeds]  # run -> seed -> metric -> number
Summaries = dict[str, dict[str, dict[str, Any]]]  # run -> metric -> entry, as `summaries` returns it
FEW_DRAWS = 200  # resamples behind an interval over examples
RATIO = "perplexity_"  # begins the names of numbers whose ratios count


def summaries(
    numbers: Numbers, confidence: float, extra_retrains: Numbers | None = None, fixed: bool = False
) -> Summaries:
    """Every metric of every run over the seeds, beside the retrained models, where there are some.

    The gap is paired: the run minus the mean of all retrained models of the same seed, so of the same forget set.

    Args:
        numbers: run -> seed -> metric -> number.
        confidence: level of the interval of the gap, and of the band.
        extra_retrains: further retrained models of the same seeds.
        fixed: the retrained models are the same in all seeds, which are then no further look at their noise.
    Returns:
        run -> metric -> {mean, sd, n, gap: {mean, sd, distance, n, low, high, excludes_zero}}. `distance` is the mean
        of |gap| over the seeds: gaps of both signs do not cancel in it. The interval is that of
        `gaps.gap_to_retrained` where a seed has two retrained models, else Student's of the differences. With a single
        seed sd is absent, not 0, and where no spread is known low, high and excludes_zero are; `gap` is absent for
        retrain and where retrain has no value. Retrain has {band: {half, degrees}} instead, the noise of a gap
        (`statistics.gap_band`), where there are two retrained models or more.
        Numbers of a name that begins with `perplexity_` are compared as ratios: their mean is the geometric one, and
        all else is found in logarithms and given as a difference to the geometric mean of what it stands beside.
    """
    models = (numbers.get("retrain", {}), *(extra_retrains or {}).values())
    return {
        run: {
            metric: entry(run, metric, by_metric(seeds, metric), models, confidence, fixed)
            for metric in sorted(set().union(*seeds.values()))
        }
        for run, seeds in numbers.items()
    }


def entry(
    run: str, metric: str, values: dict[int, float], models: Sequence[Seeds], confidence: float, fixed: bool
) -> dict[str, Any]:
    """One metric of one run over the seeds, as `summaries` describes it."""
    retrained = [by_metric(of, metric) for of in models]
    if metric.startswith(RATIO):
        logarithms = [logs(of) for of in retrained]
        return in_units(over_seeds(run, logs(values), logarithms, confidence, fixed))
    return over_seeds(run, values, retrained, confidence, fixed)


def logs(values: dict[int, float]) -> dict[int, float]:
    return {seed: float(np.log(value)) for seed, value in values.items()}


def over_seeds(
    run: str, values: dict[int, float], retrained: Sequence[dict[int, float]], confidence: float, fixed: bool
) -> dict[str, Any]:
    """Mean and spread of one number over the seeds, and its gap, or its band where the run is retrain."""
    result: dict[str, Any] = summary(list(values.values()))
    groups = {s: [of[s] for of in retrained if s in of] for s in retrained[0]}
    if run == "retrain":
        band = gap_band(list(groups.values())[: 1 if fixed else None], confidence)
        return result | ({"band": band} if band else {})
    shared = [seed for seed in values if seed in groups]
    if not shared:
        return result
    own, beside = [values[seed] for seed in shared], [groups[seed] for seed in shared]
    differences = [value - float(np.mean(group)) for value, group in zip(own, beside, strict=True)]
    result["gap"] = summary(differences) | {"distance": float(np.mean(np.abs(differences)))}
    gap = gap_to_fixed(own, beside[0]) if fixed else gap_to_retrained(own, beside)
    interval = gap.interval(confidence) if gap else None if fixed else mean_interval(differences, confidence)
    if interval is not None:
        result["gap"] |= bounds(*interval)
    return result


def in_units(found: dict[str, Any]) -> dict[str, Any]:
    """What was found of logarithms, as numbers: means as geometric ones, spreads and gaps beside these."""
    mean = float(np.exp(found["mean"]))
    result = {**found, "mean": mean} | ({"sd": mean * found["sd"]} if "sd" in found else {})
    if "band" in found:
        result["band"] = {**found["band"], "half": mean * float(np.expm1(found["band"]["half"]))}
    if "gap" in found:
        centre = float(np.exp(found["mean"] - found["gap"]["mean"]))
        inner = {
            k: centre * float(np.expm1(v))
            for k, v in found["gap"].items()
            if k in ("mean", "distance", "low", "high")
        }
        if "sd" in found["gap"]:
            inner["sd"] = centre * found["gap"]["sd"]
        result["gap"] = found["gap"] | inner
    return result


def bounds(low: float, high: float) -> dict[str, Any]:
    return {"low": low, "high": high, "excludes_zero": not low <= 0 <= high}


def by_metric(seeds: Seeds, metric: str) -> dict[int, float]:
    return {seed: found[metric] for seed, found in seeds.items() if metric in found}


def better(
    numbers: Numbers, runs: Sequence[str], columns: Sequence[Column], level: float
) -> dict[str, dict[str, list[str]]]:
    """Which runs a run is better than: those over which its lead, paired by seed, is told from none.

    Args:
        numbers: run -> seed -> metric -> number.
        runs: those that are compared.
        columns: the metrics, and which way is good: higher, lower, or near retrain (the distance counts).
        level: familywise error of a metric, over all pairs of runs (Holm).
    Returns:
        run -> metric -> names, in the order of `runs`; empty with a single seed.
    """
    found: dict[str, dict[str, list[str]]] = {run: {c.key: [] for c in columns} for run in runs}
    for column in columns:
        merits = {run: merit(numbers[run], numbers.get("retrain", {}), column) for run in runs}
        leads = {}
        for one, other in combinations(runs, 2):
            shared = [seed for seed in merits[one] if seed in merits[other]]
            pair = {one: [merits[one][seed] for seed in shared]}
            gap = (
                paired_gaps(pair, [merits[other][seed] for seed in shared])[one] if len(shared) > 1 else None
            )
            if gap is not None:
                leads[one if gap.gap > 0 else other, other if gap.gap > 0 else one] = gap.p_value()
        told = holm(leads, level)
        for run in runs:
            found[run][column.key] = [other for other in runs if (run, other) in told]
    return found


def merit(seeds: Seeds, retrain: Seeds, column: Column) -> dict[int, float]:
    """seed -> how good a number is, more being better."""
    values, target = by_metric(seeds, column.key), by_metric(retrain, column.key)
    match column.good:
        case "higher":
            return values
        case "lower":
            return {seed: -value for seed, value in values.items()}
        case _:
            return {seed: -abs(values[seed] - target[seed]) for seed in values if seed in target}


def beside_retrain(own: Arrays, retrain: Arrays, settings: Measure, seed: int) -> dict[str, float]:
    """What takes the values per example of two models to find out.

    Args:
        own, retrain: `sets` (N,), and the scores of attacks (N,), of the same examples.
        settings: confidence and number of resamples.
        seed: of the random stream.
    Returns:
        Of answers `forget_quality` and its n, of generators `privacy_leak` with its interval. What is judged against
        test examples is absent without them.
    """
    found = truth_quality(own, retrain)
    if not judged_others(own).any():
        return found
    return found | leak(own, retrain, settings, seed)


def paired_draws(own: Arrays, retrain: Arrays, score: str, settings: Measure, seed: int) -> list[np.ndarray]:
    """AUC of an attack on both models, of the same resamples of examples."""
    return [
        auc_draws(*attacked(model, score), settings.bootstrap, stream(seed, "bootstrap", score))
        for model in (own, retrain)
    ]


def truth_quality(own: Arrays, retrain: Arrays) -> dict[str, float]:
    """Forget quality of two models of the same answers; nothing where no forget example has wrong answers."""
    ratios = truth_ratios(own)
    return forget_quality(ratios, truth_ratios(retrain)) if len(ratios) else {}


def truth_ratios(values: Arrays) -> np.ndarray:
    """Logarithms of the truth ratios of the forget set, or, where it has none, of probes named after it."""
    column = np.ma.filled(values.get("log_truth_ratio", np.full(len(values["sets"]), np.nan)), np.nan)
    known, sets = np.isfinite(column), values["sets"].astype(str)
    own = known & (sets == "forget")
    return column[own if own.any() else known & np.char.startswith(sets, "forget")]


def leak(own: Arrays, retrain: Arrays, settings: Measure, seed: int) -> dict[str, float]:
    """Privacy leak with its interval over examples; nothing where retrain tells all members, or there is no text."""
    score = "min_k_40"
    if score not in own or score not in retrain:
        return {}
    value = float(privacy_leak(auc(*attacked(own, score)), auc(*attacked(retrain, score))))
    draws = privacy_leak(*paired_draws(own, retrain, score, settings, seed))
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(draws):
        return {}
    low, high = percentile_interval(draws, settings.confidence)
    return {"privacy_leak": value, "privacy_leak_low": low, "privacy_leak_high": high}


def expected_quality(retrain: Arrays, extra_retrains: Sequence[Arrays]) -> dict[str, float]:
    """The tests beside retrain that a perfect method is to expect: those of further retrained models, on average."""
    found = [truth_quality(other, retrain) for other in extra_retrains]
    return {name: float(np.mean([numbers[name] for numbers in found])) for name in found[0]}


def attacked(values: Arrays, score: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the members, and of the non-members that an attack is judged on."""
    return values[score][values["sets"] == "forget"], values[score][judged_others(values)]


def example_gaps(
    own: tuple[Arrays, Values], retrain: tuple[Arrays, Values], keys: set[str], settings: Measure, seed: int
) -> dict[str, dict[str, Any]]:
    """Intervals over examples of the gaps of a single seed, which have none over seeds.

    Args:
        own, retrain: arrays and values per example of a model, as `bootstrap.intervals` needs them.
        keys: names of the metrics.
        settings: confidence and number of resamples.
        seed: of the random stream.
    Returns:
        metric -> {low, high, excludes_zero, by: "examples"}, of those metrics that have an interval.
    """
    table = intervals([own, retrain], settings, seed)
    gaps = {key: bounds(table[key]["gap_low"], table[key]["gap_high"]) for key in keys & {*table}}
    return {key: gap | {"by": "examples"} for key, gap in gaps.items()}


def mean_roc(seeds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Receiver operating characteristic, averaged vertically over seeds, at every rate that occurs in one of them.

    Args:
        seeds: scores of members and of others, per seed.
    Returns:
        false positive rates (U,) increasing, true positive rates (U,), both in [0, 1].
    """
    curves = [roc(*groups) for groups in seeds]
    rates = np.unique(np.concatenate([false for false, _ in curves]))
    steps = [true[np.searchsorted(false, rates, side="right") - 1] for false, true in curves]
    return rates, np.mean(steps, axis=0)
