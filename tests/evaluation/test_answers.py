"""What is scored of prompts: other wordings and the model's own answers, beside transformers, text by text."""

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tiny import encode

from lethe.evaluation.answers import Reader, answer_arrays, as_lists
from lethe.evaluation.numbers import metrics
from lethe.models.tiny import byte_pairs
from lethe.params.measure import Measure
from lethe.params.score import Score
from lethe.score import scored

ROWS = [
    ("Who wrote it?", "Ada did, in 1843.", "In 1843 Ada did.", ["Bob did.", "Eve, in 1900."]),
    ("Where?", "In London, at home.", None, ["In Rome."]),
    ("Why", "Nobody knows", None, None),
]


def frame(split: str) -> pd.DataFrame:
    table = pd.DataFrame(ROWS, columns=["asked", "text", "paraphrase", "alternatives"])
    prompts = [[{"role": "user", "content": asked}] for asked in table.pop("asked")]
    return table.assign(id=[f"{split}{i}" for i in range(len(ROWS))], split=split, prompt=prompts)


@pytest.fixture(scope="module")
def reader():
    tokenizer = byte_pairs([text for row in ROWS for text in row[:2]] * 4, 300, bert=False)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2, initializer_range=0.6,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    settings = Score(n=[1], tries=0, answers={"retain": {"tokens": 12, "stop": ["e"]}, "test": {"tokens": 9}})
    return Reader(model, tokenizer, lambda f: encode(f, tokenizer, 60, []), settings)


def loss(reader, question, answer) -> float:
    """transformers' own, of the answer and the end token."""
    tokenizer = reader.tokenizer
    before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (question, answer))
    ids = torch.tensor([[*before, *after, tokenizer.eos_token_id]])
    labels = ids.clone()
    labels[:, : len(before)] = -100
    with torch.no_grad():
        return reader.model(input_ids=ids, labels=labels).loss.item()


def test_losses_of_other_wordings_are_transformers(reader):
    arrays = answer_arrays(reader, "forget", table := frame("forget"), reader.encoding(table))
    assert arrays["answered"].all() and arrays["ends"].all()
    first = [loss(reader, ROWS[0][0], text) for text in (ROWS[0][2], *ROWS[0][3])]
    assert [arrays["paraphrase_loss"][0], *arrays["alternative_loss"][0]] == pytest.approx(first, abs=1e-5)
    assert arrays["alternative_loss"][1, 0] == pytest.approx(loss(reader, "Where?", "In Rome."), abs=1e-5)
    assert np.isnan(arrays["paraphrase_loss"][1:]).all()
    assert np.isnan(arrays["alternative_loss"]).tolist() == [[False, False], [False, True], [True, True]]
    assert np.isnan(arrays["rouge_l_f1"]).all()  # of this set no answer is asked for


def test_answers_are_those_of_generate_up_to_a_stop(reader, monkeypatch):
    said = {}
    monkeypatch.setattr("lethe.metrics.rouge.of_answers", lambda **found: said.update(found) or {})
    table = frame("retain")
    for name, limit, stop in (("retain", 12, "e"), ("test", 9, None)):
        answer_arrays(reader, name, table, reader.encoding(table))
        for asked, text in zip(table["prompt"], said["said"], strict=True):
            ids = reader.tokenizer(asked[0]["content"], add_special_tokens=False, return_tensors="pt")[
                "input_ids"
            ]
            with torch.no_grad():
                whole = reader.model.generate(ids, max_new_tokens=limit, do_sample=False, pad_token_id=0)
            expected = reader.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)
            assert text == (expected.split(stop)[0] if stop else expected)
        assert said["true"] == [row[1] for row in ROWS]


def test_sets_with_and_without_answers_go_into_one_table_of_numbers(reader):
    sets = ("forget", "retain", "holdout", "test")
    frames = {name: frame(name) for name in sets}
    frames["test"] = frames["test"].assign(prompt=None)
    settings = reader.settings.model_copy(update={"extract": [], "keep_text": True})
    arrays = scored("generation", reader.model, reader.tokenizer, frames, [], reader.encoding, settings)
    assert arrays["holds_text"].tolist() == ["suffix", "completion", "tries", "said"]
    assert [bool(text) for text in arrays["said"]] == [name == "retain" for name in arrays["sets"]]
    measured = Measure(bootstrap=100, utility_sets=["retain"])
    columns, numbers = metrics(arrays, measured, 0)
    assert columns["probability"].mask.tolist() == [False] * 9 + [True] * 3
    assert {
        "truth_ratio_forget",
        "rouge_l_recall_retain",
        "probability_with_options_holdout",
    } <= numbers.keys()
    parts = [numbers[f"{name}_retain"] for name in ("probability", "rouge_l_recall", "truth_ratio")]
    expected = 3 / sum(1 / part for part in parts) if min(parts) > 0 else 0
    assert numbers["model_utility"] == pytest.approx(expected)


def test_other_wordings_without_a_character_that_is_seen_are_none():
    table = pd.DataFrame(
        {"paraphrase": ["a", "", " \u200b", None], "alternatives": [["a", ""], [], [" "], None]}
    )
    assert as_lists(table, "paraphrase") == [["a"], [], [], []]
    assert as_lists(table, "alternatives") == [["a"], [], [], []]
