import json

import pandas as pd
import pytest

from lethe.prepare import prepare
from lethe.system.errors import InputError
from lethe.system.files import digest

SIZES = {"train": 20, "validation": 5, "holdout": 5, "test": 5}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def text(number):
    """A text that shares no two neighbouring words with that of another number below 100."""
    return " ".join(f"{NUMBERS[number % 10]}{NUMBERS[number // 10]}{letter}" for letter in "abcdefghij")


def rows(count=40, **columns):
    table = {"text": [text(i) for i in range(count)], "label": [f"class {i % 2}" for i in range(count)]}
    return pd.DataFrame(table | columns)


def prepared(folder, table, task="classification", seed=0, **dataset):
    """(examples, facts) of a table."""
    table.to_csv(folder / "table.csv", index=False)
    dataset = {"source": str(folder / "table.csv"), "sizes": SIZES} | dataset
    prepare({"task": task, "seed": seed, "dataset": dataset}, folder / "out")
    facts = json.loads((folder / "out" / "prepared.json").read_text())
    return pd.read_parquet(folder / "out" / "examples.parquet"), facts


def test_examples_are_split_stratified_and_written(tmp_path):
    examples, facts = prepared(tmp_path, rows())
    assert list(examples) == ["id", "text", "label", "subject", "split", "cluster"]
    assert examples["split"].value_counts().to_dict() == facts["counts"] == SIZES
    assert examples["label"][examples["split"] == "train"].value_counts().to_dict() == {
        "class 0": 10,
        "class 1": 10,
    }
    assert examples["id"].is_unique
    assert [text(int(name)) for name in examples["id"]] == examples["text"].tolist()
    assert facts["labels"] == ["class 0", "class 1"]
    assert facts["dropped"] == {"empty": 0, "left_over": 5, "near_duplicates": 0}
    assert facts["sha256"] == digest(tmp_path / "out" / "examples.parquet")
    assert facts["origin"] == {"sha256": digest(tmp_path / "table.csv")}


def test_the_same_data_and_seed_are_the_same_bytes(tmp_path):
    first = prepared(tmp_path, rows())[1]["sha256"]
    assert prepared(tmp_path, rows())[1]["sha256"] == first
    assert prepared(tmp_path, rows(), seed=1)[1]["sha256"] != first


def with_copies():
    """Numbers 0 to 39, and the first twelve once more with one word more."""
    table = rows()
    copies = table.head(12).assign(text=table["text"].head(12) + " more")
    return pd.concat([table, copies], ignore_index=True)


def test_near_duplicates_are_dropped_and_counted(tmp_path):
    examples, facts = prepared(tmp_path, with_copies())
    assert facts["dropped"]["near_duplicates"] == 12
    assert not examples["text"].str.endswith("more").any()


@pytest.mark.parametrize("seed", range(4))
def test_near_duplicates_that_are_kept_stay_on_one_side(tmp_path, seed):
    examples, facts = prepared(tmp_path, with_copies(), seed=seed, deduplicate=False)
    assert facts["counts"] == SIZES
    assert examples["cluster"].nunique() < len(examples)
    assert (examples.groupby("cluster")["split"].nunique() == 1).all()


def test_a_person_stays_on_one_side(tmp_path):
    table = rows(subject=[f"person {i // 3}" for i in range(40)])
    sizes = {"train": 18, "validation": 3, "holdout": 6, "test": 6}
    examples, _ = prepared(tmp_path, table, subject="subject", sizes=sizes)
    assert (examples.groupby("subject")["split"].nunique() == 1).all()


def general(folder, numbers):
    pd.DataFrame({"text": [text(i) for i in numbers]}).to_csv(folder / "general.csv", index=False)
    return {"source": str(folder / "general.csv"), "test": 4}


def test_general_text_is_split_and_never_repeats_the_data_set(tmp_path):
    other = general(tmp_path, [*range(10), *range(60, 80), 60])
    examples, facts = prepared(tmp_path, rows(), task="generation", general=other)
    assert facts["counts"] == SIZES | {"general": 16, "general_test": 4}
    assert facts["dropped"]["general_near_duplicates"] == 11
    assert facts["labels"] == []
    assert examples["text"].is_unique
    from_general = examples["id"].str.startswith("general/")
    assert (from_general == examples["split"].isin(["general", "general_test"])).all()


def test_size_of_general_text(tmp_path):
    other = general(tmp_path, range(60, 80)) | {"size": 7}
    _, facts = prepared(tmp_path, rows(), task="generation", general=other)
    assert facts["counts"]["general"] == 7
    assert facts["dropped"]["left_over"] == 5 + 9


def test_an_id_that_general_text_has_too_is_named(tmp_path):
    other = general(tmp_path, range(60, 80))
    table = rows().assign(key=[f"general/{i}" for i in range(40)])
    with pytest.raises(InputError, match=r"dataset\.id: 'general/0' is the id of a general text, too"):
        prepared(tmp_path, table, task="generation", general=other, id="key")


def test_a_text_taken_for_a_label_is_not_shown(tmp_path):
    with pytest.raises(
        InputError, match="40 of 40 classes have one example, the first that of record '0'"
    ) as error:
        prepared(tmp_path, rows(), label="text")
    assert text(0) not in str(error.value)


def test_limit_draws_rows_before_anything_else(tmp_path):
    examples, facts = prepared(tmp_path, rows(90), limit=35)
    assert len(examples) == 35
    assert facts["dropped"]["left_over"] == 0
    assert examples["id"].astype(int).max() > 40


def test_facts_hold_no_text(tmp_path):
    prepared(tmp_path, rows())
    content = (tmp_path / "out" / "prepared.json").read_text()
    assert not any(word in content for word in text(7).split())


def emptied():
    table = rows()
    table.loc[[7, 9], "text"] = ["", "   "]
    return table


def test_empty_texts_can_be_dropped(tmp_path):
    _, facts = prepared(tmp_path, emptied(), drop_empty=True)
    assert facts["dropped"] == {"empty": 2, "left_over": 3, "near_duplicates": 0}


def lonely():
    return rows(label=["alone", *["many", "more"] * 19, "more"])


FAULTS = [
    (
        emptied(),
        {},
        r"dataset\.text: record '7' of .*table\.csv has no text \(2 such records\); fill it, or set",
    ),
    (
        rows(key=[*range(39), 5]),
        {"id": "key"},
        r"dataset\.id: '5' is the id of several records; ids must be unique",
    ),
    (rows(), {"text": "body"}, r"dataset\.text: .*table\.csv has no column 'body'; allowed: text, label"),
    (rows(), {"label": "topic"}, r"dataset\.label: .*table\.csv has no column 'topic'; allowed: text, label"),
    (rows().drop(columns="label"), {}, r"dataset\.label: .*table\.csv has no column 'label'; allowed: text"),
    (
        lonely(),
        {},
        r"dataset\.label: 1 of 3 classes have one example, the first that of record '0'; each class needs at least two",
    ),
    (
        rows(label=["same"] * 40),
        {},
        r"dataset\.label: 1 class in the data; classification needs at least two",
    ),
    (
        rows(30),
        {},
        r"dataset\.sizes: train 20 \+ validation 5 .* = 35 examples, but 30 are left after deduplication",
    ),
    (
        rows(),
        {"general": {"source": "records"}},
        r"dataset\.general: other text is for generation; allowed .* null",
    ),
]


@pytest.mark.parametrize(("table", "dataset", "message"), FAULTS)
def test_faults_are_named_in_one_line_and_nothing_is_written(tmp_path, table, dataset, message):
    with pytest.raises(InputError, match=message) as error:
        prepared(tmp_path, table, **dataset)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_too_little_general_text_is_named(tmp_path):
    other = general(tmp_path, range(60, 65)) | {"size": 9}
    with pytest.raises(
        InputError, match=r"dataset\.general: general_test 4 \+ general 9 = 13 examples, but 5 are"
    ):
        prepared(tmp_path, rows(), task="generation", general=other)


def test_groups_that_fit_no_split_are_named(tmp_path):
    table = rows(subject=["crowd"] * 30 + [f"person {i}" for i in range(10)])
    with pytest.raises(InputError, match=r"whole groups .* cannot be put together so"):
        prepared(tmp_path, table, subject="subject")


def test_class_that_is_not_in_train_is_named(tmp_path):
    table = rows(80, label=["rare"] * 2 + ["a", "b"] * 39)
    sizes = {"train": 2, "validation": 5, "holdout": 5, "test": 68}
    with pytest.raises(InputError, match=r"dataset\.sizes\.train: class '\w+' .* has none in train"):
        prepared(tmp_path, table, sizes=sizes)


def test_built_in_data_set(tmp_path):
    options = {"people": 20, "records": 2}
    dataset = {
        "source": "records",
        "options": options,
        "sizes": {"train": 20, "validation": 6, "holdout": 6, "test": 8},
    }
    prepare({"task": "generation", "seed": 3, "dataset": dataset}, tmp_path / "out")
    examples = pd.read_parquet(tmp_path / "out" / "examples.parquet")
    assert len(examples) == 40
    assert (examples.groupby("subject")["split"].nunique() == 1).all()
