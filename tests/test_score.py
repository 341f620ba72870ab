"""The arrays of a model against its own predictions, text by text, without batches, padding or cache."""

import json
import logging
import zlib
from functools import partial

import numpy as np
import pandas as pd
import pytest
import slow_extraction
import torch
from tiny import encode

from lethe import models
from lethe.evaluation.scores import stacked
from lethe.metrics.verbatim_completion import rouge_l, tokens_of
from lethe.params.model import Model
from lethe.params.score import Score
from lethe.score import precision, score
from lethe.score import scored as score_arrays
from lethe.system.errors import InputError

SETS = {"forget": 3, "forgotten": 2, "retain": 7, "validation": 2, "holdout": 3, "test": 4}
SETS |= {"general": 2, "general_test": 2}
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je")
LONGEST = 14
SETTINGS = {"n": [1, 2], "extract": ["forget", "holdout"], "batch_size": 64, "keep_text": True}


def text(number: int) -> str:
    """Texts of 4 to 9 words, all different."""
    draw = np.random.default_rng(number)
    return " ".join(
        SYLLABLES[i] + SYLLABLES[j] for i, j in draw.integers(0, len(SYLLABLES), (4 + number % 6, 2))
    )


def study(folder, task):
    """Folders of prepared examples, of their sets, and of a model."""
    names = [name for name, count in SETS.items() for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(names))
    frame = pd.DataFrame({"id": [f"r{k}" for k in order], "text": [text(k) for k in order]})
    frame["set"] = [names[k] for k in order]
    frame["split"] = frame["set"].replace({"forget": "train", "forgotten": "train", "retain": "train"})
    frame["label"] = [f"class {k % 3}" for k in order] if task == "classification" else None
    classes = ["class 0", "class 1", "class 2"] if task == "classification" else []
    for name in ("prepared", "forget"):
        (folder / name).mkdir()
    frame[["id", "text", "label", "split"]].to_parquet(folder / "prepared" / "examples.parquet")
    (folder / "prepared" / "prepared.json").write_text(json.dumps({"task": task, "labels": classes}))
    frame[["id", "set"]].to_parquet(folder / "forget" / "sets.parquet")
    small = {"hidden_size": 16, "vocab_size": 280}
    small |= (
        {"num_hidden_layers": 1, "num_attention_heads": 2} if classes else {"num_layers": 2, "num_heads": 2}
    )
    cfg = Model(source="tiny-bert" if classes else "tiny-gpt-neo", options=small, max_length=LONGEST)
    model, tokenizer = models.base(cfg, task, classes, [text(k) for k in range(100, 120)], 0)
    with torch.no_grad():  # far from uniform predictions, so that something can be extracted
        for parameter in model.parameters():
            parameter.mul_(2.0)
    models.save(model, tokenizer, folder / "model")
    return frame


def scored(folder, task, **settings):
    cfg = {"task": task, "model": {"source": "any", "max_length": LONGEST}, "score": SETTINGS | settings}
    score(cfg, folder / "prepared", folder / "forget", folder / "model", folder / "scores.npz")
    with np.load(folder / "scores.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generator")
    return folder, study(folder, "generation"), scored(folder, "generation")


def test_gradient_norms_are_those_of_single_texts(tmp_path):
    """Beside a backward pass of each text's mean loss by hand; without being asked for there are none."""
    frame = study(tmp_path, "generation")
    arrays = scored(tmp_path, "generation", gradient_norm=True, extract=[], tries=0)
    model, tokenizer = models.load(tmp_path / "model", "generation")
    for place in (0, 5):
        words = frame.set_index("id")["text"][arrays["ids"][place]]
        row = encode(pd.DataFrame({"id": ["x"], "text": [words]}), tokenizer, LONGEST, []).rows.input_ids
        model.zero_grad()
        logits = model(row).logits[0, :-1]
        torch.nn.functional.cross_entropy(logits, row[0, 1:]).backward()
        squares = sum((p.grad.double() ** 2).sum() for p in model.parameters() if p.grad is not None)
        assert arrays["gradient_norm"][place] == pytest.approx(float(squares.sqrt()), rel=1e-4)
    assert len(arrays["gradient_norm"]) == len(arrays["ids"])


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    return folder, study(folder, "classification"), scored(folder, "classification")


@pytest.mark.parametrize("kind", ["generator", "classifier"])
def test_half_precision_changes_little_but_changes(kind, request, tmp_path):
    folder, _, whole = request.getfixturevalue(kind)
    half = scored(folder, "generation" if kind == "generator" else "classification", precision="bf16")
    name = "logprob" if kind == "generator" else "logits"
    away = np.abs(half[name] - whole[name]).max()
    assert half[name].dtype == np.float32 and 1e-5 < away < 0.05 * np.abs(whole[name]).max()


def test_half_precision_is_for_gpus():
    device = {name: torch.device(name) for name in ("cpu", "cuda")}
    chosen = {
        (wish, name): precision(Score(precision=wish), d)
        for wish in ("auto", "fp32")
        for name, d in device.items()
    }
    assert chosen.pop(("auto", "cuda")) == torch.bfloat16
    assert set(chosen.values()) == {torch.float32}


@pytest.mark.parametrize("kind", ["generator", "classifier"])
def test_validation_in_place_of_test_leaves_nothing_read_that_is_reported(kind, request):
    folder, frame, whole = request.getfixturevalue(kind)
    task = {"generator": "generation", "classifier": "classification"}[kind]
    scores = scored(folder, task, test="validation")
    assert set(scores["sets"]) == {"forget", "forgotten", "retain", "holdout", "test"}
    assert set(scores["ids"][scores["sets"] == "test"]) == set(frame["id"][frame["set"] == "validation"])
    unread = set(frame["id"][frame["set"].isin(["test", "general_test", "general"])])
    assert unread and not unread & set(scores["ids"])


@pytest.mark.parametrize("kind", ["generator", "classifier"])
def test_every_set_that_is_reported_is_scored_once(kind, request):
    _, frame, scores = request.getfixturevalue(kind)
    expected = frame[~frame["set"].isin(["general", "validation"])].set_index("id")["set"].to_dict()
    assert dict(zip(scores["ids"], scores["sets"], strict=True)) == expected
    assert len(scores["ids"]) == len(expected)


def sequences(folder, frame, scores):
    """Model, and the tokens of each scored text, cut to the context, in the order of the scores."""
    model, tokenizer = models.load(folder / "model", "generation")
    texts = frame.set_index("id")["text"]
    plain = [tokenizer(texts[i], add_special_tokens=False)["input_ids"] for i in scores["ids"]]
    end = tokenizer.eos_token_id
    return model, end, [[end, *ids, end][:LONGEST] for ids in plain], [texts[i] for i in scores["ids"]]


def test_tokens_one_text_at_a_time(generator):
    folder, frame, scores = generator
    model, end, tokens, texts = sequences(folder, frame, scores)
    tokenizer = models.load(folder / "model", "generation")[1]
    assert scores["mask"].shape[1] == max(map(len, tokens)) == LONGEST
    assert min(map(len, tokens)) < LONGEST
    assert not scores["mask"][:, 0].any()
    for row, ids in enumerate(tokens):
        with torch.no_grad():
            log_p = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
        true = torch.tensor(ids[1:])
        mean = (log_p.exp() * log_p).sum(-1)
        deviation = ((log_p.exp() * log_p**2).sum(-1) - mean**2).sqrt()
        scored_at = np.arange(LONGEST) < len(ids)
        scored_at[0] = False
        assert (scores["mask"][row] == scored_at).all()
        expected = {
            "logprob": log_p.gather(1, true[:, None])[:, 0],
            "mu": mean,
            "sigma": deviation,
            "correct": log_p.argmax(-1) == true,
        }
        for name, values in expected.items():
            assert scores[name][row, 1 : len(ids)] == pytest.approx(values.numpy(), abs=2e-4), name
            assert not scores[name][row, ~scored_at].any()
        read = tokenizer.decode([token for token in ids if token != end])
        assert texts[row].startswith(read) and (read == texts[row] or ids[-1] != end)
        assert scores["zlib_bytes"][row] == len(zlib.compress(read.encode()))
        assert scores["characters"][row] == len(read)


def test_extraction_by_its_definition(generator):
    folder, frame, scores = generator
    model, end, tokens, _ = sequences(folder, frame, scores)
    assert scores["n"].tolist() == [1, 2]
    asked = np.isin(scores["sets"], ["forget", "holdout"])
    assert (scores["extracted"] == asked).all()
    for row, ids in enumerate(tokens):
        if not asked[row]:
            assert not scores["extraction_likelihood"][row].any()
            continue
        likelihood, _, margin = slow_extraction.extraction(model, ids, (1, 2), 1, (end,))
        assert scores["extraction_likelihood"][row] == pytest.approx([likelihood[1], likelihood[2]])
        assert scores["margin"][row] == pytest.approx(margin, abs=1e-4)
    assert scores["extraction_likelihood"].any()


def test_logits_and_embeddings_one_example_at_a_time(classifier):
    folder, frame, scores = classifier
    model, tokenizer = models.load(folder / "model", "classification")
    rows = frame.set_index("id")
    assert scores["classes"].tolist() == ["class 0", "class 1", "class 2"]
    for row, name in enumerate(scores["ids"]):
        ids = tokenizer(rows["text"][name])["input_ids"]
        ids = ids if len(ids) <= LONGEST else [*ids[: LONGEST - 1], ids[-1]]
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        assert scores["logits"][row] == pytest.approx(out.logits[0].numpy(), abs=1e-5)
        assert scores["embeddings"][row] == pytest.approx(out.hidden_states[-1][0, 0].numpy(), abs=1e-5)
        assert scores["classes"][scores["labels"][row]] == rows["label"][name]


def test_completions_of_the_beginnings(generator):
    folder, frame, scores = generator
    model, end, tokens, _ = sequences(folder, frame, scores)
    for row, ids in enumerate(tokens):
        if scores["sets"][row] not in ("forget", "holdout"):
            assert scores["prompt"][row] == 0
            assert (scores["suffix"][row] == -1).all() and (scores["tries"][row] == -1).all()
            continue
        prompt = len(ids) // 2
        assert scores["prompt"][row] == prompt
        greedy, _ = slow_extraction.continuation(model, ids[:prompt], len(ids), (end,))
        for name, expected in (("suffix", ids[prompt:]), ("completion", greedy)):
            found = scores[name][row]
            assert found.tolist() == expected + [-1] * (len(found) - len(expected)), name


def test_sampled_completions_are_those_of_the_example(generator):
    folder, _, scores = generator
    asked = np.isin(scores["sets"], ["forget", "holdout"])
    assert scores["tries"].shape[:2] == (len(asked), 8)
    assert (scores["tries"][asked, :, 0] >= 0).all()
    assert len(np.unique(scores["tries"][asked][0], axis=0)) > 1
    fewer = scored(folder, "generation", sampled=2, tries=3)
    chosen = (fewer["tries"][:, :, 0] >= 0).all(1)
    assert dict(zip(*np.unique(fewer["sets"][chosen], return_counts=True), strict=True)) == {
        "forget": 2,
        "holdout": 2,
    }
    assert (fewer["tries"][chosen, :2, 0] >= 0).all()
    none = scored(folder, "generation", tries=0)
    assert none["tries"].shape[1] == 0 and (none["completion"] == scores["completion"]).all()


@pytest.mark.parametrize("kind", ["generator", "classifier"])
def test_the_size_of_batches_changes_nothing_but_the_last_bits(kind, request):
    folder, _, scores = request.getfixturevalue(kind)
    task = "generation" if kind == "generator" else "classification"
    again = scored(folder, task, batch_size=2, decode_batch_tokens=60)
    assert again.keys() == scores.keys()
    for name, values in scores.items():
        if values.dtype == np.float32:
            assert again[name] == pytest.approx(values, abs=1e-4), name
        elif name == "margin":
            assert again[name] == pytest.approx(values, abs=1e-4)
        else:
            np.testing.assert_array_equal(again[name], values, name)


def test_equal_runs_are_equal_to_the_bit(generator):
    folder, _, scores = generator
    again = scored(folder, "generation")
    for name, values in scores.items():
        np.testing.assert_array_equal(again[name], values, name)


def test_at_most_so_many_of_a_set_and_always_the_same(generator, caplog):
    caplog.set_level(logging.INFO)
    folder, _, scores = generator
    few, again = (scored(folder, "generation", most=3) for _ in range(2))
    assert few["ids"].tolist() == again["ids"].tolist()
    counts = dict(zip(*np.unique(few["sets"], return_counts=True), strict=True))
    assert counts == {
        name: min(3, count) for name, count in SETS.items() if name not in ("general", "validation")
    }
    order = {name: row for row, name in enumerate(scores["ids"])}
    assert [order[i] for i in few["ids"]] == sorted(order[i] for i in few["ids"])
    kept = [order[i] for i in few["ids"]]
    assert few["logprob"] == pytest.approx(scores["logprob"][kept][:, : few["logprob"].shape[1]], abs=1e-4)
    assert "scored 3 examples of retain" in caplog.text
    assert not any(word in caplog.text for word in ("bace", text(0), text(5)))


def test_texts_too_short_for_the_longest_n_gram_are_not_extracted(generator, caplog):
    caplog.set_level(logging.INFO)
    folder, frame, _ = generator
    scores = scored(folder, "generation", n=[2, 12])
    _, _, tokens, _ = sequences(folder, frame, scores)
    long = np.array([len(ids) >= 13 for ids in tokens])
    asked = np.isin(scores["sets"], ["forget", "holdout"])
    assert (scores["extracted"] == (asked & long)).all()
    assert 0 < scores["extracted"].sum() < asked.sum()
    assert not scores["extraction_likelihood"][~scores["extracted"]].any()
    assert "too short for n-grams of 12 tokens" in caplog.text


def test_parts_are_padded_to_the_widest():
    parts = [np.ones((1, 2), bool), np.ones((2, 3), bool)]
    tries = [np.ones((1, 2, 1), int), np.ones((1, 2, 2), int)]
    assert stacked(tries, -1).tolist() == [[[1, -1], [1, -1]], [[1, 1], [1, 1]]]
    assert stacked(parts).tolist() == [[True, True, False], [True] * 3, [True] * 3]
    assert stacked([np.array([1]), np.array([2, 3])]).tolist() == [1, 2, 3]


def test_scores_hold_no_text_unless_asked_to(generator):
    """What is kept in its place are the values that metrics find in the texts; both files say so."""
    folder, _, kept = generator
    plain = scored(folder, "generation", keep_text=False)
    assert {*kept} - {*plain} == {"suffix", "completion", "tries", "holds_text"}
    assert kept["holds_text"].tolist() == ["suffix", "completion", "tries"]
    asked = np.isin(plain["sets"], ["forget", "holdout"])
    assert (np.isfinite(plain["completion_rouge_l"]) == asked).all()
    for row in np.flatnonzero(asked):
        ours, true = (tokens_of(kept[name][row]) for name in ("completion", "suffix"))
        assert plain["completion_rouge_l"][row] == rouge_l(ours, true)
        assert plain["completion_verbatim"][row] == (ours == true)
        assert plain["completion_distinct_1"][row] == len({*ours}) / len(ours)
    tokens = {name: values for name, values in plain.items() if values.dtype.kind in "iu" and values.ndim > 1}
    assert not tokens  # no row of numbers that could be tokens


@pytest.mark.parametrize("kind", ["generator", "classifier"])
def test_two_texts_with_one_beginning_read_the_same(kind, request, tmp_path):
    """What is cut off is no part of anything: not of bytes, nor of characters, nor of the checksum."""
    folder, _, _ = request.getfixturevalue(kind)
    task = {"generator": "generation", "classifier": "classification"}[kind]
    model, tokenizer = models.load(folder / "model", task)
    begin = " ".join(text(k) for k in (1, 2, 3))
    rows = {
        "id": ["a", "b"],
        "text": [begin, begin + " " + text(9) * 5],
        "split": "train",
        "label": "class 0",
    }
    frame = pd.DataFrame(rows)
    labels = [] if task == "generation" else ["class 0", "class 1", "class 2"]
    encoding = partial(encode, tokenizer=tokenizer, max_length=LONGEST, labels=labels)
    arrays = score_arrays(task, model, tokenizer, {"forget": frame}, labels, encoding, Score(**SETTINGS))
    for name in {"checksum", "characters", "zlib_bytes"} & {*arrays}:
        assert arrays[name][0] == arrays[name][1], name
    assert 1 < arrays["characters"][0] < len(begin)


def test_a_token_unknown_to_the_model_is_one_line(generator):
    folder, _, _ = generator
    model, tokenizer = models.load(folder / "model", "generation")
    tokenizer.add_tokens(["[NAME]"])
    frame = pd.DataFrame({"id": ["a", "b"], "text": [text(1), "see [NAME] here"], "split": "train"})
    encoding = partial(encode, tokenizer=tokenizer, max_length=LONGEST, labels=[])
    with pytest.raises(InputError, match=r"record 'b': token \d+ of its text is unknown to the model"):
        score_arrays("generation", model, tokenizer, {"forget": frame}, [], encoding, Score(**SETTINGS))
