import causal_models
import numpy as np
import pytest
import torch

from lethe.decoding.decoding import evaluating, greedy, teacher_forced
from lethe.models.fused import fused

LENGTHS = [20, 13, 17, 2]


def ragged():
    tokens = causal_models.texts(4)
    for row, length in zip(tokens, LENGTHS, strict=True):
        row[length:] = -100
    return tokens


@pytest.mark.parametrize("architecture", ["gpt_neo", "gpt2", "llama", "mistral"])
def test_one_pass_equals_a_pass_over_each_text_alone(architecture):
    model, tokens = causal_models.untrained(architecture), ragged()
    found = teacher_forced(model, tokens, LENGTHS, batch_size=3, logprob=True)
    for row, length in enumerate(LENGTHS):
        with torch.no_grad():
            logits = model(tokens[row : row + 1, :length]).logits[0, :-1].double()
        log_p, scored = logits.log_softmax(1), slice(0, length - 1)
        targets = tokens[row, 1:length]
        mu = (log_p.exp() * log_p).sum(1)
        expected = {
            "logprob": log_p[torch.arange(length - 1), targets],
            "predicted": logits.argmax(1),
            "correct": logits.argmax(1) == targets,
            "gap": -logits.topk(2).values.diff(dim=1).squeeze(1),
            "mu": mu,
            "sigma": ((log_p.exp() * log_p**2).sum(1) - mu**2).sqrt(),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(
                vars(found)[name][row, scored], value.numpy(), rtol=0, atol=2e-6, err_msg=name
            )
            assert not vars(found)[name][row, length - 1 :].any(), name
        assert found.mask[row].tolist() == [True] * (length - 1) + [False] * (20 - length)


def test_what_is_not_asked_for_is_not_computed_and_the_rest_is_the_same():
    model, tokens = causal_models.untrained("gpt2"), ragged()
    whole, part = (vars(teacher_forced(model, tokens, LENGTHS, logprob=asked)) for asked in (True, False))
    assert [name for name, value in part.items() if value is None] == ["logprob", "mu", "sigma"]
    for name in ("predicted", "correct", "mask", "gap"):
        np.testing.assert_array_equal(part[name], whole[name], err_msg=name)


def test_ties_go_to_the_lowest_index():
    logits = torch.tensor([[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0], [5.0, 1.0, 4.5, 0.0]])
    token, gap = greedy(logits)
    assert token.tolist() == [1, 0, 0]
    assert gap.tolist() == [0, 0, 0.5]


def test_a_word_with_no_probability_takes_no_part_in_the_moments():
    model, tokens = causal_models.untrained("gpt2"), causal_models.texts(1)
    plain = teacher_forced(model, tokens, logprob=True)

    def hide(head, inputs, logits):
        return torch.cat([logits, torch.full_like(logits[..., :1], float("-inf"))], -1)

    model.lm_head.register_forward_hook(hide)
    hidden = teacher_forced(model, tokens, logprob=True)
    np.testing.assert_allclose(hidden.mu, plain.mu, atol=1e-6)
    np.testing.assert_allclose(hidden.sigma, plain.sigma, atol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "lengths", "message"),
    [
        (torch.zeros(3, dtype=torch.long), None, "shape"),
        (torch.zeros((0, 4), dtype=torch.long), None, "at least one text"),
        (torch.zeros((2, 4), dtype=torch.long), [4, 1], "row 1 has fewer than two tokens"),
        (torch.zeros((2, 4), dtype=torch.long), [4, 5], "at most 4"),
        (torch.zeros((2, 4), dtype=torch.long), [4], "2 numbers"),
    ],
)
def test_bad_shapes_are_named(tokens, lengths, message):
    with pytest.raises(ValueError, match=message):
        teacher_forced(causal_models.untrained("gpt2"), tokens, lengths)


def test_the_head_in_float32_breaks_ties_that_rounding_makes():
    model, tokens = causal_models.untrained("gpt2").to(torch.bfloat16), causal_models.texts(8)
    with torch.no_grad(), fused(model):
        hidden = model(tokens, output_hidden_states=True).hidden_states[-1][:, :-1]
    exact = (hidden.float() @ model.lm_head.weight.detach().float().T).numpy()
    found = teacher_forced(model, tokens)
    np.testing.assert_array_equal(found.predicted, exact.argmax(-1))
    top = np.sort(exact, -1)
    np.testing.assert_allclose(found.gap, top[..., -1] - top[..., -2], atol=1e-6)
    rounded = teacher_forced(model, tokens, float32_head=False)
    assert (rounded.gap == 0).any()  # the control: bfloat16 logits do tie here
    assert (found.gap > 0).all()


def test_the_state_of_the_model_stays_as_it_was():
    model = causal_models.untrained("gpt2")
    model.transformer.h[0].attn.resid_dropout.p = 0.5
    quiet = teacher_forced(model, causal_models.texts(2), logprob=True)
    model.train()
    model.transformer.h[1].eval()
    modes = [module.training for module in model.modules()]
    draws = torch.get_rng_state()
    loud = teacher_forced(model, causal_models.texts(2), logprob=True)
    np.testing.assert_array_equal(loud.logprob, quiet.logprob)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), draws)
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert [module.training for module in model.modules()] == modes
