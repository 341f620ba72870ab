"""Fused kernels against the modules of transformers."""

import copy

import pytest
import torch
import transformers
from transformers.activations import NewGELUActivation

from lethe.decoding.decoding import evaluating
from lethe.models.fused import activations, exchange, fuse, fused, fused_gelu, weighted_sum

WINDOW = 5


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    config = transformers.GPTNeoConfig(
        vocab_size=61, hidden_size=32, num_layers=2, num_heads=4, window_size=WINDOW, max_position_embeddings=24,
        attention_types=[[["global", "local"], 1]], initializer_range=0.3, pad_token_id=0,
    )  # fmt: skip
    plain = transformers.GPTNeoForCausalLM(config).eval()
    fused = copy.deepcopy(plain)
    fuse(fused)
    return plain, fused


@pytest.mark.parametrize("length", [WINDOW - 1, WINDOW, WINDOW + 1, 24])
def test_values_and_gradients_are_those_of_transformers(models, length):
    torch.manual_seed(length)
    tokens = torch.randint(1, 61, (3, length))
    mask = torch.arange(length) < torch.tensor([[length], [length - 1], [2]])  # right-padded rows
    found = []
    for model in models:
        model.zero_grad()
        logits = model(tokens, attention_mask=mask.long(), use_cache=False).logits[mask]
        logits.square().mean().backward()
        found.append([logits.detach(), *(p.grad for p in model.parameters())])
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_tokens_that_follow_on_a_cache_are_not_fused(models, monkeypatch):
    called = []
    monkeypatch.setattr(
        "lethe.models.fused.scaled_dot_product_attention", lambda *a, **k: called.append(1) or a[2]
    )
    tokens = torch.randint(1, 61, (2, 6))
    cache = models[1](tokens).past_key_values
    assert len(called) == 2
    models[1](tokens, past_key_values=cache)
    assert len(called) == 2


def test_decoding_is_as_before(models):
    prompt = torch.randint(1, 61, (2, 7), generator=torch.Generator().manual_seed(1))
    texts = [model.generate(prompt, max_length=20, do_sample=False, pad_token_id=0) for model in models]
    assert torch.equal(*texts)


@pytest.mark.parametrize("training", [False, True])
def test_a_single_token_attends_as_in_transformers(models, monkeypatch, training):
    model = models[training]
    before = [layer.__dict__.get("_attn") for layer in model.modules()]
    tokens = torch.randint(1, 61, (3, 24), generator=torch.Generator().manual_seed(2))
    seen = []
    softmax = torch.Tensor.softmax
    monkeypatch.setattr(torch.Tensor, "softmax", lambda x, dim: seen.append(x.shape[-1]) or softmax(x, dim))
    with torch.no_grad():
        expected = model(tokens).logits
        with fused(model):
            cache = model(tokens[:, :1]).past_key_values
            for t in range(1, 24):
                out = model(tokens[:, t : t + 1], past_key_values=cache).logits[:, 0]
                torch.testing.assert_close(out, expected[:, t], rtol=1e-4, atol=1e-5)
    assert seen[-2:] == [24, WINDOW]  # keys of a global layer and of a local one
    assert [layer.__dict__.get("_attn") for layer in model.modules()] == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("part", [slice(None), slice(7, 8), slice(3, 9)])
def test_a_weighted_sum_of_a_part_of_a_cache(dtype, part):
    random = torch.Generator().manual_seed(3)
    slab = torch.randn(5, 3, 11, 4, generator=random).to(dtype)
    value = slab[:4, :, part]
    weights = torch.rand(4, 3, value.shape[2], generator=random).to(dtype)
    expected = torch.einsum("bht,bhts->bhs", weights.double(), value.double())
    for same in (value, value.mT.contiguous().mT):  # numbers of a position side by side, and not
        torch.testing.assert_close(weighted_sum(weights, same), expected.to(dtype))


@pytest.mark.parametrize("length", [WINDOW - 1, WINDOW, WINDOW + 1, 24])
@pytest.mark.parametrize("training", [False, True])
def test_a_pass_in_evaluation_is_that_of_transformers(models, training, length):
    tokens = torch.randint(1, 61, (3, length), generator=torch.Generator().manual_seed(length))
    with torch.no_grad():
        expected = models[0](tokens).logits
        with fused(models[training]):
            found = models[training](tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not torch.equal(found, expected)  # else nothing was exchanged


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_gelu_is_that_of_transformers(dtype, tolerance):
    model = torch.nn.Sequential(NewGELUActivation(), torch.nn.GELU())
    x = torch.linspace(-6, 6, 1001).to(dtype).requires_grad_()
    expected = model[0](x)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    fuse(model)
    found = model[0](x)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        *torch.autograd.grad(found.sum(), x), slope, rtol=tolerance, atol=4 * tolerance
    )
    assert not torch.equal(found, expected)


def test_modules_are_as_before_once_a_model_was_evaluated(models):
    for model in models:
        own = [dict(vars(m)) for m in model.modules()]
        with evaluating(model):
            with evaluating(model):
                pass
            assert all("forward" in vars(m) for m in activations(model))
        assert [dict(vars(m)) for m in model.modules()] == own


def test_the_attention_of_a_pass_in_less_precision_stays_as_it_is(models):
    """GELU is fused in every precision: once in all of training and evaluation."""
    model = copy.deepcopy(models[0]).to(torch.bfloat16)
    exchange(activations(model), "forward", fused_gelu)
    tokens = torch.randint(1, 61, (2, 24), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = model(tokens).logits
        with fused(model):
            assert torch.equal(model(tokens).logits, expected)
