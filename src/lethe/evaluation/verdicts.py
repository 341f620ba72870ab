"""What can be claimed of each method: stars, verdicts near, far or open, and the strongest attack on it.

All of it is about the gap to the retrained models of the same seeds (`lethe.metrics.common.gaps`), in the few metrics
that were declared before the run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from lethe.evaluation.comparing import Numbers, by_metric
from lethe.evaluation.transfer import Table, transfer
from lethe.metrics.common.gaps import (
    Gap,
    error_of_examples,
    gap_to_fixed,
    gap_to_retrained,
    holm,
    paired_gaps,
    verdict,
)
from lethe.metrics.loss_tests import combined, loss_ks
from lethe.params.claims import Claims
from lethe.system import plugins
from lethe.tasks import Column

Values = dict[str, np.ndarray]  # columns of metrics.parquet, and `sets`
Load = Callable[[str, int], Values]  # run, seed -> its values per example
KEPT = ("_retain", "_test")  # endings of metrics of what should not fall
SETS = ("forget", "test", "holdout")


def with_transfer(numbers: Numbers, load: Load, task: str, confidence: float) -> Numbers:
    """The numbers of runs with those of the transfer attack, which learns on the run's models of other seeds.

    A run that lacks a score or a set that the attack reads is left as it is.
    """
    features = plugins.part("tasks", task, "FEATURES")
    found = {run: {seed: dict(metrics) for seed, metrics in seeds.items()} for run, seeds in numbers.items()}
    for run, seeds in found.items():
        values = {seed: load(run, seed) for seed in seeds}
        read = {"id", *features}
        if not all(read <= {*of} and {*SETS} <= {*of["sets"]} for of in values.values()):
            continue
        tables = {seed: table(of, features) for seed, of in values.items()}
        for seed, judged in transfer(tables, confidence).items():
            seeds[seed] |= {f"transfer_{name}": value for name, value in judged.items()}
    return found


def table(values: Values, features: Sequence[str]) -> Table:
    """Scores of the examples that the transfer attack reads."""
    read = np.isin(values["sets"], SETS)
    columns = [values[name][read].astype(np.float64) for name in features]
    return Table(values["id"][read].astype(str), values["sets"][read].astype(str), np.stack(columns, 1))


def gaps(
    numbers: Numbers,
    extra: Numbers,
    runs: Sequence[str],
    metric: str,
    load: Load | None = None,
    fixed: bool = False,
) -> dict[str, Gap]:
    """The gap of each run to the retrained models in one metric; runs that lack it are absent.

    Args:
        numbers: run -> seed -> metric -> number, with `retrain`; without it there are no gaps.
        extra: the same of further retrained models of each seed.
        runs: those that are compared.
        load: values per example, by which no error is below that of the examples; None: not looked at.
        fixed: the retrained models are the same in all seeds.
    """
    if "retrain" not in numbers:
        return {}
    retrained = [by_metric(numbers["retrain"], metric), *(by_metric(of, metric) for of in extra.values())]
    of = {run: by_metric(numbers[run], metric) for run in runs}
    seeds = [seed for seed in retrained[0] if all(seed in values for values in of.values() if values)]
    of = {run: values for run, values in of.items() if values}
    groups = [[values[seed] for values in retrained if seed in values] for seed in seeds]
    found: dict[str, Gap] = {}
    if fixed and seeds:
        to_fixed = {run: gap_to_fixed([values[s] for s in seeds], groups[0]) for run, values in of.items()}
        found = {run: gap for run, gap in to_fixed.items() if gap is not None}
    elif any(len(group) > 1 for group in groups):
        for run, values in of.items():
            gap = gap_to_retrained([values[seed] for seed in seeds], groups)
            assert gap is not None, "a seed has two retrained models"
            found[run] = gap
    elif seeds:
        columns = {run: [values[seed] for seed in seeds] for run, values in of.items()}
        found = paired_gaps(columns, [group[0] for group in groups])
    if load is None:
        return found
    return {run: gap.at_least(example_error(load, run, seeds, metric)) for run, gap in found.items()}


def example_error(load: Load, run: str, seeds: Sequence[int], metric: str) -> float:
    """Standard error of a gap by the examples of the seeds alone, 0 for what is no mean over the examples of a set."""
    column, _, name = metric.rpartition("_")
    differences = []
    for seed in seeds:
        own, retrain = load(run, seed), load("retrain", seed)
        if column not in own or column not in retrain:
            return 0.0
        members = own["sets"] == name
        difference = own[column][members].astype(np.float64) - retrain[column][members].astype(np.float64)
        differences.append(difference[np.isfinite(difference)])
    return error_of_examples(differences)


def judged(
    numbers: Numbers,
    extra: Numbers,
    methods: Sequence[str],
    task: str,
    claims: Claims,
    load: Load | None = None,
    fixed: bool = False,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Method -> primary metric -> {gap, error, degrees, low, high, p, star, margin, verdict}.

    low and high bound the gap at 1 - 2·level, the interval of the verdict; star: told from retraining by Holm's
    procedure over the methods. `margin` and `verdict` are absent where there is no margin: the original does not
    differ from retrain. Metrics without a gap, as with a single seed that has one retrained model, are absent.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {method: {} for method in methods}
    for metric in primary(claims, task):
        of = gaps(numbers, extra, methods, metric, load, fixed)
        stars = holm({method: gap.p_value() for method, gap in of.items()}, claims.level)
        limit = margin(numbers, extra, metric, claims)
        for method, gap in of.items():
            low, high = gap.interval(1 - 2 * claims.level)
            entry: dict[str, Any] = {
                "gap": gap.gap,
                "error": gap.error,
                "degrees": gap.degrees,
                "low": low,
                "high": high,
            }
            entry |= {"p": gap.p_value(), "star": method in stars}
            if limit > 0:
                entry |= {"margin": limit, "verdict": verdict(gap, limit, 1 - 2 * claims.level)}
            found[method][metric] = entry
    return found


def margin(numbers: Numbers, extra: Numbers, metric: str, claims: Claims) -> float:
    """The largest gap that counts as none: a fraction of the original's, or, of what should not fall, of the value."""
    retrained = [
        value
        for of in (numbers.get("retrain", {}), *extra.values())
        for value in by_metric(of, metric).values()
    ]
    if not retrained:
        return 0.0
    if metric.endswith(KEPT):
        return claims.keep * abs(float(np.mean(retrained)))
    original = list(by_metric(numbers["original"], metric).values())
    return claims.near * abs(float(np.mean(original) - np.mean(retrained))) if original else 0.0


def strongest(
    numbers: Numbers, extra: Numbers, runs: Sequence[str], confidence: float, fixed: bool = False
) -> dict[str, dict[str, Any]]:
    """The attack that tells each run furthest from the retrained models, of all that were run on both.

    Args:
        numbers, extra, fixed: as for `gaps`; every metric SCORE_auc is an attack.
        confidence: level of the interval. It is widened for the choice among K attacks (Bonferroni).
    Returns:
        run -> {attack, attacks (how many were run), auc, retrained (the mean of the retrained models' AUC), gap, low,
        high}; low and high are absent where there is no spread to tell them by.
    """
    known = numbers.get("retrain", {})
    names = sorted({m for seeds in known.values() for m in seeds if is_attack(m)})
    found = {}
    for run in runs:
        entries: list[dict[str, Any]] = []
        for metric in names:
            values = by_metric(numbers[run], metric)
            retrained = [by_metric(of, metric) for of in (known, *extra.values())]
            seeds = [seed for seed in values if seed in retrained[0]]
            if not seeds:
                continue
            groups = [np.mean([of[seed] for of in retrained if seed in of]) for seed in seeds]
            auc, of_retrained = float(np.mean([values[seed] for seed in seeds])), float(np.mean(groups))
            name = metric.removesuffix("_auc")
            entries.append({"attack": name, "auc": auc, "retrained": of_retrained, "gap": auc - of_retrained})
        if not entries:
            continue
        best = max(entries, key=lambda entry: abs(entry["gap"]))
        gap = gaps(numbers, extra, runs, f"{best['attack']}_auc", fixed=fixed).get(run)
        if gap is not None:
            low, high = gap.interval(1 - (1 - confidence) / len(entries))
            best |= {"low": low, "high": high}
        found[run] = best | {"attacks": len(entries)}
    return found


def beyond(
    numbers: Numbers, extra: Numbers, methods: Sequence[str], metric: str, level: float, fixed: bool = False
) -> list[str]:
    """Methods that were pushed beyond retraining: the attack's AUC is told from that of the retrained models, below it.

    Only beside the retrained models: in a given set of test texts theirs need not be 0.5.

    Args:
        numbers, extra, fixed: as for `gaps`.
        metric: SCORE_auc of the attack.
        level: familywise error over the methods (Holm).
    """
    found = gaps(numbers, extra, methods, metric, fixed=fixed)
    told = holm({method: gap.p_value() for method, gap in found.items()}, level)
    return [method for method in methods if method in told and found[method].gap < 0]


def loss_tests(
    numbers: Numbers, extra: Numbers, runs: Sequence[str], load: Load, fixed: bool = False
) -> dict[str, dict[str, float]]:
    """Are the losses on the forget set those of the retrained models? Two tests of every run, seeds together.

    Args:
        numbers, extra, load, fixed: as for `gaps`.
        runs: those that are tested.
    Returns:
        run -> {ks, paired}, p-values; empty without retrained models. ks: `loss_ks` beside `retrain` in each seed,
        combined. paired: the mean loss on the same texts beside all retrained models, by the gap and its error of
        training and of texts; absent where no error is known. Under `retrain` the same of the first further retrained
        model: what a perfect method would get.
    """
    if "retrain" not in numbers:
        return {}
    seeds = sorted(numbers["retrain"])

    def tested(numbers: Numbers, extra: Numbers, run: str) -> dict[str, float]:
        ks = [loss_ks(forget_losses(load(run, seed)), forget_losses(load("retrain", seed))) for seed in seeds]
        gap = gaps(numbers, extra, [run], "loss_forget", load, fixed).get(run)
        return {"ks": combined(ks)} | ({"paired": gap.p_value()} if gap else {})

    found = {run: tested(numbers, extra, run) for run in runs if run != "retrain"}
    if extra:
        first, *others = extra
        found["retrain"] = tested(
            {**numbers, first: extra[first]}, {name: extra[name] for name in others}, first
        )
    return found


def forget_losses(values: Values) -> np.ndarray:
    return values["loss"][values["sets"] == "forget"].astype(np.float64)


def is_attack(metric: str) -> bool:
    return metric.endswith("_auc") and not metric.startswith(("blind_", "downstream_"))


def declared(claims: Claims, task: str) -> Mapping[str, Any]:
    """What was declared, with the task's own primary metrics where none were."""
    return claims.model_dump() | {"primary": primary(claims, task)}


def declared_columns(claims: Claims, shown: Sequence[Column], available: Collection[str]) -> list[Column]:
    """Columns of metrics that a study declared and its task does not show: what carries claims stands in the table."""
    known = {column.key for column in shown}
    wanted = [key for key in claims.primary or () if key in available and key not in known]
    return [
        Column(key, key.replace("_", " "), "higher" if key.endswith(KEPT) else "retrain") for key in wanted
    ]


def primary(claims: Claims, task: str) -> list[str]:
    """The metrics that carry claims: those declared, or else the task's own."""
    return claims.primary or list(plugins.part("tasks", task, "PRIMARY"))
