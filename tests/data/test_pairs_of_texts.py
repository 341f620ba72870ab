"""A class may be that of two texts: they are read as transformers' own pipelines read pairs."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tiny import encode

from lethe import losses, models
from lethe.data.encoding import encoder, examples_by_set
from lethe.evaluation.scores import load
from lethe.forget import forget
from lethe.params.model import Model
from lethe.prepare import prepare
from lethe.score import score
from lethe.system.errors import InputError
from lethe.train import train
from lethe.training.job import Job

SIZES = {"train": 12, "validation": 4, "holdout": 4, "test": 4}
MODEL = {
    "source": "tiny-bert", "max_length": 48,
    "options": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 300},
}  # fmt: skip

TEXTS = ["the record of 1234 and 4567", "another record, of 12 and the 3rd", "the others"]


def built():
    return models.base(Model(**MODEL), "classification", ["a", "b", "c"], TEXTS, 0)


def frame() -> pd.DataFrame:
    asked = [
        [{"role": "user", "content": text}]
        for text in ("is it the record?", "which?", "who of the others is it")
    ]
    return pd.DataFrame(
        {"id": list("abc"), "text": TEXTS[:3], "prompt": asked, "label": list("aba"), "split": "train"}
    )


def test_pairs_are_those_of_a_pipeline_of_transformers():
    model, tokenizer = built()
    torch.manual_seed(0)
    torch.nn.init.normal_(
        model.bert.embeddings.token_type_embeddings.weight
    )  # or which text is which would not matter
    rows = encode(frame(), tokenizer, 24, ["a", "b", "c"]).rows
    pipe = transformers.pipeline("text-classification", model=model.eval(), tokenizer=tokenizer, device="cpu")
    pairs = [
        {"text": turns[0]["content"], "text_pair": text}
        for turns, text in zip(frame()["prompt"], frame()["text"], strict=True)
    ]
    given = {"truncation": "longest_first", "max_length": 24}
    expected = pipe(pairs, top_k=None, **given)
    with torch.no_grad():
        found = losses.forward(model, rows).softmax(-1)
        again, _ = losses.logits_and_embedding(model, rows)
    assert torch.equal(again.softmax(-1), found)
    for row, scores in zip(found, expected, strict=True):
        by_name = {one["label"]: one["score"] for one in scores}
        assert row.tolist() == pytest.approx([by_name[name] for name in "abc"], abs=1e-6)
    assert rows.labels.tolist() == [0, 1, 0]


def test_the_longer_text_is_cut_and_that_is_counted(caplog):
    _, tokenizer = built()
    with caplog.at_level("INFO", "lethe.encoding"):
        rows = encode(frame(), tokenizer, 12, ["a", "b"]).rows
    assert rows.lengths.tolist() == [12, 12, 12] and "3 of 3 pairs" in caplog.text
    for ids, start in zip(rows.input_ids.tolist(), rows.starts.tolist(), strict=True):
        assert ids[0] == tokenizer.cls_token_id and ids[start - 1] == ids[-1] == tokenizer.sep_token_id
        assert 3 <= start <= 10  # something of both


def test_a_study_of_pairs(tmp_path):
    rows = [
        {"q": f"is {k} even?", "a": f"it is {'yes' if k % 2 else 'no'} {k * 17}", "c": k % 2}
        for k in range(24)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = {
        "source": str(tmp_path / "rows.jsonl"),
        "prompt": "q",
        "text": "a",
        "label": "c",
        "sizes": SIZES,
    }
    dataset["deduplicate"] = False
    prepare({"task": "classification", "dataset": dataset, "seed": 0}, tmp_path / "prepared")
    chosen = {"strategy": "random", "size": 4}
    forget({"task": "classification", "forget": chosen}, 1, tmp_path / "prepared", tmp_path / "forget")
    recipe = {"epochs": 2, "learning_rate": 1e-3, "batch": {"retain": 4}}
    cfg = {"task": "classification", "model": MODEL, "train": {"finetune": recipe}}
    data = tmp_path / "prepared", tmp_path / "forget"
    for run, base in (("base", None), ("original", tmp_path / "base/model")):
        train(Job(cfg, 1, run, tmp_path / run, tmp_path / f"{run}.state", None), *data, base)
    score(
        {"task": "classification", "model": MODEL, "score": {}},
        *data,
        tmp_path / "original/model",
        tmp_path / "s.npz",
    )
    arrays = load(tmp_path / "s.npz")
    assert np.isfinite(arrays["logits"]).all() and len(arrays["ids"]) == 20
    _, tokenizer = built()
    found = encoder(tmp_path / "prepared", tokenizer, 48)(examples_by_set(*data)["forget"])
    assert (found.rows.starts > 1).all()


@pytest.mark.parametrize(("task", "field"), [("tagging", "prompt"), ("classification", "messages")])
def test_other_tasks_have_no_pairs(tmp_path, task, field):
    dataset = {"source": "none.jsonl", field: "q"}
    with pytest.raises(InputError, match=rf"dataset.{field}: .* allowed in {task}: null"):
        prepare({"task": task, "dataset": dataset, "seed": 0}, tmp_path / "out")
