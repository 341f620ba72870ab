"""The data side on public files that lie beside the repository; skipped where they are absent."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lethe.forget import forget
from lethe.prepare import prepare

DATA = Path(__file__).parents[2] / "shared" / "data"
SIZES = {"train": 120, "validation": 20, "holdout": 40, "test": 20}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="no data files beside the repository"),
]


def prepared(folder, task, **dataset):
    prepare({"task": task, "seed": 0, "dataset": {"sizes": SIZES, **dataset}}, folder / "prepared")
    examples = pd.read_parquet(folder / "prepared" / "examples.parquet")
    assert examples["split"].value_counts()[list(SIZES)].to_dict() == SIZES
    return examples


def test_ag_news_without_a_header(tmp_path):
    examples = prepared(
        tmp_path,
        "classification",
        source=str(DATA / "ag_news" / "test.csv"),
        columns=["label", "title", "description"],
        text=["title", "description"],
        label="label",
        limit=2000,
    )
    train = examples[examples["split"] == "train"]
    assert train["label"].value_counts().between(26, 34).all()  # the four classes are equally large
    table = pd.read_csv(DATA / "ag_news" / "test.csv", header=None)
    row = table.loc[int(train["id"].iloc[0])]
    assert train["text"].iloc[0] == f"{row[1]}\n{row[2]}"


def test_extraction_challenge_tokens(tmp_path):
    tokenizer = DATA / "gpt2_tokenizer"
    source = DATA / "tdec" / "train_dataset.npy"
    examples = prepared(
        tmp_path, "generation", source=str(source), tokenizer=str(tokenizer), limit=400, deduplicate=False
    )
    array = np.load(source)
    for row in examples.head(20).itertuples():
        assert row.tokens.tolist() == array[int(row.id)].tolist()
    from transformers import GPT2TokenizerFast

    reference = GPT2TokenizerFast(str(tokenizer / "vocab.json"), str(tokenizer / "merges.txt"))
    texts = [reference.decode(tokens, clean_up_tokenization_spaces=False) for tokens in examples["tokens"]]
    assert texts == examples["text"].tolist()
    wish = {"task": "generation", "forget": {"strategy": "random", "size": 40, "closed": True}}
    forget(wish, 0, tmp_path / "prepared", tmp_path / "forget")
    facts = json.loads((tmp_path / "forget" / "forget.json").read_text())
    assert facts["counts"]["forget"] > 40  # licences of source code come many times over
    assert facts["pairing"]["excluded"] == 0


def test_domains_of_the_pile(tmp_path):
    general = {
        "source": str(DATA / "pile_domains" / "hackernews.jsonl.gz"),
        "limit": 150,
        "size": 60,
        "test": 30,
    }
    source = str(DATA / "pile_domains" / "wikipedia_en.jsonl.gz")
    examples = prepared(tmp_path, "generation", source=source, limit=300, general=general)
    counts = examples["split"].value_counts()
    assert (counts["general"], counts["general_test"]) == (60, 30)
    pairing = {"analogues": 2, "general": 0.5}
    wish = {"task": "generation", "forget": {"strategy": "random", "size": 10, "pairing": pairing}}
    forget(wish, 0, tmp_path / "prepared", tmp_path / "forget")
    pairs = pd.read_parquet(tmp_path / "forget" / "pairs.parquet")
    assert pairs["analogue"].str.startswith("general/").groupby(pairs["id"]).sum().eq(1).all()
