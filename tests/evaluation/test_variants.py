"""Perturbations, against integer arithmetic, the rows they start from, and the scoring of unchanged models."""

import copy
from functools import partial

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from test_score import LONGEST, SETS, SETTINGS, study
from tiny import encode

from lethe import models
from lethe.evaluation.variants import with_prefixes
from lethe.perturbations import paraphrase, quantise, relearn, shift
from lethe.score import score
from lethe.system.errors import InputError


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generator")
    study(folder, "generation")
    return folder


def variant(folder, perturbation, **options):
    """Arrays of the model under a perturbation; of the model as it is where there is none."""
    cfg = {"task": "generation", "model": {"source": "any", "max_length": LONGEST}, "score": SETTINGS}
    if perturbation:
        cfg["perturbation"] = {"perturbation": perturbation, "options": options}
    score(cfg, folder / "prepared", folder / "forget", folder / "model", folder / "scores.npz")
    with np.load(folder / "scores.npz") as file:
        return dict(file)


def test_eight_bits_are_products_of_integers():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(7, 5))
    model.get_output_embeddings = lambda: None
    inputs, weight, bias = torch.randn(4, 7), model[0].weight.detach().clone(), model[0].bias.detach()
    quantise.perturb_model(quantise.Options(8), model, {}, None)
    found = model(inputs)

    def integers(values):
        scale = np.abs(values).max(1, keepdims=True) / 127
        return np.rint(values / scale).astype(np.int64), scale

    (x, of_x), (w, of_w) = integers(inputs.numpy()), integers(weight.numpy())
    assert found.detach().numpy() == pytest.approx((x @ w.T) * of_x * of_w.T + bias.numpy(), abs=1e-6)
    assert found.detach().numpy() != pytest.approx((inputs @ weight.T + bias).numpy(), abs=1e-6)


def test_quantisation_spares_the_head_and_does_not_depend_on_the_batch():
    model, rows = tiny.language_model(), tiny.rows(6)
    head, embedding = model.lm_head.weight.clone(), model.transformer.wte.weight.clone()
    before = copy.deepcopy(model)(rows.input_ids).logits.detach()
    assert quantise.perturb_model(quantise.Options(8), model, {"forget": "as it was"}, None) == {
        "forget": "as it was"
    }
    assert torch.equal(model.lm_head.weight, head) and torch.equal(model.transformer.wte.weight, embedding)
    together = model(rows.input_ids).logits.detach()
    assert 1e-4 < float((together - before).abs().max()) < 0.5
    assert torch.allclose(model(rows.input_ids[2:3]).logits, together[2:3], atol=1e-5)


@pytest.mark.parametrize("on", ["forget", "retain"])
def test_relearning_learns_the_chosen_and_scores_the_others(generator, on):
    model, tokenizer = models.load(generator / "model", "generation")
    table = pd.read_parquet(generator / "prepared/examples.parquet")
    sets = table.merge(pd.read_parquet(generator / "forget/sets.parquet"), on="id")
    sets = dict(list(sets.groupby("set")))
    encoding = partial(encode, tokenizer=tokenizer, max_length=LONGEST, labels=[])
    options = relearn.Options(level=12, on=on, examples=2, learning_rate=3e-3)
    left = relearn.perturb_model(options, model, sets, encoding)
    gone = set(sets[on]["id"]) - set(left[on]["id"])
    assert len(gone) == 2 and {k: len(v) for k, v in left.items()} == SETS | {on: SETS[on] - 2}
    rows = encoding(sets[on][sets[on]["id"].isin(gone)]).rows

    def loss(model):
        with torch.no_grad():
            return float(model(rows.input_ids, labels=rows.input_ids).loss)

    assert loss(model) < 0.8 * loss(models.load(generator / "model", "generation")[0])
    with pytest.raises(InputError, match="allowed are 1 to 2"):
        relearn.perturb_model(relearn.Options(level=1, examples=3), model, sets, encoding)


def test_relearning_is_scored_the_same_again(generator):
    plain, first, again = (
        variant(generator, *name, **options)
        for name, options in (
            ([None], {}),
            (["relearn"], {"level": 3, "examples": 1}),
            (["relearn"], {"level": 3, "examples": 1}),
        )
    )
    assert len(first["ids"]) == len(plain["ids"]) - 1
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values, name)
    same = np.isin(plain["ids"], first["ids"])
    assert np.abs(first["logprob"] - plain["logprob"][same]).max() > 1e-3


def test_a_changed_beginning_leaves_the_end_and_scores_nothing_else(generator):
    plain, changed = variant(generator, None), variant(generator, "shift", level=1)
    assert (changed["suffix"] == plain["suffix"]).all()
    assert (changed["prompt"] <= plain["prompt"]).all() and (changed["prompt"] < plain["prompt"]).any()
    asked = plain["prompt"] > 0
    tokens = (plain["suffix"] >= 0).sum(1)
    assert (changed["mask"].sum(1)[asked] == tokens[asked]).all()
    first = changed["mask"].argmax(1)
    assert (first[asked] == changed["prompt"][asked]).all()


def test_wording_that_stays_gives_the_same_scores(generator):
    """Rows that are taken apart and put together again are the rows; only their beginning is no longer scored."""
    plain, same = (
        variant(generator, None),
        variant(generator, "paraphrase", level=100),
    )  # no phrase is in the texts
    for name in ("suffix", "completion", "tries", "prompt"):
        assert (same[name] == plain[name]).all(), name
    inside = same["mask"] & (np.arange(same["mask"].shape[1]) > 0)
    assert same["logprob"][inside] == pytest.approx(plain["logprob"][inside], abs=1e-4)
    short = same["extraction_likelihood"].sum(1) == 0
    assert short.any()  # prompts are longer, so fewer prefixes count


def test_a_beginning_that_grows_loses_its_left(generator):
    model, tokenizer = models.load(generator / "model", "generation")
    table = pd.read_parquet(generator / "prepared/examples.parquet")
    encoded = encode(table, tokenizer, LONGEST, [])
    grown = with_prefixes(encoded, tokenizer, lambda name, text: "zzz qqq xxx " * 5 + text, 0.5)
    before, after = encoded.rows, grown.rows
    assert after.input_ids.shape[1] <= LONGEST
    for old, length, new, total, start in zip(
        before.input_ids.tolist(),
        before.lengths,
        after.input_ids.tolist(),
        after.lengths,
        after.starts,
        strict=True,
    ):
        cut = max(1, int(length) // 2)
        assert new[start:total] == old[cut:length]
        assert new[0] == old[0] and (cut == 1 or new[start - 1] == old[cut - 1])


def test_words_are_left_out_but_never_the_last():
    text = "one two three"
    assert [shift.rewritten(shift.Options(n), text, None) for n in (1, 2, 9)] == [
        "two three",
        "three",
        "three",
    ]


def test_paraphrases_by_hand():
    draw = np.random.default_rng(0)
    text = "Patient Ann Lee complained of a big headache; she did not call 555-1234."
    expected = "The patient Ann Lee reported a large headache; she didn't phone 555-1234."
    assert paraphrase.rewritten(paraphrase.Options(100), text, draw) == expected
    some = {paraphrase.rewritten(paraphrase.Options(50), text, draw) for _ in range(30)}
    assert len(some) > 5 and all("Ann Lee" in one and "555-1234" in one for one in some)
