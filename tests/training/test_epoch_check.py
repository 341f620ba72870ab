"""What is found out between epochs, against definitions worked text by text."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import causal_models
import numpy as np
import pytest
import slow_extraction
import tiny
import torch
from recorded_run import RecordedRun
from transformers import BertTokenizer

from lethe.data.encoding import Encoded
from lethe.data.rows import Rows
from lethe.decoding.recall import token_bleu
from lethe.decoding.similarity import bert_score
from lethe.objectives import icu
from lethe.params.training import Stop, Training
from lethe.system.errors import InputError
from lethe.training import epoch_check
from lethe.training.batches import Batches, TrainingRows
from lethe.training.engine import Engine
from lethe.training.epoch_check import EpochCheck, Refinement
from lethe.training.frozen import FrozenHidden, as_frozen
from lethe.training.objective import Objective

ORDER = 3


def refinement(**changes) -> Refinement:
    """What ICU asks for, with some of its settings changed."""
    return icu.epoch_check(icu.Hyper(**changes), RecordedRun(None, "generation"))


def encoded(tokens, lengths, name) -> Encoded:
    return Encoded(np.array([f"{name}{k}" for k in range(len(tokens))]), Rows(tokens, torch.tensor(lengths)))


@pytest.fixture(scope="module")
def sets():
    """Texts of three sets; those to be forgotten and the first that are kept have been learnt."""
    tokens = causal_models.texts(13)
    return {
        "forget": encoded(tokens[:4], [20, 12, 20, 9], "f"),
        "retain": encoded(tokens[4:8], [20] * 4, "r"),
        "validation": encoded(tokens[8:], [20, 12, 20, 9, 15], "v"),
    }


@pytest.fixture(scope="module")
def model(sets):
    return causal_models.trained("gpt_neo", "half", sets["forget"].rows.input_ids)


def slow(model, encoded):
    """(EL, MA) of every text, by definition."""
    rows = zip(encoded.rows.input_ids.tolist(), encoded.rows.lengths.tolist(), strict=True)
    found = [slow_extraction.extraction(model, ids[:length], (ORDER,)) for ids, length in rows]
    return np.array([el[ORDER] for el, _, _ in found]), np.array([ma for _, ma, _ in found])


def test_looks_every_few_epochs_and_leaves_rows_as_they_were_in_between(model, sets):
    check = EpochCheck(Stop(n=ORDER, every=3), refinement(), sets)
    found = {epoch: check(model, epoch, []) for epoch in range(7)}
    assert [epoch for epoch, of in found.items() if of.columns] == [0, 3, 6]
    for epoch in (1, 2, 4, 5):
        assert found[epoch].active is None and not found[epoch].done


def test_values_and_thresholds_are_those_of_forgotten_and_unseen_text(model, sets):
    found = EpochCheck(Stop(n=ORDER, slack=1.5), None, sets)(model, 0, [])
    likelihood, accuracy = slow(model, sets["forget"])
    assert found.columns["memorization_accuracy"] == pytest.approx(accuracy.mean())
    assert found.columns["extraction_likelihood_3"] == pytest.approx(likelihood.mean())
    assert found.columns["retain_memorization_accuracy"] == pytest.approx(
        slow(model, sets["retain"])[1].mean()
    )
    unseen_likelihood, unseen_accuracy = slow(model, sets["validation"])
    for name, unseen in (
        ("memorization_accuracy", unseen_accuracy),
        ("extraction_likelihood_3", unseen_likelihood),
    ):
        expected = unseen.mean() + 1.5 * unseen.std(ddof=1) / np.sqrt(5)
        assert found.columns[f"threshold_{name}"] == pytest.approx(expected)
    assert found.active is None
    assert not found.done  # half is learnt, of unseen text nothing


def test_the_extraction_likelihood_of_the_first_texts_alone(model, sets):
    found = EpochCheck(Stop(n=ORDER, most=2), None, sets)(model, 0, [])
    likelihood, accuracy = slow(model, sets["forget"])
    assert found.columns["memorization_accuracy"] == pytest.approx(accuracy.mean())
    assert found.columns["extraction_likelihood_3"] == pytest.approx(likelihood[:2].mean())
    assert likelihood[:2].mean() != pytest.approx(likelihood.mean())
    unseen = slow(model, sets["validation"])[0]
    assert found.columns["threshold_extraction_likelihood_3"] == pytest.approx(unseen[:2].mean())


def test_given_thresholds_decide_when_it_ends_and_a_tie_counts(model, sets):
    columns = EpochCheck(Stop(n=ORDER), None, sets)(model, 0, []).columns
    likelihood, accuracy = columns["extraction_likelihood_3"], columns["memorization_accuracy"]
    cases = [(accuracy, likelihood, True), (accuracy - 0.01, 1.0, False), (1.0, likelihood - 0.01, False)]
    for most_accuracy, most_likelihood, done in cases:
        stop = Stop(
            n=ORDER, memorization_accuracy=most_accuracy, extraction_likelihood=most_likelihood, slack=3
        )
        found = EpochCheck(stop, None, sets)(model, 0, [])
        assert found.done is done
        assert found.columns["threshold_memorization_accuracy"] == most_accuracy


def test_without_a_stop_it_is_followed_and_never_ends(model, sets):
    found = EpochCheck(None, None, lengthened(sets))(causal_models.untrained("gpt_neo"), 3, [])
    assert not found.done
    assert {"memorization_accuracy", "extraction_likelihood_10"} <= set(found.columns)


def similarities(model, encoded):
    """Similarity of the greedy continuation of the first half of each text to the other half."""
    found = []
    for ids, length in zip(encoded.rows.input_ids.tolist(), encoded.rows.lengths.tolist(), strict=True):
        prompt = length // 2
        ours, _ = slow_extraction.continuation(model, ids[:prompt], length)
        found.append(token_bleu([np.array(ours)], [np.array(ids[prompt:length])])[0])
    return np.array(found)


def test_pairs_that_are_reproduced_no_more_than_unseen_text_rest(model, sets):
    found = EpochCheck(None, refinement(), {**sets, **lengthened(sets)})(model, 0, [])
    values = similarities(model, lengthened(sets)["forget"])
    threshold = similarities(model, lengthened(sets)["validation"]).mean()
    assert found.columns["threshold_similarity"] == pytest.approx(threshold)
    assert found.active.tolist() == (values > threshold).tolist()
    assert found.columns["active"] == (values > threshold).sum() > 0
    assert found.columns["similarity"] == pytest.approx(values.mean())


def lengthened(sets):
    return {
        n: Encoded(e.ids, Rows(e.rows.input_ids, torch.full_like(e.rows.lengths, 20)))
        for n, e in sets.items()
    }


def test_answers_are_continued_where_their_prompts_end(model, sets):
    """Not at half of their tokens, nor within a window."""
    rows = replace(sets["forget"].rows, starts=torch.tensor([3, 7, 13, 4]))
    asked = sets | {"forget": Encoded(sets["forget"].ids, rows)}
    review = refinement()
    found, _ = EpochCheck(None, review, asked).check(model, rows, review)
    for row, (ids, length, start) in enumerate(
        zip(rows.input_ids.tolist(), rows.lengths.tolist(), rows.starts.tolist(), strict=True)
    ):
        ours, _ = slow_extraction.continuation(model, ids[:start], length)
        assert found[row] == pytest.approx(token_bleu([np.array(ours)], [np.array(ids[start:length])])[0])


@pytest.mark.parametrize(("forgotten", "active"), [(1.0, 0), (0.0, 4)])
def test_a_given_similarity_below_which_pairs_rest(sets, forgotten, active):
    learnt = causal_models.trained("gpt_neo", "memorised", sets["forget"].rows.input_ids)
    found = EpochCheck(Stop(n=ORDER), refinement(forgotten=forgotten), sets)(learnt, 0, [])
    assert int(found.active.sum()) == found.columns["active"] == active
    assert EpochCheck(Stop(n=ORDER), None, sets)(learnt, 0, []).active is None


def test_texts_too_short_for_the_n_grams_are_named(sets, model):
    for name in ("forget", "validation"):
        short = replace(
            sets[name], rows=replace(sets[name].rows, lengths=torch.full_like(sets[name].rows.lengths, 3))
        )
        with pytest.raises(InputError, match=rf"stop.n: 3: .*{name[0]}0 of {name} has 3 tokens"):
            EpochCheck(Stop(n=ORDER), None, {**sets, name: short})


def test_texts_too_short_for_the_n_grams_have_no_say_in_their_mean(sets, model):
    rows = sets["forget"].rows
    lengths = rows.lengths.clone()
    lengths[0] = 3
    mixed = {**sets, "forget": replace(sets["forget"], rows=replace(rows, lengths=lengths))}
    others = {**sets, "forget": replace(sets["forget"], rows=rows[1:])}
    name = f"extraction_likelihood_{ORDER}"
    found, expected = (
        EpochCheck(Stop(n=ORDER), None, given)(model, 0, []).columns for given in (mixed, others)
    )
    assert found[name] == expected[name]
    assert found["memorization_accuracy"] != expected["memorization_accuracy"]


def test_thresholds_are_those_of_the_present_model_also_of_a_resumed_run(tmp_path, terminated_after, sets):
    recipe = Training(epochs=4, learning_rate=3e-3, batch={"forget": 2, "analogue": 2})

    def engine(folder):
        started = causal_models.trained("gpt_neo", "memorised", sets["forget"].rows.input_ids)
        roles = {"forget": sets["forget"].rows, "analogue": sets["retain"].rows}
        batches = Batches(TrainingRows(roles, np.arange(4)[:, None]), recipe, icu.TERMS, 0)
        frozen = FrozenHidden(as_frozen(copy.deepcopy(started)))
        objective = Objective(icu.loss, icu.Hyper(), icu.TERMS, frozen)
        return Engine(started, objective, batches, "f", tmp_path / folder / "state.safetensors")

    stop = Stop(n=1, memorization_accuracy=0.0, slack=1)

    def check():
        return EpochCheck(stop, refinement(), sets)

    expected = engine("a").run(check())
    levels = [row["threshold_extraction_likelihood_1"] for row in expected.epochs]
    assert len(set(levels)) > 2  # it changes with the model
    killed = engine("b")
    terminated_after(3)
    with pytest.raises(SystemExit):
        killed.run(check())
    resumed = engine("b").run(check())
    assert resumed.epochs == expected.epochs
    assert resumed.trace == expected.trace


class Words:
    """A tokenizer whose tokens are the words themselves."""

    def batch_decode(self, rows, skip_special_tokens):
        return [" ".join(WORDS[i] for i in row) for row in rows]


WORDS = ["one", "two", "three", "four", "five", "six"]


def test_words_and_a_second_similarity_by_an_encoder(tmp_path):
    """A folder as on the Hub; the second rule is BERTScore of the decoded words, 1 for equal texts."""
    encoder = tiny.classifier().base_model
    encoder.save_pretrained(tmp_path)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate([*special, *WORDS])})
    tokenizer.save_pretrained(tmp_path)
    wish = SimpleNamespace(similarity="words", encoder=str(tmp_path))
    by_words, by_meaning = epoch_check.similarities(wish, Words())
    ours, true = [np.arange(5), np.array([5, 4, 3, 2])], [np.arange(5), np.array([5, 4, 2, 3])]
    assert by_words(ours, true).tolist() == [1.0, 0.0]  # no common 4-gram in the second
    expected = bert_score(
        ["one two three four five", "six five four three"], ["one two three four five", "six five three four"],
        encoder, tokenizer,
    )  # fmt: skip
    found = by_meaning(ours, true)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[0] == pytest.approx(1.0) and found[1] < 1.0
    assert len(epoch_check.similarities(SimpleNamespace(similarity="tokens", encoder=None), Words())) == 1
    with pytest.raises(InputError, match=r"hyper\.encoder: .*nowhere: cannot be loaded"):
        epoch_check.similarities(
            SimpleNamespace(similarity="words", encoder=str(tmp_path / "nowhere")), Words()
        )
