"""What each method has forgotten at equal damage, from what was measured between epochs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lethe.evaluation.fronts import reached
from lethe.params.training import UTILITY, Choose
from lethe.report.collect import Results, Series
from lethe.report.descriptions import digits
from lethe.report.tables import BARE, Table, number

USUAL, LEAST = (
    0.95,
    0.8,
)  # utility at which methods are compared where none is declared; below which nobody wants them


def measured(results: Results) -> dict[str, dict[int, Series]]:
    """run -> seed -> what was measured between epochs, of the runs that have a utility."""
    return {
        run: seeds
        for run, seeds in results.epochs.items()
        if seeds and all(UTILITY in series for series in seeds.values())
    }


def rule_of(results: Results, run: str) -> Choose:
    """The rule of a run; of one without, one that says what is measured of it."""
    rule = results.study.methods[run].training.choose
    if rule is not None:
        return rule
    series = next(iter(results.epochs[run].values()))
    metric = next((column.key for column in results.memory if column.key in series), "")
    return Choose(metric=metric, at_least={})


def points(series: Series, rule: Choose) -> tuple[np.ndarray, np.ndarray]:
    """(E,) utility of each epoch and how far it is from having forgotten, which is the metric if the lowest counts."""
    value = series[rule.metric]
    return series[UTILITY], value if rule.goal == "lowest" else np.abs(value - rule.goal)


def by_metric(results: Results) -> Iterator[tuple[str, dict[str, Choose]]]:
    """What is forgotten, and the runs of which that was measured with their rules."""
    rules = {run: rule_of(results, run) for run in measured(results)}
    for metric in dict.fromkeys(rule.metric for rule in rules.values() if rule.metric):
        yield metric, {run: rule for run, rule in rules.items() if rule.metric == metric}


def levels(rules: dict[str, Choose]) -> list[float]:
    """Utilities at which runs are compared, the largest first."""
    declared = {rule.at_least[UTILITY] for rule in rules.values() if UTILITY in rule.at_least}
    return sorted({*(declared or {USUAL}), LEAST}, reverse=True)


def equal_damage_table(results: Results) -> Table | None:
    """A row for each method and metric: what is left at each utility, interpolated, and the epoch that was chosen."""
    several = [*by_metric(results)]
    if not several:
        return None
    shown = sorted({level for _, rules in several for level in levels(rules)}, reverse=True)
    rows = []
    for metric, rules in several:
        for run, rule in rules.items():
            seeds = [points(series, rule) for series in measured(results)[run].values()]
            name = metric if rule.goal == "lowest" else f"|{metric} − {number(float(rule.goal), 2)}|"
            cells = [spread([reached(*seed, level) for seed in seeds], digits(metric)) for level in shown]
            rows.append([run, name, *cells, *chosen_cells(results, run, rule)])
    head = [
        "run",
        "what is left",
        *(f"at utility {level:g}" for level in shown),
        "epoch",
        "its utility",
        "it has left",
    ]
    return Table(head, rows)


def chosen_cells(results: Results, run: str, rule: Choose) -> list[str]:
    """The chosen epoch of each seed, its utility and what is left; dashes where none was chosen."""
    epochs, kept, left = [], [], []
    for series in measured(results)[run].values():
        if "chosen" not in series:
            return [BARE, BARE, BARE]
        at = int(series["chosen"].argmax())
        utility, value = points(series, rule)
        epochs.append(f"{series['epoch'][at]:g} of {series['epoch'][-1]:g}")
        kept.append(utility[at])
        left.append(value[at])
    return [", ".join(epochs), spread(kept, 3), spread(left, digits(rule.metric))]


def spread(values: list[float], places: int) -> str:
    """Mean ± standard deviation over seeds."""
    mean = number(float(np.mean(values)), places)
    return mean if len(values) == 1 else f"{mean} ± {number(float(np.std(values, ddof=1)), places)}"
