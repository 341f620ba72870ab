from dataclasses import replace

import causal_models
import pytest
import torch
import transformers

from lethe import losses
from lethe.data.rows import Rows
from lethe.system.errors import InputError
from lethe.training.frozen import FrozenHidden, chunked_kl


def batch(indices=(0, 1, 2), width: int = 20) -> Rows:
    lengths = torch.tensor([20, 2, 13])
    return Rows(causal_models.texts(3)[list(indices)][:, :width], lengths[list(indices)])


def direct(before, model, rows):
    with torch.no_grad():
        frozen_logits = losses.forward(before, rows)
    return losses.kl(frozen_logits, losses.forward(model, rows), rows)


def gradients(value, model) -> dict[str, torch.Tensor]:
    weights = torch.tensor([1.0, 2.0, -3.0])[: len(value)]
    model.zero_grad()
    (weights * value).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("architecture", ["gpt_neo", "gpt2", "llama"])
def test_equals_the_direct_divergence_and_its_gradient(architecture):
    before, model = causal_models.untrained(architecture, 0), causal_models.untrained(architecture, 1)
    rows = batch()
    found = FrozenHidden(before).kl(losses.forward(model, rows), rows)
    expected = direct(before, model, rows)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    assert (expected > 1e-3).all()
    slow, fast = gradients(expected, model), gradients(found, model)
    for name in slow:
        torch.testing.assert_close(fast[name], slow[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("trained", [1, 2**23], ids=["a position at a time", "at once"])
@pytest.mark.parametrize("frozen_head", [True, False])
@pytest.mark.parametrize("hidden", [True, False], ids=["kept states", "whole model"])
def test_of_a_large_vocabulary_logits_of_scored_positions_give_the_same(
    monkeypatch, trained, frozen_head, hidden
):
    """Values and gradients of losses and divergences, weighted apart; and no other logits are made."""
    before, plain, model = (causal_models.untrained("llama", seed) for seed in (0, 1, 1))
    rows = replace(batch(), starts=torch.tensor([5, 1, 12]))
    for one in (plain, model):
        one.lm_head.requires_grad_(not frozen_head)
    expected = [losses.example_loss(plain, rows), direct(before, plain, rows)]
    monkeypatch.setattr("lethe.models.head.LARGE", causal_models.VOCABULARY)
    monkeypatch.setattr("lethe.models.head.TRAINED", trained)
    made: list[int] = []
    for one in (before, model):
        one.lm_head.register_forward_hook(lambda module, given, out: made.append(out[..., 0].numel()))
    if hidden:
        frozen = FrozenHidden(before)
        frozen.hidden(rows)  # texts are read once, and the head is tried
        made.clear()
        found = frozen.nll_and_kl(model, rows)
    else:
        found = [losses.example_loss(model, rows), losses.kl_of(before, model, rows)]
    asked = int(rows.scored.sum())
    assert sum(made) == (2 if hidden else 3) * asked and max(made) <= max(
        1, trained // causal_models.VOCABULARY
    )
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
    weights = torch.tensor([1.0, 2.0, -3.0])
    for learn, stay in (expected, found):
        (weights * learn + weights.flip(0) * stay).sum().backward()
    for (name, own), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        if own.requires_grad:
            torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_is_zero_at_the_frozen_model_with_no_gradient():
    model, rows = causal_models.untrained("gpt_neo"), batch()
    found = FrozenHidden(causal_models.untrained("gpt_neo")).kl(losses.forward(model, rows), rows)
    torch.testing.assert_close(found, torch.zeros(3), rtol=0, atol=1e-6)
    assert all(g.abs().max() < 1e-6 for g in gradients(found, model).values())


def test_each_text_runs_once_whatever_batch_it_comes_in():
    before, model = causal_models.untrained("gpt2", 0), causal_models.untrained("gpt2", 1)
    frozen, ran = FrozenHidden(causal_models.untrained("gpt2", 0)), []
    frozen.kl(losses.forward(model, batch([1])), batch([1]))
    hook = frozen.model.transformer.wte.register_forward_hook(lambda module, inputs, _: ran.append(inputs[0]))
    for indices, width in (((2, 1), 20), ((1, 2), 13), ((0, 1, 2), 20), ((2,), 13)):
        rows = batch(indices, width)
        found = frozen.kl(losses.forward(model, rows), rows)
        torch.testing.assert_close(found, direct(before, model, rows), rtol=1e-5, atol=1e-7)
    hook.remove()
    assert [len(ids) for ids in ran] == [1, 1]  # texts 2 and 0; text 1 was known
    held = sum(state.untyped_storage().nbytes() for state in frozen.states.values())
    assert held == (20 + 2 + 13) * 32 * 4


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_change_nothing(chunk):
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(8, 11)
    hidden, logits = torch.randn(20, 8, generator=generator), torch.randn(20, 11, generator=generator)
    logits.requires_grad_(True)
    found = chunked_kl(hidden, head, logits, chunk)
    frozen = torch.distributions.Categorical(logits=head(hidden))
    expected = torch.distributions.kl_divergence(frozen, torch.distributions.Categorical(logits=logits))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    (ours,), (true,) = (torch.autograd.grad(value.square().sum(), logits) for value in (found, expected))
    torch.testing.assert_close(ours, true, rtol=1e-4, atol=1e-6)


def test_a_model_that_changes_its_logits_is_refused():
    config = transformers.AutoConfig.for_model(
        "gemma2", vocab_size=31, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.1, initializer_range=0.5,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(InputError, match="gemma2"):
        FrozenHidden(model).hidden(batch())
