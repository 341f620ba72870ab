"""The transfer attack on scores whose mark is known."""

from dataclasses import replace

import numpy as np
import pytest

from lethe.evaluation.transfer import Table, folds, transfer

SEEDS = (1, 2, 3)


def table(seed: int, forget, members: int = 40, unseen: int = 80) -> Table:
    """Scores of a model: unseen ones are normal, `forget(rng, n)` draws the first score of the forget set."""
    rng = np.random.default_rng(seed)
    ids = [f"train-{seed}-{i}" for i in range(members)]
    ids += [f"test-{i}" for i in range(unseen)] + [f"holdout-{i}" for i in range(unseen)]
    features = rng.normal(size=(len(ids), 3))
    features[:members, 0] = forget(rng, members)
    sets = np.repeat(["forget", "test", "holdout"], [members, unseen, unseen])
    return Table(np.array(ids), sets, features)


def tables(forget) -> dict[int, Table]:
    return {seed: table(seed, forget) for seed in SEEDS}


def unseen(rng, n):
    return rng.normal(size=n)


def two_sided(rng, n):
    return rng.choice([-3.0, 3.0], n) + rng.normal(size=n) / 2


def test_a_mark_at_both_ends_is_found_where_the_mean_shows_nothing():
    found = transfer(tables(two_sided), 0.95)
    assert set(found) == set(SEEDS)
    for numbers in found.values():
        assert numbers["auc"] > 0.95 and numbers["auc_low"] > 0.85


def test_nothing_is_found_where_there_is_nothing():
    areas = []
    for start in range(0, 60, 3):
        models = {seed: table(start + seed, unseen) for seed in SEEDS}
        areas += [numbers["auc"] for numbers in transfer(models, 0.95).values()]
    assert abs(np.mean(areas) - 0.5) < 0.02
    inside = [0.35 < area < 0.65 for area in areas]
    assert np.mean(inside) > 0.95


def test_other_units_and_another_level_of_a_model_change_nothing():
    models = tables(two_sided)
    moved = {seed: replace(t, features=t.features * 7 + seed) for seed, t in models.items()}
    for seed, numbers in transfer(moved, 0.95).items():
        assert numbers == pytest.approx(transfer(models, 0.95)[seed])


def test_no_example_is_judged_by_a_fit_that_saw_it():
    """All seeds forget the same examples, each with scores of its own in every model: 90 terms learn 80 by heart."""
    own = np.random.default_rng(0).normal(size=(200, 12))
    sets = np.repeat(["forget", "test", "holdout"], [40, 80, 80])
    ids = np.array([f"{name}-{i}" for i, name in enumerate(sets)])
    models = {seed: Table(ids, sets, own) for seed in SEEDS}
    for numbers in transfer(models, 0.95).values():
        assert 0.3 < numbers["auc"] < 0.7


def test_folds_are_halves_and_the_same_for_every_run():
    target, *others = tables(unseen).values()
    fold = folds(target, others)
    of_forget = [fold[name] for name in target.ids[target.sets == "forget"]]
    assert sum(of_forget) == 20
    assert fold == folds(replace(target, features=target.features * 2), others)


def test_one_seed_has_nobody_to_learn_from():
    assert transfer({1: table(1, two_sided)}, 0.95) == {}


def test_too_few_examples_are_not_judged():
    models = {seed: table(seed, two_sided, members=6) for seed in SEEDS}
    assert transfer(models, 0.95) == {}


def test_a_score_that_is_the_same_for_all_hold_out_texts_is_no_error():
    models = tables(two_sided)
    for t in models.values():
        t.features[t.sets == "holdout", 1] = 2.0
    assert set(transfer(models, 0.95)) == set(SEEDS)
