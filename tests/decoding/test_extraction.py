import hashlib
import json
import logging
import sys
from functools import cache
from pathlib import Path

import causal_models
import numpy as np
import pytest
import slow_extraction
import torch

from lethe.decoding import continuations, key_values
from lethe.decoding.extraction import extraction
from lethe.system import progress
from lethe.system.errors import InputError
from lethe.tasks import generation
from lethe.training.thresholds import unseen_threshold

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
LENGTHS = [20, 13, 17]
NS = (1, 3, 5)


@cache
def example(architecture: str, level: str):
    """A model and the texts it was fitted to, ragged, with pads that are no tokens."""
    tokens = causal_models.texts(3)
    model = causal_models.trained(architecture, level, tokens, seed=1)
    for row, length in zip(tokens, LENGTHS, strict=True):
        row[length:] = -100
    return model, tokens


def plain(tokens) -> list[list[int]]:
    return [row[:length].tolist() for row, length in zip(tokens, LENGTHS, strict=True)]


def assert_same(found, expected):
    for name in ("memorization_accuracy", "margin"):
        np.testing.assert_allclose(vars(found)[name], vars(expected)[name], rtol=0, atol=2e-6)
    for n in expected.extraction_likelihood:
        np.testing.assert_array_equal(found.extraction_likelihood[n], expected.extraction_likelihood[n])


def assert_slow(found, model, tokens, ns, start=1, eos=()):
    """The definition, token by token; a margin above the noise of floats makes the comparison one of tokens."""
    assert found.margin.min() > 1e-5
    for row, text in enumerate(plain(tokens)):
        likelihood, accuracy, margin = slow_extraction.extraction(model, text, ns, start, eos)
        assert found.memorization_accuracy[row] == accuracy
        assert found.margin[row] == pytest.approx(margin, abs=3e-6)
        for n in ns:
            assert found.extraction_likelihood[n][row] == pytest.approx(likelihood[n], abs=1e-14)


@pytest.mark.parametrize("level", ["random", "half", "memorised"])
@pytest.mark.parametrize("architecture", ["gpt_neo", "gpt2", "llama", "mistral"])
def test_equals_the_definition(architecture, level):
    model, tokens = example(architecture, level)
    found = extraction(model, tokens, NS, lengths=LENGTHS)
    assert_slow(found, model, tokens, NS)
    values = [found.memorization_accuracy, *found.extraction_likelihood.values(), found.margin]
    assert all(value.shape == (3,) and value.dtype == np.float64 for value in values)
    if level != "random":  # a comparison of zeros would say little
        assert found.extraction_likelihood[3].max() > 0


def test_later_start_equals_the_definition():
    model, tokens = example("gpt_neo", "half")
    assert_slow(extraction(model, tokens, NS, start=6, lengths=LENGTHS), model, tokens, NS, start=6)


@pytest.mark.parametrize("architecture", ["gpt_neo", "llama"])
def test_ends_inside_the_text_equal_the_definition(architecture):
    model, tokens = example(architecture, "memorised")
    eos = [int(tokens[0, 7]), int(tokens[1, 12]), 1]  # in a text, at the end of one, and anywhere
    found = extraction(model, tokens, NS, lengths=LENGTHS, eos=eos, keep=True)
    assert_slow(found, model, tokens, NS, eos=eos)
    unended = extraction(model, tokens, NS, lengths=LENGTHS, eos=())
    assert found.extraction_likelihood[3][0] < unended.extraction_likelihood[3][0]  # the ends do matter here
    assert found.continuations.continuation(0, 2)[-1] in eos
    np.testing.assert_array_equal(found.memorization_accuracy, unended.memorization_accuracy)


@pytest.mark.parametrize("end", [None, "text"])
def test_continuations_are_those_of_generate(end):
    model, tokens = example("gpt_neo", "half")
    end = None if end is None else [int(tokens[0, 7]), int(tokens[2, 5])]
    kept = extraction(model, tokens, NS, lengths=LENGTHS, eos=end, keep=True).continuations
    for row, text in enumerate(plain(tokens)):
        for t in range(1, len(text)):
            prompt = torch.tensor([text[:t]])
            out = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_length=len(text), do_sample=False, eos_token_id=end,
                pad_token_id=0,
            )  # fmt: skip
            assert kept.continuation(row, t).tolist() == out[0, t:].tolist(), (row, t)


@pytest.mark.parametrize("tokens_held", [40, 80, 200])
def test_memory_and_batches_change_no_value(tokens_held):
    model, tokens = example("gpt_neo", "half")
    whole = extraction(model, tokens, NS, lengths=LENGTHS, keep=True)
    parts = extraction(
        model, tokens, NS, lengths=LENGTHS, decode_batch_tokens=tokens_held, batch_size=1, keep=True
    )
    assert_same(parts, whole)
    assert vars(parts.continuations).keys() == vars(whole.continuations).keys()
    for name in ("example", "first", "ends"):
        np.testing.assert_array_equal(vars(parts.continuations)[name], vars(whole.continuations)[name])
    for name in ("correct", "mask", "predicted"):
        np.testing.assert_array_equal(vars(parts.tokens)[name], vars(whole.tokens)[name])


def test_a_text_alone_has_the_value_it_has_among_others():
    model, tokens = example("llama", "half")
    among = extraction(model, tokens, NS, lengths=LENGTHS)
    for row, text in enumerate(plain(tokens)):
        alone = extraction(model, torch.tensor([text]), NS)
        assert alone.memorization_accuracy[0] == among.memorization_accuracy[row]
        for n in NS:
            assert alone.extraction_likelihood[n][0] == among.extraction_likelihood[n][row]


def test_no_more_than_the_allowed_tokens_are_held(monkeypatch):
    model, tokens = example("gpt_neo", "random")
    held = []

    class Counted(key_values.Layer):
        def lazy_initialization(self, key_states, value_states):
            super().lazy_initialization(key_states, value_states)
            held.append(self.keys.shape[0] * self.keys.shape[2])

    monkeypatch.setattr(key_values, "Layer", Counted)
    extraction(model, tokens, NS, lengths=LENGTHS, decode_batch_tokens=100)
    layers = model.config.num_layers
    pairs = np.array(held).reshape(-1, 2, layers).sum(1)  # texts and their branches, group by group
    assert len(pairs) == len(LENGTHS)
    assert 60 < pairs.max() <= 100
    with pytest.raises(ValueError, match=r"decode_batch_tokens 39: row 0 needs at least 40"):
        extraction(model, tokens, NS, lengths=LENGTHS, decode_batch_tokens=39)


@pytest.mark.parametrize("level", ["random", "memorised"])
def test_each_text_is_read_once_and_each_branch_once(level):
    model, tokens = example("gpt2", level)
    fed = []
    hook = model.transformer.wte.register_forward_hook(lambda module, inputs, _: fed.append(inputs[0].shape))
    found = extraction(model, tokens[:1], NS, keep=True)
    hook.remove()
    first = found.continuations.first
    assert fed[0] == (1, 20)
    assert all(shape[1] == 1 for shape in fed[1:])
    assert sum(shape.numel() for shape in fed[1:]) == np.maximum(20 - first - 1, 0).sum()
    assert len(first) == 1 + (~found.tokens.correct[0]).sum()


def test_text_too_short_for_an_ngram():
    model, tokens = example("gpt_neo", "half")
    with pytest.raises(ValueError, match=r"row 1 has 13 tokens: EL_13 from prefix 1 on needs at least 14"):
        extraction(model, tokens, (3, 13), lengths=LENGTHS)
    found = extraction(model, tokens, (3, 13, 50), lengths=LENGTHS, allow_short=True)
    assert np.isnan(found.extraction_likelihood[13]).tolist() == [False, True, False]
    assert np.isnan(found.extraction_likelihood[50]).all()
    assert not np.isnan(found.extraction_likelihood[3]).any()
    with pytest.raises(ZeroDivisionError):  # the definition itself has no value there
        slow_extraction.extraction(model, plain(tokens)[1], (13,))


def test_a_model_that_hides_another_state_is_refused(monkeypatch):
    monkeypatch.setattr(continuations, "keeps_keys_and_values", lambda model: True)
    with pytest.raises(InputError, match="mamba"):
        extraction(causal_models.untrained("mamba"), causal_models.texts(1))


def test_progress_is_written_to_the_log_where_nobody_watches(monkeypatch, caplog):
    model, tokens = example("gpt_neo", "random")
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO, "lethe.progress"):
        extraction(model, tokens, NS, lengths=LENGTHS, decode_batch_tokens=80)
    done = [record.args[1] for record in caplog.records]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(3)
    assert caplog.records[-1].getMessage().startswith("extraction: 3.0 of 3 texts")


def test_the_public_name():
    assert generation.extraction is extraction


def test_threshold_by_hand():
    # mean 2; deviations -1, -1, 2: variance 6/2 = 3, standard error sqrt(3/3) = 1
    threshold = unseen_threshold(np.array([1.0, 1.0, 4.0]))
    assert (threshold.mean, threshold.standard_error, threshold.count) == pytest.approx((2, 1, 3))
    assert threshold.with_slack(2) == pytest.approx(4)
    for values in ([1.0], [], [1.0, np.nan]):
        with pytest.raises(ValueError, match=r"at least|not finite"):
            unseen_threshold(np.array(values))


@pytest.fixture(scope="module")
def golden():
    if not (GOLDEN / "golden.json").exists():
        pytest.skip(f"{GOLDEN} is not there: the golden values lie beside the repository")
    sys.path.insert(0, str(GOLDEN))
    import golden_model

    return golden_model, json.loads((GOLDEN / "golden.json").read_text())


def golden_case(golden, name):
    rule, stored = golden
    case = stored["cases"][name]
    model = rule.build_model(case["eos_token_id"])
    assert rule.model_hash(model) == stored["sha256_model_f32"]
    tokens = torch.tensor(stored["eos_case_tokens"]) if name.startswith("eos") else rule.build_tokens()
    return model, tokens[:, : case["T"]], case


@pytest.mark.parametrize("name", ["short_T48", "long_T168", "short_T48_batch3", "eos80_T48_batch1"])
def test_golden_values(golden, name):
    model, tokens, case = golden_case(golden, name)
    found = extraction(model, tokens, keep=True)
    np.testing.assert_allclose(
        found.memorization_accuracy, case["MA"], rtol=0, atol=1e-7
    )  # stored as float32
    for n in (3, 5, 10):
        np.testing.assert_allclose(
            found.extraction_likelihood[n], case["jang"][f"EL_{n}"], rtol=0, atol=1e-12
        )
        mean = found.extraction_likelihood[n].mean()
        assert mean == pytest.approx(case["jang_mean"][f"EL_{n}"], abs=1e-7)
    wrong = [np.flatnonzero(~row) + 1 for row in found.tokens.correct]
    assert [row.tolist() for row in wrong] == case["mismatch_positions"]
    generations = []
    for t in range(1, case["T"]):
        rows = [found.continuations.continuation(row, t).tolist() for row in range(len(tokens))]
        generations.append([t, rows])
        if str(t) in case["generation_from_prefix"]:
            assert rows == case["generation_from_prefix"][str(t)]
    assert hashlib.sha256(json.dumps(generations).encode()).hexdigest() == case["sha256_all_generations"]
    assert found.margin.min() == pytest.approx(case["min_top1_top2_logit_margin"], abs=5e-4)


def test_golden_values_of_a_batch_whose_generations_are_padded(golden):
    """In the published loop pads of the batch count as tokens of texts that ended: only those differ from ours."""
    model, tokens, case = golden_case(golden, "eos80_T48_batch8")
    found = extraction(model, tokens)
    np.testing.assert_allclose(found.memorization_accuracy, case["MA"], rtol=0, atol=1e-7)
    for n in (3, 5, 10):
        np.testing.assert_allclose(
            found.extraction_likelihood[n][:7], case["jang"][f"EL_{n}"][:7], rtol=0, atol=1e-12
        )
        assert found.extraction_likelihood[n][7] < case["jang"][f"EL_{n}"][7]


def test_golden_values_of_the_later_start(golden):
    model, tokens, case = golden_case(golden, "long_T168")
    found = extraction(model, tokens, start=150)
    for n in (3, 5, 10):
        np.testing.assert_allclose(found.extraction_likelihood[n], case["icu"][f"EL_{n}"], rtol=0, atol=1e-12)
    short, *_ = golden_case(golden, "short_T48")
    with pytest.raises(ValueError, match="row 0 has 48 tokens"):  # there -0.0
        extraction(short, tokens[:, :48], start=150)


def test_golden_log_probabilities(golden):
    """Catch what greedy tokens do not: another activation function moves these by 4e-4."""
    model, tokens, _ = golden_case(golden, "long_T168")
    found = extraction(model, tokens, logprob=True).tokens
    np.testing.assert_allclose(-found.logprob.mean(1), golden[1]["nll_per_sample_T168"], rtol=0, atol=1e-4)
