"""Logits in parts: the same numbers as all at once, and never more than the bound."""

import causal_models
import numpy as np
import pytest
import torch
import transformers

from lethe import losses
from lethe.data.rows import Rows
from lethe.decoding.decoding import teacher_forced
from lethe.decoding.extraction import extraction
from lethe.decoding.sampling import sampled_continuations
from lethe.models import head
from lethe.models.composed import Mixture

SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip
OTHERS = {
    "gemma2": SMALL | {"final_logit_softcapping": 2.0},  # caps its logits
    "cohere": SMALL | {"logit_scale": 0.3},  # scales them
    "mixtral": SMALL | {"num_local_experts": 2},  # its body returns more than hidden states
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
    },
}
LENGTHS = [20, 13, 17, 2]


def model_of(name: str):
    if name in causal_models.OPTIONS:
        return causal_models.untrained(name)
    if name == "mixture":
        model = causal_models.untrained("gpt2")

        def mix(module, inputs, output):
            output.logits = Mixture(0.3)([output.logits])

        model.register_forward_hook(mix)
        return model
    torch.manual_seed(0)
    ends = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    config = transformers.AutoConfig.for_model(
        name,
        vocab_size=causal_models.VOCABULARY,
        initializer_range=0.1,
        max_position_embeddings=24,
        **ends,
        **OTHERS[name],
    )
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def watched(model) -> list[int]:
    """Numbers of rows of logits that the model's head makes, one entry for each time."""
    made: list[int] = []
    model.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: made.append(output[..., 0].numel())
    )
    return made


NAMES = ["gpt_neo", "gpt2", "llama", "mistral", "mixture", *OTHERS]


@pytest.mark.parametrize("name", NAMES)
def test_parts_are_equal_to_the_whole_and_within_the_bound(name, monkeypatch):
    model, tokens = model_of(name), causal_models.texts(4)
    whole = vars(teacher_forced(model, tokens, LENGTHS, batch_size=4, logprob=True))
    monkeypatch.setattr(head, "LOGITS", 21 * causal_models.VOCABULARY)  # a text has 20 at most
    made = watched(model)
    assert head.asks_for_its_body(model) == (name != "opt")
    parts = vars(teacher_forced(model, tokens, LENGTHS, batch_size=4, logprob=True))
    assert max(made) <= 21 and sum(made) < 4 * 21
    for key, value in whole.items():
        np.testing.assert_allclose(parts[key], value, rtol=0, atol=2e-6, err_msg=key)


def test_parts_of_a_text_that_is_itself_too_long(monkeypatch):
    model, tokens = model_of("gpt2"), causal_models.texts(4)
    whole = vars(teacher_forced(model, tokens, LENGTHS, logprob=True))
    monkeypatch.setattr(head, "LOGITS", 3 * causal_models.VOCABULARY)
    made = watched(model)
    parts = vars(teacher_forced(model, tokens, LENGTHS, logprob=True))
    assert made == [3] * 6 + [1] + [3] * 5 + [1] + [3] * 4 + [1]  # 19, 16, 12 and 1 positions, longest first
    for key, value in whole.items():
        np.testing.assert_allclose(parts[key], value, rtol=0, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("name", ["gpt_neo", "mistral", "opt"])
def test_decoding_is_within_the_bound_and_finds_the_same(name, monkeypatch):
    model, tokens = model_of(name), causal_models.texts(4)
    prompts, draws = np.array([3, 3, 3, 1]), np.random.default_rng(0).random((4, 5, 19))

    def found():
        drawn = sampled_continuations(model, tokens, prompts, draws, LENGTHS, eos=())
        return extraction(model, tokens, n=(1, 2), lengths=LENGTHS, eos=(), allow_short=True), drawn

    whole, drawn = found()
    monkeypatch.setattr(head, "LOGITS", 19 * causal_models.VOCABULARY)
    made = watched(model)
    parts, again = found()
    assert max(made) <= 20  # one text of a model without a body takes as many as it has tokens
    assert np.array_equal(drawn, again)
    for n in (1, 2):
        np.testing.assert_array_equal(parts.extraction_likelihood[n], whole.extraction_likelihood[n])
    np.testing.assert_allclose(parts.margin, whole.margin, atol=2e-6)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", ["llama", "gpt_neo", "gemma2", "cohere", "opt"])
def test_losses_and_gradients_of_parts_are_those_of_all_logits_at_once(name, frozen, monkeypatch):
    model = model_of(name)
    model.get_output_embeddings().requires_grad_(not frozen)
    starts = torch.tensor([5, 2, 1, 1])
    rows = Rows(torch.as_tensor(causal_models.texts(4)), torch.tensor(LENGTHS), starts)
    weights = torch.tensor([0.3, -2.0, 1.0, 0.5])

    def found():
        model.zero_grad()
        values = torch.stack([losses.example_loss(model, rows), losses.sequence_log_probability(model, rows)])
        (values * weights).sum().backward()
        return values.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    whole, gradients = found()
    monkeypatch.setattr(head, "TRAINED", 7 * causal_models.VOCABULARY)
    made = watched(model)
    parts, others = found()
    scored = int(rows.scored.sum())
    again = 1 if frozen else 2  # a head that trains is passed anew for its gradients
    if name != "opt":
        assert max(made) == 7 and sum(made) == 2 * again * scored
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
    assert others.keys() == gradients.keys()
    for key, value in gradients.items():
        torch.testing.assert_close(others[key], value, rtol=1e-4, atol=1e-5, msg=key)


def test_logits_of_prompts_are_not_made_where_the_vocabulary_is_large(monkeypatch):
    model, starts = model_of("llama"), torch.tensor([15, 12, 3, 1])
    rows = Rows(torch.as_tensor(causal_models.texts(4)), torch.tensor(LENGTHS), starts)
    whole = losses.example_loss(model, rows)
    monkeypatch.setattr(head, "LARGE", causal_models.VOCABULARY)
    made = watched(model)
    torch.testing.assert_close(losses.example_loss(model, rows), whole)
    assert made == [int(rows.scored.sum())]
