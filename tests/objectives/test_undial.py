"""UNDIAL: a target worked by hand, its limits, and its minimum."""

import math

import pytest
import tiny
import torch

from lethe import losses
from lethe.data.rows import Rows
from lethe.objectives import undial

FORGET = tiny.rows(4, seed=1)


def test_by_hand_on_three_tokens():
    """Frozen odds 4:2:1 for the next token, the true one (odds 4) divided by e^log 4 = 4: target 1/4, 1/2, 1/4."""
    rows = Rows(torch.tensor([[2, 0]]), torch.tensor([2]))
    frozen = torch.tensor([4.0, 2.0, 1.0]).log().expand(1, 2, 3)
    model = torch.tensor([0.5, 0.3, 0.2]).log().expand(1, 2, 3)
    target = losses.lowered(frozen, rows, math.log(4))
    assert target[0, 0].softmax(-1).tolist() == pytest.approx([0.25, 0.5, 0.25])
    expected = -(0.25 * math.log(0.5) + 0.5 * math.log(0.3) + 0.25 * math.log(0.2))
    assert losses.soft_nll(target, model, rows).item() == pytest.approx(expected)


def test_without_beta_the_frozen_model_has_its_entropy_and_no_gradient():
    model = tiny.language_model()
    value = undial.loss(undial.Hyper(beta=0), model, tiny.language_model(), {"forget": FORGET})["forget"]
    value.sum().backward()
    entropy = [
        torch.distributions.Categorical(logits=model(input_ids=text[None, :length]).logits[0, :-1])
        .entropy()
        .mean()
        for text, length in zip(FORGET.input_ids, FORGET.lengths.tolist(), strict=True)
    ]
    torch.testing.assert_close(value, torch.stack(entropy))
    assert all(p.grad.abs().max() < 1e-6 for p in model.parameters() if p.grad is not None)


def test_its_gradient_in_the_logits_is_model_minus_target_and_lowers_the_true_token():
    frozen = tiny.language_model()
    logits = losses.forward(frozen, FORGET).detach().requires_grad_()
    before = logits.detach()
    losses.soft_nll(losses.lowered(before, FORGET, 10.0), logits, FORGET).sum().backward()
    for i, length in enumerate(FORGET.lengths.tolist()):
        for t in range(length - 1):
            target = before[i, t].clone()
            target[FORGET.input_ids[i, t + 1]] -= 10.0
            expected = (before[i, t].softmax(-1) - target.softmax(-1)) / (length - 1)
            torch.testing.assert_close(logits.grad[i, t], expected)
            assert logits.grad[i, t, FORGET.input_ids[i, t + 1]] > 0
        assert not logits.grad[i, length - 1 :].any()
