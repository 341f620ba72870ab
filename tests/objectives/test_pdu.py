"""PDU: its gradient by hand, the multiplier by hand, and a killed run that has the multiplier of an undisturbed one."""

import json

import pandas as pd
import pytest
import tiny
import torch
from test_unlearn import CFG, study
from test_weighted_ascent import TWO, Fixed

from lethe import losses
from lethe.objectives import pdu
from lethe.objectives.pdu import Hyper
from lethe.training.engine import Engine, Interrupted
from lethe.training.job import Job
from lethe.unlearn import unlearn

BATCH = {"forget": tiny.rows(3, seed=1), "retain": tiny.rows(4, seed=2)}


def test_the_gradient_by_hand():
    """Logits 3, 1, −1: spread 2, so 2 · 2 · (onehot of the largest − 1/3), over two tokens."""
    model = Fixed(torch.tensor([[[3.0, 1.0, -1.0]] * 3]))
    value = pdu.loss(Hyper(epsilon=0.0), model, None, {"forget": TWO, "retain": TWO})["forget"]
    value.sum().backward()
    assert value.item() == 4
    each = 4 * torch.tensor([2 / 3, -1 / 3, -1 / 3]) / 2
    torch.testing.assert_close(model.logits.grad[0], torch.stack([each, each, torch.zeros(3)]))


def test_what_is_kept_is_weighed_by_the_multiplier_and_its_violation_has_no_gradient():
    model = tiny.language_model()
    terms = pdu.loss(Hyper(dual=7.0, epsilon=1.5), model, None, BATCH)
    each = losses.example_loss(model, BATCH["retain"])
    torch.testing.assert_close(terms["retain"], 7 * each)
    torch.testing.assert_close(terms["violation"], each.detach() - 1.5)
    assert not terms["violation"].requires_grad


def test_the_multiplier_by_hand():
    """Unmoved in the warm-up; then 2 + 0.5 · 4 = 4, 4 − 0.5 · 10 < 0 is 0, and 0.5 · 1."""
    trace = [{"epoch": epoch, "violation": v} for epoch, v in ((0, 9.0), (1, 4.0), (1, -10.0), (2, 1.0))]
    duals = [pdu.dual_after(Hyper(dual=2.0, rate=0.5, warmup=1), trace[:n]).dual for n in range(5)]
    assert duals == [2, 2, 4, 0, 0.5]


def test_the_bound_is_above_the_original_where_none_is_given():
    from recorded_run import recorded

    model = tiny.language_model()
    run = recorded(pdu, model, "generation", Hyper(slack=0.25))
    expected = losses.example_loss(model, run.rows("retain")).mean().item() + 0.25
    assert run.settings["hyper"].epsilon == pytest.approx(expected)
    assert recorded(pdu, model, "generation", Hyper(epsilon=2.0)).settings["hyper"].epsilon == 2
    assert run.settings["hyper_at"] is pdu.dual_after


def test_a_killed_run_ends_with_the_same_bits(tmp_path, monkeypatch):
    study(tmp_path, "generation")
    training = {"epochs": 3, "learning_rate": 1e-2, "batch": {"forget": 2, "retain": 2}}
    method = {"objective": "pdu", "training": training, "hyper": {"warmup": 0}}

    def run(name: str) -> str:
        cfg = {"task": "generation", "model": CFG["generation"], "method": method}
        job = Job(json.loads(json.dumps(cfg)), 1, name, tmp_path / name, tmp_path / f"{name}.state", None)
        unlearn(job, tmp_path, tmp_path, tmp_path / "original", None)
        return (tmp_path / name / "trace.csv").read_text()

    whole, step, made = run("whole"), Engine.step, []

    def interrupted(self, *arguments):
        step(self, *arguments)
        made.append(1)
        self.terminated = len(made) == 3

    monkeypatch.setattr(Engine, "step", interrupted)
    with pytest.raises(Interrupted):
        run("killed")
    assert run("killed") == whole
    weights = pd.read_csv(tmp_path / "whole/trace.csv")
    assert weights["violation"].abs().min() > 0 and len(weights) == 6
