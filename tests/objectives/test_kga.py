"""KGA: gaps against torch's distributions, the fixed points of its loss, and the models it trains."""

import numpy as np
import pytest
import tiny
import torch
from recorded_run import recorded
from torch.distributions import Categorical, kl_divergence

from lethe import losses
from lethe.objectives import kga
from lethe.objectives.kga import Frozen, Hyper

BATCH = {"forget": tiny.rows(5, True, 1), "retain": tiny.rows(4, True, 2)}


def divergence(one, other, rows) -> torch.Tensor:
    return kl_divergence(*(Categorical(logits=losses.forward(m, rows)) for m in (one, other))).mean()


def test_terms_and_gap_against_torch_distributions(monkeypatch):
    monkeypatch.setattr(kga, "CHUNK", 3)
    original, forgotten, new, model = (tiny.classifier(seed) for seed in range(4))
    rows = tiny.rows(8, True, 5)
    frozen = Frozen(original, forgotten, kga.knowledge_gap(original, new, rows))
    assert frozen.gap == pytest.approx(divergence(original, new, rows).item(), rel=1e-4)
    terms = kga.loss(Hyper(retain=3.0), model, frozen, BATCH)
    gap = divergence(forgotten, model, BATCH["forget"])
    torch.testing.assert_close(terms["align"], (gap - frozen.gap).abs(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        terms["retain"].mean(), 3 * divergence(original, model, BATCH["retain"]), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(("share", "sign"), [(0.5, 1), (2.0, -1)])
def test_it_moves_the_gap_towards_the_target_from_either_side(share, sign):
    """The gradient is that of the divergence, with the sign of what it is above the gap."""
    forgotten, model = tiny.classifier(1), tiny.classifier(2)
    value = divergence(forgotten, model, BATCH["forget"])
    slope = torch.autograd.grad(value, model.classifier.weight)[0]
    terms = kga.loss(Hyper(), model, Frozen(model, forgotten, share * value.item()), BATCH)
    found = torch.autograd.grad(terms["align"], model.classifier.weight)[0]
    torch.testing.assert_close(found, sign * slope, rtol=1e-3, atol=1e-6)


def test_equal_gaps_and_the_original_lose_nothing():
    model, forgotten = tiny.classifier(0), tiny.classifier(1)
    gap = divergence(forgotten, model, BATCH["forget"]).item()
    terms = kga.loss(Hyper(), model, Frozen(model, forgotten, gap), BATCH)
    assert terms["align"].item() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(terms["retain"].detach(), 0, atol=1e-6)


def test_what_is_kept_are_the_models_of_the_forget_set_and_of_new_text():
    run = recorded(kga, tiny.classifier(9), "classification")
    assert run.fitted == ["forgotten", "new"] and run.settings["whole_batch"]
    frozen = run.settings["frozen"]
    assert frozen.original is run.model
    forgotten, new = (tiny.classifier(seed) for seed in (1, 2))  # those that the run gave it in turn
    assert torch.equal(frozen.forgotten.classifier.weight, forgotten.classifier.weight)
    assert frozen.gap == pytest.approx(kga.knowledge_gap(run.model, new, run.unseen), rel=1e-6)
