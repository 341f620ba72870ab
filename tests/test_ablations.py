"""Ablations are runs: blocks of params.yaml that need no code, each of which leaves out what it says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import yaml
from test_unlearn import CFG, study

from lethe.objectives import deepcut, icu
from lethe.params.file import check_params
from lethe.params.training import Training
from lethe.training.batches import Batches, TrainingRows
from lethe.training.engine import no_check
from lethe.training.job import Job
from lethe.training.rows import with_other_pairs
from lethe.unlearn import unlearn

DEFAULT = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text())
RUNS = yaml.safe_load("""
icu-no-refinement: {objective: icu, hyper: {refine: false}}
icu-no-kl: {objective: icu, hyper: {kl: 0}}
icu-random-pairs: {objective: icu, hyper: {pairs: random}}
icu-no-pairing: {objective: icu, hyper: {pairs: none}}
icu-no-analogues: {objective: icu, hyper: {learn: 0, kl: 0}}
icu-faithful: {objective: icu_faithful, hyper: {window: 6}}
""")
CLASSIFIERS = yaml.safe_load("""
deepcut-no-contrast: {objective: deepcut, hyper: {gamma: 0}}
deepcut-one-view: {objective: deepcut, hyper: {views: 1}}
deepcut-no-attraction: {objective: deepcut, hyper: {attraction: false}}
""")


def test_a_parameter_file_may_name_them_all():
    for name, runs in (("records", RUNS), ("topics", CLASSIFIERS)):
        DEFAULT["studies"][name]["methods"] |= runs
    studies = check_params(DEFAULT, "params.yaml").studies
    assert set(RUNS) <= set(studies["records"].runs) and set(CLASSIFIERS) <= set(studies["topics"].runs)


def tables(folder, run: str, task: str, hyper: dict, **stop) -> tuple[pd.DataFrame, pd.DataFrame]:
    """trace.csv and epochs.csv of a run on a dozen short texts."""
    study(folder, task)
    training = {"epochs": 2, "learning_rate": 1e-2, "batch": {"forget": 2, "retain": 4}, **stop}
    method = (RUNS | CLASSIFIERS)[run] | {"hyper": hyper, "training": training}
    cfg = {"task": task, "model": CFG[task], "method": method}
    unlearn(Job(cfg, 1, run, folder / "out", folder / "state", None), folder, folder, folder / "original")
    return pd.read_csv(folder / "out" / "trace.csv"), pd.read_csv(folder / "out" / "epochs.csv")


@pytest.mark.parametrize("run", RUNS)
def test_a_generator_leaves_out_what_it_says(tmp_path, run, monkeypatch):
    hyper, stop = RUNS[run]["hyper"], {"n": 2, "memorization_accuracy": 0.0, "extraction_likelihood": 0.0}
    _, epochs = tables(tmp_path, run, "generation", hyper, stop=stop)
    assert ("active" in epochs) is (run != "icu-no-refinement")
    monkeypatch.setattr("lethe.training.run.EpochCheck", lambda *args: no_check)  # every pair goes on
    trace, _ = tables(tmp_path, run, "generation", hyper)
    assert len(trace) == 4 and ("kl" in trace) is (run not in ("icu-no-kl", "icu-no-analogues"))
    assert bool(trace["learn"].any()) is (run != "icu-no-analogues")


@pytest.mark.parametrize("run", CLASSIFIERS)
def test_a_classifier_leaves_out_what_it_says(tmp_path, run):
    trace, _ = tables(tmp_path, run, "classification", CLASSIFIERS[run]["hyper"])
    assert len(trace) == 4 and ("forget" in trace) is (run != "deepcut-no-contrast")


def test_each_view_is_a_pass_and_without_weight_there_are_no_anchors(monkeypatch):
    passes, original = [], deepcut.losses.logits_and_embedding
    spy = lambda *args: passes.append(args) or original(*args)  # noqa: E731
    monkeypatch.setattr(deepcut.losses, "logits_and_embedding", spy)
    batch = {"forget": tiny.rows(4, True, 1), "retain": tiny.rows(6, True, 2)}
    for hyper, expected in (
        (deepcut.Hyper(), 4), (deepcut.Hyper(views=1), 2), (deepcut.Hyper(views=1, gamma=0.0), 1),
    ):  # fmt: skip
        passes.clear()
        deepcut.loss(hyper, tiny.classifier(), None, batch)
        assert len(passes) == expected


def analogues(batches: Batches, epoch: int, step: int) -> dict[int, int]:
    """First tokens: forget row -> its analogue."""
    batch = batches.batch(epoch, 0, step, np.ones(4, bool))
    return dict(
        zip(batch["forget"].input_ids[:, 0].tolist(), batch["analogue"].input_ids[:, 0].tolist(), strict=True)
    )


def numbered(count: int):
    """Rows that begin with their number."""
    rows = tiny.rows(count)
    rows.input_ids[:, 0] = torch.arange(count)
    return rows


def test_random_pairs_last_and_without_pairing_every_step_draws_anew():
    material = TrainingRows({"forget": numbered(4), "analogue": numbered(3)}, np.zeros((4, 2), int))
    retain, recipe = numbered(20), Training(batch={"forget": 4})
    drawn = with_other_pairs(material, retain, "random", seed=1)
    assert drawn.pairs.shape == (4, 2) and all(len(set(row)) == 2 for row in drawn.pairs)
    assert np.array_equal(drawn.pairs, with_other_pairs(material, retain, "random", 1).pairs)
    assert not np.array_equal(drawn.pairs, with_other_pairs(material, retain, "random", 2).pairs)
    fixed = Batches(drawn, recipe, icu.TERMS, 1)
    assert analogues(fixed, 0, 0) == analogues(fixed, 2, 5) == dict(enumerate(drawn.pairs[:, 0]))
    loose = Batches(with_other_pairs(material, retain, "none", 1), recipe, icu.TERMS, 1)
    seen = [sorted(analogues(loose, epoch, epoch).values()) for epoch in range(5)]
    assert sorted(np.concatenate(seen)) == list(
        range(20)
    )  # a deck of all that is kept, not of what was paired
