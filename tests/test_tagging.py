"""A study of tagged text, from its data to its metrics."""

import json

import numpy as np
import pytest
import study
from tiny import encode

from lethe import models
from lethe.__main__ import main
from lethe.data.encoding import classes, examples_by_set
from lethe.evaluation.headline import columns, main_attack, memory
from lethe.forget import forget
from lethe.measure import measure
from lethe.prepare import prepare
from lethe.score import score
from lethe.system import plugin_source, plugins
from lethe.system.errors import InputError
from lethe.train import train
from lethe.unlearn import unlearn

TYPES = ("A", "B")
TRAINING = {"epochs": 4, "learning_rate": 5e-3, "batch": {"forget": 2, "retain": 4}}


def tags_of(words: list[str]) -> list[str]:
    """What is to be learnt: words that begin with b, and those after them with d, are entities."""
    starts = {"ba": "B-A", "di": "I-A", "gu": "B-B"}
    return [starts.get(word[:2], "O") for word in words]


def tagged_lines(numbers) -> str:
    texts = [study.text(number).split() for number in numbers]
    rows = [{"id": f"r{k}", "tokens": t, "tags": tags_of(t)} for k, t in zip(numbers, texts, strict=True)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Folder and parameters of a study of which everything up to the metrics is made."""
    folder = tmp_path_factory.mktemp("tagging")
    (folder / "texts.jsonl").write_text(tagged_lines(range(40)))
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 300}
    source = {"source": str(folder / "texts.jsonl"), "id": "id", "text": "tokens", "label": "tags"}
    cfg = {
        "task": "tagging",
        "seed": 0,
        "dataset": source | {"sizes": {"train": 20, "validation": 4, "holdout": 6, "test": 8}},
        "model": {"source": "tiny-bert", "max_length": 24, "options": small},
        "forget": {"strategy": "random", "size": 6},
        "train": {"pretrain": None, "finetune": TRAINING},
        "method": {"objective": "deepcut", "training": TRAINING | {"epochs": 1}},
        "score": {},
    }
    prepared, sets = folder / "prepared", folder / "forget"
    prepare(cfg, prepared)
    forget(cfg, 1, prepared, sets)
    train(study.job(folder, cfg, "base"), prepared)
    train(study.job(folder, cfg, "original"), prepared, sets, folder / "base/model")
    unlearn(study.job(folder, cfg, "deepcut"), prepared, sets, folder / "original/model")
    for run in ("base", "original", "deepcut"):
        score(cfg, prepared, sets, folder / run / "model", folder / run / "scores.npz")
        measure({"measure": {"bootstrap": 100}}, 1, folder / run / "scores.npz", folder / run)
    return folder, cfg


def numbers(folder, run) -> dict[str, float]:
    return json.loads((folder / run / "metrics.json").read_text())


def test_the_prepared_examples_hold_one_tag_a_word(done):
    folder, _ = done
    for frame in examples_by_set(folder / "prepared", folder / "forget").values():
        for text, tags in zip(frame["text"], frame["tags"], strict=True):
            assert tags_of(text.split(" ")) == list(tags)
        assert frame["label"].isna().all()
    assert classes(folder / "prepared") == ["B-A", "B-B", "I-A", "O"]


def test_logits_one_text_at_a_time(done):
    folder, cfg = done
    model, tokenizer = models.load(folder / "original/model", "tagging")
    names = classes(folder / "prepared")
    with np.load(folder / "original/scores.npz") as file:
        scores = dict(file)
    assert {*plugins.constants_in("tasks", "tagging")["ARRAYS"]} <= set(scores)
    row = 0
    for name in ("forget", "retain", "holdout", "test"):
        frame = examples_by_set(folder / "prepared", folder / "forget")[name]
        for one in range(len(frame)):
            rows = encode(frame.iloc[[one]], tokenizer, cfg["model"]["max_length"], names).rows
            logits = model(input_ids=rows.input_ids).logits[0][rows.labels[0] >= 0].detach().numpy()
            words = len(logits)
            assert scores["logits"][row, :words] == pytest.approx(logits, abs=1e-5)
            assert [names[tag] for tag in scores["tags"][row, :words]] == list(
                frame["tags"].iloc[one][:words]
            )
            assert (scores["tags"][row, words:] < 0).all() and scores["ids"][row] == frame["id"].iloc[one]
            row += 1
    assert row == len(scores["ids"])


def test_the_tags_are_learnt_and_every_metric_is_there(done):
    folder, _ = done
    before, after = numbers(folder, "base"), numbers(folder, "original")
    assert after["token_accuracy_retain"] > max(0.75, before["token_accuracy_retain"] + 0.1)
    assert after["loss_retain"] < before["loss_retain"]
    wanted = {"entity_f1_forget", "entity_f1_test", "attack_auc", "entropy_auc", "margin_auc", "loss_forget"}
    assert wanted <= set(after)
    assert numbers(folder, "deepcut") != after


def test_a_trained_tagger_is_judged_on_ones_own_texts(done, tmp_path):
    folder, _ = done
    sets = {"forget": range(50, 54), "holdout": range(60, 64), "test": range(70, 76), "retain": range(80, 84)}
    given = ["judge", "--task", "tagging", "--model", folder / "original/model", "--out", tmp_path / "out"]
    for name, texts in sets.items():
        (tmp_path / f"{name}.jsonl").write_text(tagged_lines(texts))
        given += [f"--{name}", tmp_path / f"{name}.jsonl"]
    given += ["--text", "tokens", "--label", "tags", "--cfg", json.dumps({"measure": {"bootstrap": 100}})]
    assert main([str(part) for part in given]) == 0
    found = json.loads((tmp_path / "out/metrics.json").read_text())
    assert {"entity_f1_test", "token_accuracy_forget", "attack_auc", "blind_auc"} <= set(found)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"text": "tags", "label": "id"}, "dataset.label: row 0 of column 'id' .* holds no list of text"),
        ({"general": {"source": "docstrings"}}, "dataset.general: .* allowed in tagging: null"),
        ({"text": ["tokens", "tags"]}, "dataset.text: 2 columns; the words of tagged text are in one"),
    ],
)
def test_data_without_tags_is_named(done, tmp_path, dataset, message):
    _, cfg = done
    with pytest.raises(InputError, match=message) as error:
        prepare(cfg | {"dataset": cfg["dataset"] | dataset}, tmp_path / "out")
    assert not any(word in str(error.value) for word in study.text(0).split())


def test_every_task_has_its_arrays_its_attack_and_its_words():
    for task in plugins.names_in("tasks"):
        plugin_source.check(plugins.file_of("tasks", task), "tasks")
        assert plugins.part("tasks", task, "GLOSSARY")
        there = {f"{main_attack(task)}_auc"}
        assert [column.key for column in columns(task, there)] == [*there]
    assert [column.key for column in memory("tagging", {"entity_f1_forget"})] == ["entity_f1_forget"]
