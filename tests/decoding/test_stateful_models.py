"""Models that keep another state than keys and values: slower, and as exact as all others."""

import logging

import causal_models
import numpy as np
import pytest
import slow_extraction
import torch
from test_sampling import drawn_slowly

from lethe import losses
from lethe.data.rows import Rows
from lethe.decoding import key_values
from lethe.decoding.extraction import extraction
from lethe.decoding.recall import continuations
from lethe.decoding.sampling import sampled_continuations
from lethe.models import head
from lethe.params.training import Training
from lethe.training.training import FINE_TUNING, fine_tuning, train_model

LENGTHS = np.array([9, 7])
STATEFUL = list(causal_models.STATEFUL)


def texts() -> torch.Tensor:
    tokens = causal_models.texts(2, 9)
    tokens[1, 7:] = 0
    return tokens


@pytest.mark.parametrize("architecture", STATEFUL)
def test_values_are_those_of_the_definition_and_the_log_names_the_model(architecture, caplog):
    key_values.tell_of_state.cache_clear()
    model, tokens, ends = causal_models.untrained(architecture), texts(), [3]
    with caplog.at_level(logging.INFO, "lethe.decoding"):
        found = extraction(model, tokens, (1, 2), lengths=LENGTHS, eos=ends, keep=True, batch_size=3)
    assert [record.args[0] for record in caplog.records] == [model.config.model_type]
    assert found.margin.min() > 1e-5  # else floats decide
    for row, length in enumerate(LENGTHS):
        text = tokens[row, :length].tolist()
        likelihood, accuracy, margin = slow_extraction.extraction(model, text, (1, 2), eos=ends)
        assert found.memorization_accuracy[row] == accuracy
        assert found.margin[row] == pytest.approx(margin, abs=3e-6)
        assert {n: values[row] for n, values in found.extraction_likelihood.items()} == pytest.approx(
            likelihood
        )
        for t in range(1, length):
            expected, _ = slow_extraction.continuation(model, text[:t], length, ends)
            assert found.continuations.continuation(row, t).tolist() == expected


@pytest.mark.parametrize("architecture", STATEFUL)
def test_samples_follow_their_draws(architecture, monkeypatch):
    model, tokens, prompts = causal_models.untrained(architecture), texts(), np.array([4, 1])
    monkeypatch.setattr(head, "LOGITS", 25 * causal_models.VOCABULARY)
    draws = np.random.default_rng(0).random((2, 3, 6))
    found = sampled_continuations(model, tokens, prompts, draws, LENGTHS, eos=())
    for row, text in enumerate(tokens.tolist()):
        for drawn, expected in zip(found[row], draws[row], strict=True):
            slow = drawn_slowly(model, text[: prompts[row]], expected, LENGTHS[row], 1.0)
            assert drawn.tolist() == slow + [-1] * (6 - len(slow))


@pytest.mark.parametrize("architecture", ["mamba", "recurrent_gemma"])
def test_a_beam_of_all_first_tokens_finds_the_likeliest_pair(architecture):
    """Two tokens and as many beams as there are tokens: nothing is left out of the search."""
    model, tokens = causal_models.untrained(architecture), causal_models.texts(1, 5)
    model.generation_config.eos_token_id = None
    size = causal_models.VOCABULARY
    (ours,), _ = continuations(model, tokens, prefix=3, beams=size)
    pairs = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    whole = torch.cat([tokens[:, :3].expand(len(pairs), 3), pairs], 1)
    with torch.no_grad():
        log_p = model(whole, use_cache=False).logits.log_softmax(-1)[:, 2:4].gather(2, pairs[:, :, None])
    assert ours.tolist() == pairs[log_p.sum((1, 2)).argmax()].tolist()


@pytest.mark.parametrize("architecture", STATEFUL)
def test_they_train_step_after_step(architecture, tmp_path):
    model = causal_models.untrained(architecture)
    rows = Rows(texts(), torch.from_numpy(LENGTHS))
    recipe = Training(epochs=4, learning_rate=1e-2, batch={"retain": 2})
    before = losses.example_loss(model, rows).mean().item()
    progress = train_model(model, FINE_TUNING, fine_tuning(rows, recipe, 0), "", tmp_path / "state")
    assert progress.trace[0]["loss"] == pytest.approx(before, abs=1e-5)
    assert losses.example_loss(model.eval(), rows).mean() < before - 0.1


@pytest.mark.parametrize("architecture", list(causal_models.ATTENTION))
def test_models_of_attention_take_the_fast_way(architecture):
    assert key_values.keeps_keys_and_values(causal_models.untrained(architecture))
