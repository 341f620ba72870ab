"""Fused attention against that of transformers."""

import copy

import pytest
import torch
import transformers

from lethe.attention import fuse_attention, one_token_at_a_time

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
    fuse_attention(fused)
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


def test_only_passes_with_gradients_are_fused(models, monkeypatch):
    called = []
    monkeypatch.setattr(
        "lethe.attention.scaled_dot_product_attention", lambda *a, **k: called.append(1) or a[2]
    )
    tokens = torch.randint(1, 61, (2, 6))
    with torch.no_grad():
        models[1](tokens)
    assert not called
    models[1](tokens, use_cache=False)
    assert len(called) == 2


def test_decoding_is_as_before(models):
    prompt = torch.randint(1, 61, (2, 7), generator=torch.Generator().manual_seed(1))
    texts = [model.generate(prompt, max_length=20, do_sample=False, pad_token_id=0) for model in models]
    assert torch.equal(*texts)


@pytest.mark.parametrize("fused", [False, True])
def test_a_single_token_attends_as_in_transformers(models, monkeypatch, fused):
    model = models[fused]
    before = [layer.__dict__.get("_attn") for layer in model.modules()]
    tokens = torch.randint(1, 61, (3, 24), generator=torch.Generator().manual_seed(2))
    seen = []
    softmax = torch.Tensor.softmax
    monkeypatch.setattr(torch.Tensor, "softmax", lambda x, dim: seen.append(x.shape[-1]) or softmax(x, dim))
    with torch.no_grad():
        expected = model(tokens).logits
        with one_token_at_a_time(model):
            cache = model(tokens[:, :1]).past_key_values
            for t in range(1, 24):
                out = model(tokens[:, t : t + 1], past_key_values=cache).logits[:, 0]
                torch.testing.assert_close(out, expected[:, t], rtol=1e-4, atol=1e-5)
    assert seen[-2:] == [24, WINDOW]  # keys of a global layer and of a local one
    assert [layer.__dict__.get("_attn") for layer in model.modules()] == before
