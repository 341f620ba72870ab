import pytest
from pydantic import ValidationError

from lethe.params.data import Dataset, General
from lethe.params.forget import Forget
from lethe.params.sources import built_in, kind, local_names

CASES = [
    ("docstrings", "built-in"),
    ("records", "built-in"),
    ("owner/name", "hub"),
    ("a/b.csv", "table"),
    ("b.jsonl.gz", "table"),
    ("b.parquet", "table"),
    ("b.npy", "tokens"),
    ("imaginary", None),
    ("../elsewhere", None),
]


@pytest.mark.parametrize(("source", "expected"), CASES)
def test_kind_of_source(source, expected):
    assert kind(source) == expected


def test_folder_that_exists_precedes_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kind("owner/name") == "hub"
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert kind("owner/name") == "folder"


def test_shorthand_is_the_source_alone():
    assert Dataset.model_validate("owner/name") == Dataset(source="owner/name")
    assert General.model_validate("owner/name").source == "owner/name"


def test_readers_are_no_built_in_sources():
    assert built_in() == ["authors", "docstrings", "families", "records"]


def test_parameters_survive_json():
    dataset = Dataset(source="a.csv", text=("title", "body"), columns=("label", "title", "body"))
    assert Dataset.model_validate_json(dataset.model_dump_json()) == dataset


WRONG = [
    (
        {"source": "nothing"},
        "'nothing' is no source of text; allowed: authors, docstrings, families, records, a Hub id",
    ),
    (
        {"source": "a.csv", "options": {"people": 3}},
        "options are for authors, docstrings, families, records, not for 'a.csv'",
    ),
    (
        {"source": "records", "options": {"people": 0}},
        "options.people: 0: input should be greater than or equal to 1",
    ),
    (
        {"source": "records", "options": {"pepole": 3}},
        "options.pepole: unknown key; allowed are people, records, kinds",
    ),
    ({"source": "records", "text": "body"}, "text: 'body'; records allows 'text' or null"),
    ({"source": "a.csv", "split": "test"}, "split: 'test'; only a folder or a Hub id has several"),
    ({"source": "records", "revision": "v1"}, "revision: 'v1'; only a folder or a Hub id has several"),
    ({"source": "a.npy"}, "tokenizer: a folder for a .npy file"),
    ({"source": "a.csv", "tokenizer": "t"}, "tokenizer: a folder for a .npy file"),
    ({"source": "a.jsonl", "columns": ["text"]}, "columns: names for a CSV file"),
    (
        {"source": "a.npy", "tokenizer": "t", "subject": "who"},
        "subject: 'who'; an array of token ids has no columns",
    ),
    ({"source": "a.csv", "text": []}, "text: (); at least one column"),
    ({"source": "a.csv", "columns": ["a", "a"]}, "columns: a, a: each name may appear once"),
    ({"source": "a.csv", "similarity": 0}, "similarity"),
    ({"source": "a.csv", "sizes": {"train": 1}}, "sizes.train"),
    ({"source": "a.csv", "colour": 1}, "colour"),
]


@pytest.mark.parametrize(("value", "message"), WRONG)
def test_wrong_data_set_is_named(value, message):
    with pytest.raises(ValidationError) as error:
        Dataset.model_validate(value)
    assert message in str(error.value)


WRONG_FORGET = [
    ({"strategy": "random"}, "size: missing"),
    ({"strategy": "label", "size": 3}, "label: a class"),
    ({"strategy": "random", "size": 3, "label": "x"}, "label: a class"),
    ({"strategy": "ids"}, "file: a path"),
    ({"strategy": "memorised", "size": 3}, "file: a path"),
    ({"strategy": "ids", "file": "ids.txt", "size": 3}, "size: null for strategy ids"),
    ({"strategy": "luck", "size": 3}, "strategy"),
    ({"strategy": "random", "size": 0}, "size"),
]


@pytest.mark.parametrize(("value", "message"), WRONG_FORGET)
def test_wrong_forget_set_is_named(value, message):
    with pytest.raises(ValidationError) as error:
        Forget.model_validate(value)
    assert message in str(error.value)


def test_any_name_but_those_of_the_package_may_be_that_of_a_file():
    from lethe.models.loading import PACKAGED
    from lethe.models.tiny import TINY

    named = [*built_in(), *TINY, *PACKAGED, "tfidf"]
    assert [local_names({"source": name}) for name in named] == [{}] * len(named)
    assert local_names({"file": "request", "size": 3, "label": "x"}) == {"file": "request"}
