"""From the metrics of all runs of a study to what they say beside `retrain`: comparison.json.

    columns    [{key, label, good, digits}]: the metrics that tell most, and which way is good: higher, lower, or
               retrain (the nearer to it the better)
    confidence level of every interval over seeds, in (0, 1)
    reach      half the width of such an interval, in standard deviations of the differences; null for a single seed
    runs       run -> metric -> {mean, sd, n, gap, band}, in the units of the metric:
               mean, sd (n - 1 in the denominator) and n over the seeds that have the metric, of perplexities the
               geometric mean; gap {mean, sd, distance, n, low, high, excludes_zero, by}: run - mean of the retrained
               models of the same seed, the mean of its absolute value, the interval of its mean, and whether that
               leaves zero out; `by` is "examples" where the interval is one over the examples of a single seed, beside
               a single retrained model. sd, low, high and excludes_zero are absent where nothing tells them;
               band {half, degrees}, of retrain alone: another retrained model would have a gap within +-half.
               Besides the runs: RUN+VARIANT of each test of robustness, and `blind`, the attack without a model.
    better     run -> declared metric -> runs that it is better than; absent with a single seed or method
    attack     {score, others, smallest_rate, roc: {run: {false_positive_rates, true_positive_rates}}}: the main attack
               on membership, how many examples of test it is judged on in the first seed, the smallest false positive
               rate above zero, and the curve, averaged over seeds; null without test examples
    claims     what was declared before the run, as `lethe.params.claims.Claims`, `primary` filled in
    verdicts   method, and original for comparison -> primary metric -> {gap, error, degrees, low, high, p, star,
               margin, verdict}, see `lethe.evaluation.verdicts.judged`; verdict is near, far or open
    strongest  run -> {attack, attacks, auc, retrained, gap, low, high}: the attack that tells it furthest from the
               retrained models, of all that were run
    beyond     methods whose AUC under the main attack lies below that of the retrained models, told from it over all
               methods (Holm); from 8 forget texts on
    losses     run -> {ks, paired}: p-values, seeds together, of the losses on the forget set being as under the
               retrained models, see `lethe.evaluation.verdicts.loss_tests`; under `retrain` those of a further
               retrained model
    memory     [{key, label, good, digits}]: measures of what is left of the forget set, the first in figures
    ratios     [{test, metric, label, runs: {run: {R, Q, area}}}]: how fast what was forgotten comes back, see there
    robustness [{variant, metric, label, runs: {run: {verdict, returned} or null}}], see `lethe.evaluation.surviving`

A study without a retrained model has no gaps, bands, verdicts, nor what else takes one to find out.
An interval that holds zero says that these seeds do not tell the run from retrain, and not that the two are equal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lethe.evaluation.comparing import (
    FEW_DRAWS,
    Numbers,
    Summaries,
    attacked,
    beside_retrain,
    better,
    example_gaps,
    expected_quality,
    mean_roc,
    summaries,
)
from lethe.evaluation.headline import columns, main_attack, memory
from lethe.evaluation.numbers import values_of as values_of_scores
from lethe.evaluation.numbers import with_match
from lethe.evaluation.scores import load
from lethe.evaluation.shadows import gathered
from lethe.evaluation.surviving import ratios, survival
from lethe.evaluation.verdicts import (
    Load,
    beyond,
    declared,
    declared_columns,
    judged,
    loss_tests,
    primary,
    strongest,
    with_transfer,
)
from lethe.metrics.common.attacks import judged_others
from lethe.metrics.common.statistics import half_width
from lethe.params.addresses import in_study
from lethe.params.compare import Compare
from lethe.params.names import BLIND, SHADOW, VARIANT
from lethe.system.errors import InputError
from lethe.system.files import write_json
from lethe.system.records import NUMBERS, read_record

log = logging.getLogger("lethe.compare")
FEWEST_TEXTS = 8  # of a forget set that may be called pushed beyond retraining


def compare(cfg: dict[str, Any], measured: Path, scores: Path, out: Path) -> None:
    """Write comparison.json of a study.

    Args:
        cfg: as `lethe.params.compare.Compare`.
        measured: folder of the study's metrics, `{run}/seed{seed}/metrics.json` and `metrics.parquet`.
        scores: folder of its scores, `{run}/seed{seed}/scores.npz`; read for a single seed alone.
        out: folder of comparison.json.
    Raises:
        InputError: a file is missing.
    """
    settings = Compare.model_validate(cfg)
    found = comparison(settings, Path(measured), Path(scores))
    write_json(Path(out) / "comparison.json", found)
    log.info("%d runs of %d seeds compared", len(found["runs"]), len(settings.seeds))


def comparison(settings: Compare, measured: Path, scores: Path) -> dict[str, Any]:
    """The content of comparison.json."""

    def read(*runs: str, ending: str = "") -> Numbers:
        return {run: numbers_of(measured, run + ending, settings.seeds) for run in runs}

    @cache  # several metrics ask for the same file
    def values(run: str, seed: int) -> dict[str, np.ndarray]:
        return values_of(measured, run, seed)

    plain, several = read(*settings.runs), len(settings.seeds) > 1
    level, claims, task = settings.confidence, settings.claims, settings.task
    numbers = with_transfer(with_retrain(plain, settings, measured), values, task, level)
    extra = with_transfer(read(*settings.extra_retrains), values, task, level)
    found = summaries(numbers | read(BLIND), level, extra, settings.fixed)
    known = "retrain" if "retrain" in settings.runs else "original"  # what is told of it, is told of all
    headline = columns(task, found[known], settings.probes)
    headline += declared_columns(claims, headline, found[known])
    if not several and not extra:
        found = over_examples(found, {column.key for column in headline}, settings, scores)
    variants = {v: read(*settings.compared, ending=VARIANT + v) for v in settings.variants}
    for variant, of in variants.items():
        found |= {run + VARIANT + variant: metrics for run, metrics in summaries(of, level).items()}
    compared_by = [column for column in headline if column.key in primary(claims, task)]
    leads = {"better": better(numbers, settings.methods, compared_by, claims.level)}
    limits = settings.returned, level
    return (leads if several and len(settings.methods) > 1 else {}) | {
        "columns": list(map(asdict, headline)),
        "confidence": level,
        "reach": half_width(len(settings.seeds), level) if several else None,
        "runs": found,
        "attack": attack(settings, measured),
        "claims": declared(claims, task),
        "verdicts": judged(numbers, extra, settings.methods, task, claims, values, settings.fixed)
        | judged(numbers, extra, ["original"], task, claims, values, settings.fixed),
        "strongest": strongest(numbers, extra, settings.compared, level, settings.fixed),
        "beyond": pushed_beyond(numbers, extra, settings, values),
        "losses": loss_tests(numbers, extra, settings.compared, values, settings.fixed),
        "memory": list(map(asdict, memory(settings.task, set().union(*plain[known].values())))),
        "ratios": ratios(settings.task, plain, variants, settings.methods),
        "robustness": survival(settings.task, plain, variants, settings.methods, *limits),
    }


def numbers_of(measured: Path, run: str, seeds: Iterable[int]) -> dict[int, dict[str, float]]:
    """seed -> metric -> number of a run."""
    files = {seed: measured / in_study(run, seed) / "metrics.json" for seed in seeds}
    return {seed: read_record(file, NUMBERS) for seed, file in files.items()}


def values_of(measured: Path, run: str, seed: int) -> dict[str, np.ndarray]:
    """Columns of metrics.parquet, one value per example; `sets` holds the names of their sets."""
    from pyarrow import parquet

    table = parquet.read_table(existing(measured / in_study(run, seed) / "metrics.parquet"))
    values = {name: table[name].to_numpy() for name in table.column_names}
    return values | {"sets": values["set"]}


def existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path}: no such file; `snakemake` makes it")
    return path


def with_retrain(numbers: Numbers, settings: Compare, measured: Path) -> Numbers:
    """The numbers of all runs with those that take the retrained model of the same seed to find out.

    The tests of retrain itself are those of further retrained models beside it: what is to be expected.
    """
    found = {run: dict(seeds) for run, seeds in numbers.items()}
    if "retrain" not in found:
        return found
    for seed in settings.seeds:
        retrain = values_of(measured, "retrain", seed)
        for run in [run for run in settings.runs if run != "retrain"]:
            own = values_of(measured, run, seed)
            found[run][seed] = found[run][seed] | beside_retrain(own, retrain, settings.measure, seed)
        extra = [values_of(measured, run, seed) for run in settings.extra_retrains]
        if extra:
            found["retrain"][seed] = found["retrain"][seed] | expected_quality(retrain, extra)
    return found


def pushed_beyond(numbers: Numbers, extra: Numbers, settings: Compare, load: Load) -> list[str]:
    """As `beyond`, by the main attack; of fewer texts an AUC says too little."""
    fewest = min((load("original", seed)["sets"] == "forget").sum() for seed in settings.seeds)
    if fewest < FEWEST_TEXTS:
        return []
    metric, level = f"{main_attack(settings.task)}_auc", settings.claims.level
    return beyond(numbers, extra, settings.methods, metric, level, settings.fixed)


def over_examples(found: Summaries, keys: set[str], settings: Compare, scores: Path) -> Summaries:
    """The entries of a single seed, the gaps of `keys` with their intervals over examples."""
    if "retrain" not in settings.runs:
        return found
    seed = settings.seeds[0]
    shadows = [existing(scores / in_study(SHADOW, number) / "scores.npz") for number in settings.shadow_seeds]
    of = settings.measure.model_copy(update={"bootstrap": FEW_DRAWS, "confidence": settings.confidence})
    bare = of.model_copy(update={"bootstrap": 0})

    def model(run: str):
        arrays = with_match(load(existing(scores / in_study(run, seed) / "scores.npz")), of)
        if shadows:
            arrays |= gathered(shadows, arrays["ids"], arrays["checksum"])
        values = values_of_scores(arrays, of)
        return arrays, {m: v for m, v in values.items() if keys & {*m.aggregate(arrays, v, bare, seed)}}

    retrain = model("retrain")
    for run in [run for run in settings.runs if run != "retrain"]:
        for key, gap in example_gaps(model(run), retrain, keys, of, seed).items():
            found[run][key]["gap"] |= gap
    return found


def attack(settings: Compare, measured: Path) -> dict[str, Any] | None:
    """The main attack on membership, and its curve for every run; None where no example or score is there for it."""
    score, curves, others = main_attack(settings.task), {}, []
    first = values_of(measured, "original", settings.seeds[0])
    if score not in first or not judged_others(first).any():
        return None
    for run in settings.compared:
        groups = [attacked(values_of(measured, run, seed), score) for seed in settings.seeds]
        rates = dict(zip(("false_positive_rates", "true_positive_rates"), mean_roc(groups), strict=True))
        curves[run] = {name: values.tolist() for name, values in rates.items()}
        others += [len(group) for _, group in groups]
    return {
        "score": score,
        "others": len(attacked(first, score)[1]),
        "smallest_rate": 1 / max(others),
        "roc": curves,
    }
