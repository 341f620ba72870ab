"""Answers to prompts that are read once, against passes over whole texts."""

import causal_models
import numpy as np
import pytest
import torch

from lethe.decoding.decoding import teacher_forced
from lethe.decoding.wordings import answer_logprob
from lethe.models import head

STARTS = np.array([6, 6, 1, 6, 3, 6])
LENGTHS = np.array([20, 9, 12, 7, 20, 16])


def texts() -> torch.Tensor:
    """Six texts; the first, second and last have one prompt, the fourth another of the same length."""
    found = torch.as_tensor(causal_models.texts(6)).clone()
    found[[1, 5], :6] = found[0, :6]
    return found


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt_neo", "gpt2", "mamba"])
def test_answers_are_as_likely_as_in_a_pass_over_the_whole_text(name, monkeypatch):
    model, tokens = causal_models.untrained(name), texts()
    whole = teacher_forced(model, tokens, LENGTHS, logprob=True).logprob
    column = np.arange(1, tokens.shape[1])
    expected = np.where((column >= STARTS[:, None]) & (column < LENGTHS[:, None]), whole, 0)
    read: list[int] = []
    model.get_input_embeddings().register_forward_hook(
        lambda module, given, out: read.append(given[0].numel())
    )
    for batch_size, logits in ((64, head.LOGITS), (2, 9 * causal_models.VOCABULARY)):
        monkeypatch.setattr(head, "LOGITS", logits)
        read.clear()
        found = answer_logprob(model, tokens, LENGTHS, STARTS, batch_size)
        np.testing.assert_allclose(found, expected, atol=3e-6)
        if name == "llama" and batch_size == 64:
            # of three texts with one prompt: 5 tokens, then from its last on 15 columns each; the others alone
            assert sum(n for n in read if n > 1) == 5 + 3 * 15 + 12 + (5 + 2) + (2 + 18)


def test_gradients_and_modes_are_left_as_they_are():
    model = causal_models.untrained("llama").train()
    answer_logprob(model, texts(), LENGTHS, STARTS, 64)
    assert model.training and all(p.grad is None for p in model.parameters())
