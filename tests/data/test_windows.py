"""Texts longer than a model reads: every token is read once, and all windows of a text go one way."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
import study

from lethe import models
from lethe.data.encoding import encoder, examples_by_set
from lethe.data.parquet import read_table
from lethe.data.windows import text_ids, whole, windowed
from lethe.forget import forget
from lethe.params.model import Model
from lethe.prepare import prepare
from lethe.report.remarks import cut_texts
from lethe.score import score
from lethe.tasks.generation import rows as encode
from lethe.train import train

TINY = {
    "source": "tiny-gpt-neo",
    "options": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "vocab_size": 270},
}
TEXTS = ["short", "größe – 日本語 " * 9, " ".join(study.text(k) for k in range(4)), "exactly fifteen"]


def tokenizer():
    return models.base_tokenizer(Model(**TINY), [study.text(k) for k in range(20, 30)])


def frame(texts=TEXTS) -> pd.DataFrame:
    subjects = ["ann", None, None, "bob"]
    ids = [f"t/{k}" for k in range(len(texts))]
    return pd.DataFrame({"id": ids, "text": texts, "subject": subjects, "split": "test"})


@pytest.mark.parametrize("most", [7, 16, 17])
def test_every_token_is_read_once_in_order(most):
    words, texts = tokenizer(), frame()
    found = windowed(texts, words, most)
    rows = encode(found, words, most, []).rows
    assert rows.lengths.max() <= most
    for name, text in zip(texts["id"], texts["text"], strict=True):
        members = np.flatnonzero(text_ids(found) == name)
        read = [rows.input_ids[m, : rows.lengths[m]].tolist() for m in members]
        assert all(ids[0] == words.bos_token_id for ids in read)
        joined = [token for ids in read for token in ids[1:]]
        plain = words(text)["input_ids"]
        assert joined in (plain, [*plain, words.eos_token_id])
        assert len(read[-1]) == most or joined[-1] == words.eos_token_id
        assert all(len(ids) > most - 4 for ids in read[:-2])  # a character of four bytes is not cut
        assert all(len(ids) > most / 2 - 4 for ids in read[-2:] if len(read) > 1)  # the last two share
        assert "".join(found["text"].iloc[members]) == text
    assert not found["text"].str.contains("\ufffd").any()


def test_ids_and_subjects_of_windows_and_what_stays():
    texts = frame().assign(prompt=[None, None, None, [{"role": "user", "content": "which?"}]], tokens=None)
    found = windowed(texts, tokenizer(), 16)
    assert found["id"].iloc[0] == "t/0" and found["subject"].iloc[0] == "ann"
    cut = found[found["window"].notna()]
    assert set(text_ids(cut)) == {"t/1", "t/2"} == set(cut["subject"])
    assert cut["id"].iloc[:2].tolist() == ["t/1/0", "t/1/1"]
    assert "t/3" in set(found["id"])  # an answer is no running text
    again = whole(found)[["id", "text", "prompt"]]
    pd.testing.assert_frame_equal(again, texts[["id", "text", "prompt"]])
    short = frame(["a"] * 4)
    assert windowed(short, tokenizer(), 16) is short


def test_another_tokenizer_reads_windows_as_texts():
    found = windowed(frame(), tokenizer(), 16)
    other = models.base_tokenizer(Model(**TINY), ["zz zz zzz"])
    rows = encode(found, other, 512, []).rows
    plain = other(found["text"].tolist())["input_ids"]
    assert rows.lengths.tolist() == [len(ids) + 2 for ids in plain]


@pytest.fixture(scope="module")
def long_study(tmp_path_factory):
    """A study of texts of 9 to 36 words, of which a model reads 24 tokens at once."""
    folder = tmp_path_factory.mktemp("long")
    cfg = study.parameters(folder, "generation")
    rows = [
        {"id": f"r{k}", "text": " ".join(study.text(4 * k + j) for j in range(1 + k % 4))} for k in range(24)
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    del cfg["dataset"]["general"]
    cfg["dataset"]["long"] = "windows"
    cfg["train"] = {"finetune": study.TRAINING}
    cfg["model"]["max_length"] = 24
    prepare(cfg | {"model": Model(**cfg["model"]).reading}, folder / "prepared")
    forget(cfg, 1, folder / "prepared", folder / "forget")
    return folder, cfg, rows


def test_all_windows_of_a_text_are_forgotten_and_scored(long_study, tmp_path):
    folder, cfg, rows = long_study
    examples = read_table(folder / "prepared/examples.parquet")
    sets = read_table(folder / "forget/sets.parquet").set_index("id")["set"]
    of_text = examples["id"].map(sets).groupby(text_ids(examples)).nunique()
    assert (of_text == 1).all() and len(of_text) == 24
    assert text_ids(examples)[examples["id"].map(sets) == "forget"].nunique() == 4  # sizes are of texts
    by_split = examples["split"].groupby(text_ids(examples)).agg(["nunique", "first"])
    assert (by_split["nunique"] == 1).all() and (by_split["first"] == "train").sum() == study.SIZES["train"]
    for run, base in (("base", None), ("original", folder / "base/model")):
        train(study.job(folder, cfg, run), folder / "prepared", folder / "forget", base)
    _, words = models.load(folder / "original/model", "generation")
    frames = examples_by_set(folder / "prepared", folder / "forget")
    facts = json.loads((folder / "prepared/prepared.json").read_text())
    there = 0
    for part in frames.values():
        found = encoder(folder / "prepared", words, 24)(part)
        assert found.rows.lengths.max() <= 24
        assert found.ids.tolist() == part["id"].tolist()
        there += int(found.rows.lengths.sum())
    assert there == sum(split["there"] for split in facts["tokens"].values())
    assert facts["tokens"]["train"]["kept"] == facts["tokens"]["train"]["there"]
    score(cfg, folder / "prepared", folder / "forget", folder / "original/model", tmp_path / "scores.npz")
    with np.load(tmp_path / "scores.npz") as arrays:
        ids = arrays["ids"][arrays["sets"] == "forget"]
        assert sorted(ids) == sorted(frames["forget"]["id"])
        text = {row["id"]: row["text"] for row in rows}
        for name, members in frames["forget"]["id"].groupby(text_ids(frames["forget"])):
            assert arrays["characters"][np.isin(arrays["ids"], members)].sum() == len(text[name])


def test_a_request_names_the_text_and_not_its_windows(long_study, tmp_path):
    folder, cfg, _ = long_study
    examples = read_table(folder / "prepared/examples.parquet")
    pool = examples[examples["split"] == "train"]
    name = text_ids(pool[pool["window"].notna()]).iloc[0]
    (tmp_path / "request.txt").write_text(f"{name}\n")
    wish = {"strategy": "ids", "file": str(tmp_path / "request.txt")}
    forget(cfg | {"forget": wish}, 1, folder / "prepared", tmp_path / "forget")
    sets = read_table(tmp_path / "forget/sets.parquet")
    chosen = set(sets["id"][sets["set"] == "forget"])
    assert chosen == set(pool["id"][text_ids(pool) == name]) and len(chosen) > 1


def test_what_is_cut_is_counted_and_remarked(long_study, tmp_path, caplog):
    folder, cfg, rows = long_study
    given = cfg | {"model": Model(**cfg["model"]).reading, "dataset": cfg["dataset"] | {"long": "cut"}}
    caplog.set_level(logging.INFO)
    prepare(given, tmp_path / "prepared")
    facts = json.loads((tmp_path / "prepared/prepared.json").read_text())
    examples = read_table(tmp_path / "prepared/examples.parquet")
    assert "window" not in examples and len(examples) == 24
    words = models.base_tokenizer(
        Model(**cfg["model"]), examples["text"][examples["split"] == "validation"].tolist()
    )
    lengths = np.array([len(words(row["text"])["input_ids"]) + 2 for row in rows])
    assert sum(s["there"] for s in facts["tokens"].values()) == lengths.sum()
    assert sum(s["kept"] for s in facts["tokens"].values()) == np.minimum(lengths, 24).sum()
    (said,) = cut_texts(facts)
    assert f"{lengths.sum():,}" in said and "max_length" in said
    whole_study = json.loads((folder / "prepared/prepared.json").read_text())
    assert cut_texts(whole_study) == []
    assert not [word for word in study.text(0).split() if word in caplog.text]
