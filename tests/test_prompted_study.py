"""A study of questions and answers, from its source to its metrics: answers alone are learnt, scored and continued."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from lethe.data.encoding import encoder, examples_by_set
from lethe.data.parquet import read_table
from lethe.data.texts import whole_texts
from lethe.evaluation.scores import load
from lethe.forget import forget
from lethe.measure import measure
from lethe.models import load as load_model
from lethe.params.training import Stop
from lethe.prepare import prepare
from lethe.score import score
from lethe.system.errors import InputError
from lethe.train import train
from lethe.training.epoch_check import EpochCheck
from lethe.training.run import Job
from lethe.unlearn import unlearn

SIZES = {"train": 60, "validation": 10, "holdout": 10, "test": 20}
OPENING = "Question: {prompt}\nAnswer: "
DATASET = {"source": "authors", "options": {"authors": 12}, "sizes": SIZES, "opening": OPENING}
MODEL = {"source": "tiny-gpt-neo", "max_length": 96, "options": {"num_layers": 2, "hidden_size": 32}}
RECIPE = {"epochs": 2, "learning_rate": 5e-3, "batch": {"retain": 16}}
UNLEARN = {
    "epochs": 2,
    "learning_rate": 1e-3,
    "batch": {"forget": 8, "analogue": 8},
    "stop": {"n": 3, "most": 4},
}
SCORE = {"n": [3], "extract": ["forget"], "tries": 0}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    prepare({"task": "generation", "dataset": DATASET, "seed": 1}, root / "prepared")
    strategy = {"strategy": "subject", "size": 10, "pairing": {"analogues": 2}}
    forget({"task": "generation", "forget": strategy}, 1, root / "prepared", root / "forget")
    cfg = {"task": "generation", "model": MODEL, "train": {"finetune": RECIPE}}
    data = root / "prepared", root / "forget"

    def job(run, **more):
        return Job(cfg | more, 1, run, root / run, root / f"{run}.safetensors", None)

    train(job("base"), data[0], None, None)
    train(job("original"), *data, root / "base/model")
    method = {"method": {"objective": "icu", "training": UNLEARN}}
    unlearn(job("icu", **method), *data, root / "original/model", None)
    score(
        {"task": "generation", "model": MODEL, "score": SCORE}, *data, root / "icu/model", root / "scores.npz"
    )
    measure({"measure": {"bootstrap": 100}}, 1, root / "scores.npz", root / "measured")
    return root


def test_prompts_and_other_wordings_travel_with_the_examples(study):
    examples = read_table(study / "prepared/examples.parquet")
    first = examples.iloc[0]
    assert [dict(turn)["role"] for turn in first["prompt"]] == ["user"]
    assert len(first["alternatives"]) == 3 and first["paraphrase"] != first["text"]
    facts = json.loads((study / "prepared/prepared.json").read_text())
    assert facts["prompting"] == {
        "template": "auto",
        "system": None,
        "date": "2025-01-01",
        "opening": OPENING,
    }


def test_scores_are_of_answers(study):
    """Scored are the tokens of the answer and the end; what is asked is not."""
    model, tokenizer = load_model(study / "icu/model", "generation")
    frames = examples_by_set(study / "prepared", study / "forget")
    encoded = encoder(study / "prepared", tokenizer, 96)(frames["forget"])
    arrays = load(study / "scores.npz")
    members = arrays["sets"] == "forget"
    answers = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in frames["forget"]["text"]]
    lengths = encoded.rows.lengths - encoded.rows.starts
    assert arrays["mask"][members].sum(1).tolist() == lengths.tolist() == [len(ids) + 1 for ids in answers]
    beginning = tokenizer.decode(encoded.rows.input_ids[0, : int(encoded.rows.starts[0])])
    asked = frames["forget"]["prompt"].iloc[0][-1]["content"]
    assert beginning == f"Question: {asked}\nAnswer: "
    with pytest.raises(InputError, match=r"training.stop.n: 90"):
        EpochCheck(Stop(n=90), None, {"forget": encoded, "validation": encoded, "retain": encoded})


def test_the_whole_way_gives_numbers(study):
    numbers = json.loads((study / "measured/metrics.json").read_text())
    for name in ("memorization_accuracy_forget", "extraction_likelihood_3_forget", "min_k_auc"):
        assert np.isfinite(numbers[name])
    epochs = pd.read_csv(study / "icu/epochs.csv")
    assert {"memorization_accuracy", "similarity"} <= set(epochs)


def test_the_questions_of_near_duplicates_count():
    """The same short answer to different questions is no near-duplicate."""
    table = pd.DataFrame(
        {"text": ["Yes.", "Yes."], "prompt": [[{"role": "user", "content": q}] for q in "ab"]}
    )
    assert whole_texts(table) == ["a\nYes.", "b\nYes."]


@pytest.mark.parametrize("form", ["prompt", "messages"])
def test_files_of_prompts_and_of_conversations(tmp_path, form):
    rows = [
        {"question": f"What is {i}?", "answer": f"The number {i} is {i * 7} times one."} for i in range(12)
    ]
    if form == "messages":
        roles = ("user", "assistant")
        rows = [
            {"said": [{"role": r, "content": c} for r, c in zip(roles, row.values(), strict=True)]}
            for row in rows
        ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"prompt": "question", "text": "answer"} if form == "prompt" else {"messages": "said"}
    sizes = {"train": 6, "validation": 2, "holdout": 2, "test": 2}
    dataset = {"source": str(file), "sizes": sizes, "deduplicate": False} | columns
    prepare({"task": "generation", "dataset": dataset, "seed": 0}, tmp_path / "out")
    examples = read_table(tmp_path / "out/examples.parquet").sort_values(
        "id", key=lambda ids: ids.astype(int)
    )
    assert examples["text"].iloc[3] == "The number 3 is 21 times one."
    assert examples["prompt"].iloc[3][0]["content"] == "What is 3?"


FAULTS = [
    (
        {"prompt": "q", "text": "a"},
        {"q": " ", "a": "x"},
        r"dataset.prompt: row 0 of column 'q' .* asks nothing",
    ),
    (
        {"messages": "m"},
        {"m": [{"role": "user", "content": "secret"}]},
        "dataset.messages: row 0 .* does not end",
    ),
    ({"messages": "m"}, {"m": "secret"}, "holds no list of messages"),
    ({"prompt": "nothing", "text": "a"}, {"q": "x", "a": "y"}, "has no column 'nothing'"),
]


@pytest.mark.parametrize(("columns", "row", "words"), FAULTS)
def test_faulty_prompts_are_named_and_not_quoted(tmp_path, caplog, columns, row, words):
    caplog.set_level(logging.INFO)
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=words) as error:
        prepare(
            {"task": "generation", "dataset": {"source": str(file)} | columns, "seed": 0}, tmp_path / "out"
        )
    assert "secret" not in str(error.value) and "secret" not in caplog.text


def test_conversations_are_for_generation(tmp_path):
    with pytest.raises(InputError, match=r"dataset.messages: .* allowed in classification: null"):
        prepare(
            {"task": "classification", "dataset": {"source": "a.csv", "messages": "q"}, "seed": 0},
            tmp_path / "out",
        )
