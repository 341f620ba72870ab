"""WGA, SatImp, CEU and task vectors: gradients worked by hand, and the limits at which they are other methods."""

import math
from dataclasses import replace

import pytest
import tiny
import torch
import transformers

from lethe import losses
from lethe.data.rows import Rows
from lethe.objectives import ceu, gradient_ascent, satimp, task_vector, wga

BATCH = {"forget": tiny.rows(4, seed=1), "retain": tiny.rows(4, seed=2)}
TWO = Rows(torch.tensor([[2, 0, 1]]), torch.tensor([3]))  # tokens 0 and 1 follow 2


class Fixed(torch.nn.Module):
    """A model whose logits are its parameters."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = torch.nn.Parameter(logits)
        self.config = transformers.PretrainedConfig(vocab_size=logits.shape[-1])

    def forward(self, input_ids):
        return type("Output", (), {"logits": self.logits})


def probabilities(*rows: list[float]) -> Fixed:
    return Fixed(torch.tensor([[*rows, rows[-1]]]).log())


def gradient(method, hyper, model, batch) -> torch.Tensor:
    """Of the forget term, in the logits."""
    method.loss(hyper, model, None, batch)["forget"].sum().backward()
    return model.logits.grad


def test_the_gradient_of_wga_by_hand():
    """Ascent's, p − onehot with the sign turned, times p^β: tokens of probability 1/2 and 1/4, the mean of two."""
    model = probabilities([0.5, 0.25, 0.25], [0.5, 0.25, 0.25])
    found = gradient(wga, wga.Hyper(beta=2.0), model, {"forget": TWO, "retain": TWO})
    first = 0.5**2 * torch.tensor([0.5, -0.25, -0.25]) / 2
    second = 0.25**2 * torch.tensor([-0.5, 0.75, -0.25]) / 2
    torch.testing.assert_close(found[0], torch.stack([first, second, torch.zeros(3)]))


def test_the_gradient_of_satimp_by_hand():
    model = probabilities([0.5, 0.25, 0.25], [0.5, 0.25, 0.25])
    hyper = satimp.Hyper(beta1=2.0, beta2=1.0, forget=0.5)
    found = gradient(satimp, hyper, model, {"forget": TWO, "retain": TWO})
    first = 0.5 * (0.25 * 0.5) * torch.tensor([0.5, -0.25, -0.25]) / 2
    second = 0.5 * (0.0625 * 0.75) * torch.tensor([-0.5, 0.75, -0.25]) / 2
    torch.testing.assert_close(found[0], torch.stack([first, second, torch.zeros(3)]))


@pytest.mark.parametrize(
    ("method", "hyper"), [(wga, wga.Hyper(beta=0.0)), (satimp, satimp.Hyper(beta1=0, beta2=0, forget=1))]
)
def test_without_powers_it_is_gradient_ascent(method, hyper):
    grown = []
    for loss, given in ((method.loss, hyper), (gradient_ascent.loss, gradient_ascent.Hyper())):
        model = tiny.language_model()
        value = loss(given, model, None, BATCH)["forget"]
        value.sum().backward()
        grown.append((value.detach(), [p.grad for p in model.parameters()]))
    (one, own), (other, ascent) = grown
    torch.testing.assert_close(one, other)
    for a, b in zip(own, ascent, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", [wga, satimp])
def test_what_is_kept_is_learnt_with_its_weight(method):
    model = tiny.language_model()
    found = method.loss(method.Hyper(retain=3.0), model, None, BATCH)["retain"]
    torch.testing.assert_close(found, 3 * losses.example_loss(model, BATCH["retain"]))


def test_the_gradient_of_ceu_by_hand():
    """Of the second token alone, true and of probability 1/4: the target is 2/3, 0, 1/3, the gradient p − target."""
    model = probabilities([0.5, 0.25, 0.25], [0.5, 0.25, 0.25])
    value = ceu.loss(ceu.Hyper(), model, None, {"forget": TWO})["forget"]
    assert value.item() == pytest.approx(2 / 3 * math.log(2) + 1 / 3 * math.log(4))
    value.sum().backward()
    second = torch.tensor([0.5 - 2 / 3, 0.25, 0.25 - 1 / 3])
    torch.testing.assert_close(model.logits.grad[0], torch.stack([torch.zeros(3), second, torch.zeros(3)]))


def test_ceu_leaves_the_first_token_of_an_answer_out_but_not_the_only_one():
    rows = replace(tiny.rows(3), lengths=torch.tensor([4, 4, 4]), starts=torch.tensor([1, 2, 3]))
    assert ceu.without_first(rows).starts.tolist() == [2, 3, 3]
    assert ceu.without_first(replace(rows, starts=None)).starts.tolist() == [2, 2, 2]


class TaughtRun:
    """A run whose fine-tuned model is the original with 1/2 added to every weight."""

    def original(self):
        return tiny.language_model()

    def rows(self, *names):
        return names

    def fit(self, name, model, rows):
        assert rows == ("forget",)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.5)
        return model


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5])
def test_a_task_vector_is_stepped_the_other_way_and_at_zero_it_is_the_original_to_the_bit(alpha):
    found = task_vector.unlearn(task_vector.Hyper(alpha=alpha), TaughtRun())
    for own, before in zip(found.parameters(), tiny.language_model().parameters(), strict=True):
        if alpha == 0:
            assert torch.equal(own, before)
        torch.testing.assert_close(own, before - alpha / 2, rtol=1e-5, atol=1e-5)
