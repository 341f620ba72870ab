"""Sampled continuations against one pass per token, and against the probabilities they are drawn from."""

import numpy as np
import pytest
import torch
from causal_models import texts, trained

from lethe.decoding.sampling import sampled_continuations

LENGTHS = np.array([9, 7, 5])
PROMPTS = np.array([4, 1, 3])


@pytest.fixture(scope="module")
def tokens():
    return texts(3, 9)


@pytest.fixture(scope="module")
def model(tokens):
    return trained("gpt_neo", "half", tokens)


def drawn_slowly(model, prompt, draws, length, temperature, eos=()):
    """One pass over the whole text per token; a token is counted off against its draw."""
    text = list(prompt)
    for draw in draws[: length - len(prompt)]:
        with torch.no_grad():
            logits = model(torch.tensor([text])).logits[0, -1].double()
        passed, total = 0, 0.0
        for share in (logits / temperature).softmax(0).tolist():
            total += share
            if total > draw:
                break
            passed += 1
        text.append(passed)
        if passed in eos:
            break
    return text[len(prompt) :]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_every_try_follows_its_own_draws(model, tokens, temperature):
    draws = np.random.default_rng(0).random((3, 6, 6))
    found = sampled_continuations(
        model, tokens, PROMPTS, draws, LENGTHS, temperature=temperature, eos=(3, 11), decode_batch_tokens=40
    )
    ended = 0
    for i, row in enumerate(tokens.tolist()):
        for k in range(6):
            expected = drawn_slowly(
                model, row[: PROMPTS[i]], draws[i, k], LENGTHS[i], temperature, eos=(3, 11)
            )
            ended += len(expected) < LENGTHS[i] - PROMPTS[i]
            assert found[i, k].tolist() == expected + [-1] * (6 - len(expected))
    assert 0 < ended < 18


def test_shares_of_tries_are_the_probabilities_of_the_model(model, tokens):
    draws = np.random.default_rng(1).random((1, 4000, 2))
    found = sampled_continuations(model, tokens[:1, :6], np.array([4]), draws, eos=())
    with torch.no_grad():
        log_p = model(tokens[:1, :6]).logits[0].double().log_softmax(-1)
    likely = log_p[3].exp().max(0)
    assert (found[0, :, 0] == int(likely.indices)).mean() == pytest.approx(float(likely.values), abs=0.03)
    p = float((log_p[3, tokens[0, 4]] + log_p[4, tokens[0, 5]]).exp())
    assert 0.02 < p < 0.98
    share = (found[0] == tokens[0, 4:6].numpy()).all(1).mean()
    assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000))


def test_a_low_temperature_is_greedy(model, tokens):
    draws = np.random.default_rng(2).random((3, 1, 6))
    found = sampled_continuations(model, tokens, np.full(3, 3), draws, temperature=1e-4, eos=())
    greedy = model.generate(
        tokens[:, :3], attention_mask=torch.ones(3, 3), max_new_tokens=6, do_sample=False, eos_token_id=None
    )
    assert found[:, 0].tolist() == greedy[:, 3:].tolist()


def test_what_is_out_of_range_is_named(model, tokens):
    draws = np.zeros((3, 1, 4))
    with pytest.raises(ValueError, match="temperature 0"):
        sampled_continuations(model, tokens, PROMPTS, draws, LENGTHS, temperature=0)
    with pytest.raises(ValueError, match="leaves 1 to 4"):
        sampled_continuations(model, tokens, PROMPTS, draws, LENGTHS)
