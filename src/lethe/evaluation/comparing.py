"""Runs beside the retrained model: gaps and their intervals, noise bands, who leads, and what two models differ in.

Everything here is arithmetic on numbers and on values per example that `lethe measure` wrote; the bootstrap of a
single seed alone (`gaps_over_examples`) evaluates metrics, on resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lethe.evaluation.bootstrap import Arrays, Values, intervals
from lethe.evaluation.headline import main_attack
from lethe.metrics.common.attacks import auc, auc_draws, judged_others, roc
from lethe.metrics.common.statistics import gap_band, mean_interval, percentile_interval, summary
from lethe.metrics.forget_quality import forget_quality
from lethe.metrics.loss_ks import loss_ks
from lethe.metrics.privacy_leak import privacy_leak
from lethe.params.measure import Measure
from lethe.system.streams import stream
from lethe.tasks import SHADOW_ATTACKS, Column

Seeds = dict[int, dict[str, float]]  # seed -> metric -> number
Numbers = dict[str, Seeds]  # run -> seed -> metric -> number
Summaries = dict[str, dict[str, dict[str, Any]]]  # run -> metric -> entry, as `summaries` returns it
FEW_DRAWS = 200  # resamples behind an interval over examples


def summaries(
    numbers: Numbers, confidence: float, extra_retrains: Numbers | None = None, fixed: bool = False
) -> Summaries:
    """Every metric of every run over the seeds, beside `retrain`, where there is one.

    The gap is paired: the run minus the retrain of the same seed, so of the same forget set.

    Args:
        numbers: run -> seed -> metric -> number.
        confidence: level of the Student-t interval of the gap, and of the band.
        extra_retrains: further retrained models of the same seeds.
        fixed: the retrained models are the same in all seeds, which are then no further look at their noise.
    Returns:
        run -> metric -> {mean, sd, n, gap: {mean, sd, n, low, high, excludes_zero}}. With a single seed sd,
        low, high and excludes_zero are absent, not 0; `gap` is absent for retrain and where retrain has no value.
        Retrain has {band: {half, degrees}} instead, the noise of a gap (`statistics.gap_band`), where there are two
        retrained models or more.
    """
    retrained = numbers.get("retrain", {})
    found = {
        run: {
            metric: entry(by_metric(seeds, metric), by_metric(retrained, metric), run, confidence)
            for metric in sorted(set().union(*seeds.values()))
        }
        for run, seeds in numbers.items()
    }
    for metric, retrain in found.get("retrain", {}).items():
        models = [by_metric(seeds, metric) for seeds in (retrained, *(extra_retrains or {}).values())]
        groups = [[of[seed] for of in models if seed in of] for seed in models[0]]
        band = gap_band(groups[:1] if fixed else groups, confidence)
        if band is not None:
            retrain["band"] = band
    return found


def entry(values: dict[int, float], retrain: dict[int, float], run: str, confidence: float) -> dict[str, Any]:
    """One metric of one run over the seeds, as `summaries` describes it."""
    result: dict[str, Any] = summary(list(values.values()))
    shared = [seed for seed in values if seed in retrain]
    if run != "retrain" and shared:
        differences = [values[seed] - retrain[seed] for seed in shared]
        result["gap"] = summary(differences)
        interval = mean_interval(differences, confidence)
        if interval is not None:
            result["gap"] |= bounds(*interval)
    return result


def bounds(low: float, high: float) -> dict[str, Any]:
    return {"low": low, "high": high, "excludes_zero": not low <= 0 <= high}


def by_metric(seeds: Seeds, metric: str) -> dict[int, float]:
    return {seed: found[metric] for seed, found in seeds.items() if metric in found}


def better(
    numbers: Numbers, runs: Sequence[str], columns: Sequence[Column], confidence: float
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

    def leads(run: str, other: str, column: Column) -> bool:
        mine, theirs = (merit(numbers[name], numbers.get("retrain", {}), column) for name in (run, other))
        differences = [mine[seed] - theirs[seed] for seed in mine if seed in theirs]
        interval = mean_interval(differences, confidence) if differences else None
        return interval is not None and interval[0] > 0

    return {
        run: {c.key: [other for other in runs if other != run and leads(run, other, c)] for c in columns}
        for run in runs
    }


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


def beside_retrain(own: Arrays, retrain: Arrays, task: str, settings: Measure, seed: int) -> dict[str, float]:
    """What takes the values per example of two models to find out.

    Args:
        own, retrain: `sets` (N,), `loss` (N,), and the scores of attacks (N,), of the same examples.
        settings: confidence and number of resamples.
        seed: of the random stream.
    Returns:
        `loss_ks`: how probable the losses on the forget set are under retrain; `SCORE_below_retrain`, for the
        attacks that both have: 1 if the AUC is significantly below that on retrain, so that the forget set was pushed
        beyond what never having seen it would do, else 0; by a bootstrap of the same examples for both models.
        Of answers `forget_quality` and its n, of generators `privacy_leak` with its interval. What is judged against
        test examples is absent without them.
    """
    found = {"loss_ks": loss_ks(losses(own), losses(retrain))} | truth_quality(own, retrain)
    if not judged_others(own).any():
        return found
    for name in [n for n in (main_attack(task), *SHADOW_ATTACKS) if n in own and n in retrain]:
        draws = paired_draws(own, retrain, name, settings, seed)
        high = percentile_interval(draws[0] - draws[1], settings.confidence)[1]
        found[f"{name}_below_retrain"] = float(high < 0)
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
    found = [
        {"loss_ks": loss_ks(losses(other), losses(retrain))} | truth_quality(other, retrain)
        for other in extra_retrains
    ]
    return {name: float(np.mean([numbers[name] for numbers in found])) for name in found[0]}


def losses(values: Arrays) -> np.ndarray:
    return values["loss"][values["sets"] == "forget"]


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
