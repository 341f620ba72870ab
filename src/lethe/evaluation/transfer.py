"""The transfer attack: what a run leaves in its forget set, learnt on the run's models of other seeds.

Attacks with a fixed score look where training leaves its mark: losses that are too low. Unlearning may leave another
one: losses that are too high, or low and high ones that unseen text does not have. Whoever knows the method can run
it on data of their own and learn that mark; here the other seeds, which forget other examples, are such data.

For each target seed a quadratic logistic regression on scores per example is fitted on the run's models of all other
seeds, forget against test, and judges forget against test of the target. No example is judged by a fit that saw it:
examples are split into two folds, the same in every seed, and a fit for one fold leaves out what is judged in it.
No model is trained. On retrained models it finds nothing (AUC about 0.5), whatever it finds elsewhere was done there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lethe.metrics.common.attacks import auc, auc_interval, true_positives_at
from lethe.metrics.common.statistics import binomial_bounds
from lethe.system.streams import stream

DEGREE = 2  # of the polynomial in the scores: a mark may be at both ends
PENALTY = 10.0  # L2 on standardised terms
FEWEST = 4  # examples of a kind to fit on, and to judge


@dataclass(frozen=True)
class Table:
    """Scores per example of a run of one seed.

    ids (N,), sets (N,): forget, test and hold-out are read; features (N, F), finite.
    """

    ids: np.ndarray
    sets: np.ndarray
    features: np.ndarray

    def standard(self) -> np.ndarray:
        """(N, F) features in deviations of this model's own hold-out examples, so that models can be compared."""
        known = self.features[self.sets == "holdout"]
        scale = known.std(axis=0)
        return (self.features - known.mean(axis=0)) / np.where(scale > 0, scale, 1.0)


def transfer(tables: Mapping[int, Table], confidence: float) -> dict[int, dict[str, float]]:
    """How well the attack tells forget from test in each seed's model of one run.

    Args:
        tables: seed -> scores, of two seeds or more; an id stands for the same example in all.
        confidence: level of the intervals.
    Returns:
        seed -> {auc, auc_low, auc_high, tpr, tpr_low, tpr_high}: area under the curve, and the share of the forget
        set that is found without a single false alarm among the test examples. Seeds with too few examples are
        absent; so are all where there is a single one.
    """
    found = {}
    for target in tables:
        others = [table for seed, table in tables.items() if seed != target]
        judged = judgement(tables[target], others)
        if judged is None:
            continue
        members, unseen = judged
        low, high = auc_interval(members, unseen, confidence)
        hits, _ = true_positives_at(members, unseen, 0.0)
        bounds = binomial_bounds(hits, len(members), confidence)
        found[target] = {
            "auc": auc(members, unseen),
            "auc_low": low,
            "auc_high": high,
            "tpr": hits / len(members),
            "tpr_low": bounds[0],
            "tpr_high": bounds[1],
        }
    return found


def judgement(target: Table, others: list[Table]) -> tuple[np.ndarray, np.ndarray] | None:
    """Log-odds of being unseen of the target's forget and test examples; None where there are too few of a kind."""
    fold = folds(target, others)
    forgotten = set(target.ids[target.sets == "forget"])
    features, members, unseen = target.standard(), [], []
    for place in (0, 1):
        here = np.array([fold[name] == place for name in target.ids])
        groups: tuple[list, list] = ([], [])
        for table in others:
            standard = table.standard()
            free = np.array([name not in forgotten or fold[name] != place for name in table.ids])
            groups[0].append(standard[(table.sets == "forget") & free])
            apart = np.array([fold[name] != place for name in table.ids])
            groups[1].append(standard[(table.sets == "test") & apart & free])
        known = [np.concatenate(group) if group else np.empty((0, 0)) for group in groups]
        asked = [features[(target.sets == name) & here] for name in ("forget", "test")]
        if min(map(len, [*known, *asked])) < FEWEST:
            return None
        judge = fitted(*known)
        members.append(judge(asked[0]))
        unseen.append(judge(asked[1]))
    return np.concatenate(members), np.concatenate(unseen)


def folds(target: Table, others: list[Table]) -> dict[str, int]:
    """id -> 0 or 1: halves of the target's forget set and of all other ids, the same whatever the run."""
    forget = np.unique(target.ids[target.sets == "forget"])
    rest = np.setdiff1d(np.concatenate([table.ids for table in [target, *others]]), forget)
    fold: dict[str, int] = {}
    for kind, names in (("forget", forget), ("rest", rest)):
        order = stream(0, "transfer folds", kind).permutation(len(names))
        fold |= {str(name): int(place % 2) for name, place in zip(names, order, strict=True)}
    return fold


def fitted(forget: np.ndarray, test: np.ndarray):
    """Log-odds of being unseen, a function of (n, F) features, learnt on forget against test."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    model = make_pipeline(
        PolynomialFeatures(DEGREE, include_bias=False),
        StandardScaler(),
        LogisticRegression(C=1 / PENALTY, class_weight="balanced", max_iter=10_000),
    )
    model.fit(np.concatenate([forget, test]), np.repeat([0, 1], [len(forget), len(test)]))
    return model.decision_function
