import gzip
import json
import os
import tempfile
import types
import zipfile

import numpy as np
import pandas as pd
import pytest
from tokenizers import ByteLevelBPETokenizer

from lethe.datasets import tabular, tokens
from lethe.params.data import Source
from lethe.system.errors import InputError

ROWS = [
    {"kind": "7", "title": "NA", "body": "first, body", "who": "ann"},
    {"kind": "08", "title": "", "body": "second\nbody", "who": ""},
]
WRITERS = {
    "csv": lambda path: pd.DataFrame(ROWS).to_csv(path, index=False),
    "csv.gz": lambda path: pd.DataFrame(ROWS).to_csv(path, index=False),
    "jsonl": lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in ROWS)),
    "jsonl.gz": lambda path: path.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode())),
    "json": lambda path: path.write_text(json.dumps({"data": ROWS})),
    "json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "parquet": lambda path: pd.DataFrame(ROWS).to_parquet(path),
}


def read(path, **columns):
    return tabular.examples(Source(source=str(path), **columns), "dataset")


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_examples(suffix, tmp_path):
    path = tmp_path / f"table.{suffix}"
    WRITERS[suffix](path)
    frame, origin = read(path, text=["title", "body"], label="kind", subject="who")
    assert frame.to_dict("list") == {
        "id": ["0", "1"],
        "text": ["NA\nfirst, body", "second\nbody"],
        "label": ["7", "08"],
        "subject": ["ann", None],
    }
    assert len(origin["sha256"]) == 64


def test_csv_without_a_header(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('"3","Title","Body"\n"4","Other","More"\n')
    frame, _ = read(path, columns=["label", "title", "body"], text="body", label="label")
    assert frame["text"].tolist() == ["Body", "More"]
    assert frame["label"].tolist() == ["3", "4"]


def test_numbers_as_ids_and_labels(tmp_path):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"text": ["a", "b"], "key": [17, 4], "label": [0, 1]}).to_parquet(path)
    frame, _ = read(path, id="key", label="label")
    assert frame["id"].tolist() == ["17", "4"]
    assert frame["label"].tolist() == ["0", "1"]
    assert frame["subject"].isna().all()


def written(folder, name, content):
    path = folder / name
    path.write_text(content)
    return path


def damaged(path):
    """A gzip file whose first block is of a type that there is not."""
    path.write_bytes(gzip.compress(b"", mtime=0)[:10] + b"\x07" * 20)
    return path


def test_errors_name_file_key_and_what_is_allowed(tmp_path):
    table = written(tmp_path, "table.csv", "text,label\nsecret words,1\nmore,\n")
    cases = [
        ({"path": tmp_path / "none.csv"}, "dataset.source: .*none.csv does not exist"),
        (
            {"path": table, "text": "body"},
            "dataset.text: .*table.csv has no column 'body'; allowed: text, label",
        ),
        ({"path": table, "label": "label"}, "dataset.label: row 1 of .*table.csv has none in column 'label'"),
        (
            {"path": table, "columns": ["a"], "text": "a"},
            "dataset.source: .*table.csv: has 2 columns; `columns` or its header names 1",
        ),
        (
            {"path": written(tmp_path, "a.jsonl", '{"text": "x"}\n{"text": secret}')},
            "a.jsonl: line 2: Expecting value",
        ),
        (
            {"path": written(tmp_path, "b.jsonl", "[1, 2]\n")},
            "b.jsonl: a list of objects",
        ),
        (
            {"path": written(tmp_path, "c.json", '{"text": 1}')},
            "c.json: a list of objects",
        ),
        ({"path": written(tmp_path, "d.parquet", "none")}, "d.parquet cannot be read as parquet"),
        ({"path": written(tmp_path, "e.csv", "")}, "e.csv: holds no row"),
        ({"path": written(tmp_path, "f.csv.gz", "none")}, "f.csv.gz cannot be expanded"),
        (
            {"path": written(tmp_path, "g.jsonl", '{"text": 5}')},
            "dataset.text: row 0 of column 'text' .* holds a int",
        ),
        (  # the first column would be taken for names of the rows, and `text` be what is after the comma
            {"path": written(tmp_path, "h.csv", "id,text\na,hello, secret\n")},
            "h.csv: rows have more values than the header has names",
        ),
        (
            {"path": written(tmp_path, "l.json", "[" * 100_000)},
            "l.json cannot be read as json: it is nested",
        ),
        ({"path": damaged(tmp_path / "i.jsonl.gz")}, "i.jsonl.gz cannot be expanded: .*decompressing"),
        ({"path": damaged(tmp_path / "j.csv.gz")}, "j.csv.gz cannot be expanded: .*decompressing"),
        (
            {"path": written(tmp_path, "k.jsonl", '{"text": "x", "id": ["secret", "y"]}'), "id": "id"},
            "dataset.id: row 0 of column 'id' .* holds a list",
        ),
    ]
    for columns, message in cases:
        with pytest.raises(InputError, match=message) as error:
            read(**columns)
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """Folder in which the library `datasets` would keep copies."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_folder_in_the_layout_of_the_hub(tmp_path, hub_cache):
    folder = tmp_path / "corpus"
    (folder / "data").mkdir(parents=True)
    for split, text in (("train", "to learn"), ("test", "to be tested")):
        pd.DataFrame({"text": [text], "label": [1]}).to_parquet(
            folder / "data" / f"{split}-00000-of-00001.parquet"
        )
    assert read(folder)[0]["text"].tolist() == ["to learn"]
    frame, origin = read(folder, split="train+test", label="label")
    assert frame[["text", "label"]].to_numpy().tolist() == [["to learn", "1"], ["to be tested", "1"]]
    assert list(origin) == ["sha256"]
    with pytest.raises(InputError, match="split nothing cannot be loaded"):
        read(folder, split="nothing")


def same_time(path, content):
    """Write a file as `rsync -t` does: with the time of the one that was there."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (10**9, 10**9))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("train.jsonl.gz", lambda text: gzip.compress(json.dumps({"text": text}).encode(), mtime=0)),
        ("train.csv", lambda text: f"text\n{text}\n".encode()),
        ("train.txt", str.encode),  # which only the library reads
    ],
)
def test_a_folder_is_read_anew_though_its_file_has_the_time_of_the_old_one(tmp_path, hub_cache, name, write):
    for text in ("old one", "new one"):
        same_time(tmp_path / "corpus" / name, write(text))
        assert read(tmp_path / "corpus")[0]["text"].tolist() == [text]


@pytest.mark.parametrize("name", ["train.csv", "train.txt"])
def test_no_copy_of_a_folder_stays_elsewhere(tmp_path, hub_cache, monkeypatch, name):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    same_time(tmp_path / "corpus" / name, b"text\nsecret\n")
    read(tmp_path / "corpus")
    left = [path for path in tmp_path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    assert left == [tmp_path / "corpus" / name]
    assert not hub_cache.exists() and not [*(tmp_path / "temporary").iterdir()]


NUMBERED = [{"text": "a", "who": None}, {"text": "b", "who": 4873214862074861313}, {"text": "c", "who": 7}]


def as_parquet(path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.Table.from_pylist(NUMBERED), path)


NUMBERED_WRITERS = {
    "csv": lambda path: path.write_text("text,who\na,\nb,4873214862074861313\nc,7\n"),
    "csv.gz": lambda path: path.write_bytes(gzip.compress(b"text,who\na, \nb,4873214862074861313\nc,7\n")),
    "jsonl": lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in NUMBERED)),
    "jsonl.gz": lambda path: path.write_bytes(gzip.compress("\n".join(map(json.dumps, NUMBERED)).encode())),
    "json": lambda path: path.write_text(json.dumps(NUMBERED)),
    "parquet": as_parquet,
}


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("suffix", NUMBERED_WRITERS)
def test_numbers_beside_an_empty_cell_keep_their_digits(tmp_path, hub_cache, suffix, folder):
    """A column of integers in which one is missing would be of floats, which have 16 digits."""
    path = tmp_path / "corpus" / f"train.{suffix}"
    path.parent.mkdir()
    NUMBERED_WRITERS[suffix](path)
    frame, _ = read(path.parent if folder else path, subject="who")
    assert frame["subject"].tolist() == [None, "4873214862074861313", "7"]


def test_a_person_in_two_normal_forms_is_one(tmp_path):
    people = ["José", "Jose\u0301", " José ", "\u200b ", "", None, "Jose"]
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps({"text": "a", "who": who}) + "\n" for who in people))
    assert read(path, subject="who")[0]["subject"].tolist() == ["José"] * 3 + [None] * 3 + ["Jose"]


@pytest.mark.parametrize("name", ["train.txt.gz", "train.txt", "train.zip", "train.csv.gz"])
def test_a_folder_that_expands_beyond_the_bound_is_refused(tmp_path, hub_cache, name):
    (tmp_path / "corpus").mkdir()
    content = b"text\n" + b"a\n" * 5000
    if name.endswith("zip"):
        with zipfile.ZipFile(tmp_path / "corpus" / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("train.csv", content)
    else:
        (tmp_path / "corpus" / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(
        InputError, match=rf"dataset.source: .*{name}( holds more than|: allowed of compressed)"
    ):
        read(tmp_path / "corpus", max_bytes=1000)


def test_messages_of_the_library_are_not_passed_on(tmp_path, hub_cache, capfd):
    """It quotes in errors, and in its own log, what it cannot read."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: '*.jsonl'\n  encoding: utf-8\n  chunksize: 999\n---\n"
    )
    for number, row in enumerate(
        ('{"text": "secret a"}', '{"secret key": {"secret": 1}}', '{"text": ["secret"]')
    ):
        (tmp_path / "corpus" / f"{number}.jsonl").write_text(row + "\n")
    with pytest.raises(InputError, match=r"split train cannot be loaded: \w+$") as error:
        read(tmp_path / "corpus")
    assert "secret" not in str(error.value) + "".join(capfd.readouterr())


def test_labels_of_a_readme_are_those_of_a_folder(tmp_path, hub_cache):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.csv").write_text("text,label\na,1\nb,0\nc,\n")
    names = "names: {'0': World, '1': Sports}"
    features = f"- {{name: text, dtype: string}}\n  - {{name: label, dtype: {{class_label: {{{names}}}}}}}"
    (tmp_path / "corpus" / "README.md").write_text(f"---\ndataset_info:\n  features:\n  {features}\n---\n")
    assert read(tmp_path / "corpus", subject="label")[0]["subject"].tolist() == ["Sports", "World", None]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_class_names_that_a_file_of_datasets_holds(tmp_path, hub_cache, folder):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["World", "Sports"])})
    data = Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    (tmp_path / "corpus").mkdir()
    data.to_parquet(tmp_path / "corpus" / "train.parquet")
    path = tmp_path / "corpus" if folder else tmp_path / "corpus" / "train.parquet"
    assert read(path, label="label")[0]["label"].tolist() == ["Sports", "World"]


@pytest.mark.parametrize("tags", [[0, -1], None])
def test_words_without_a_tag_are_named(tmp_path, hub_cache, tags):
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    features = Features(
        {"words": Sequence(Value("string")), "tags": Sequence(ClassLabel(names=["O", "B-X"]))}
    )
    table = {"words": [["a", "b"]] * 2, "tags": [[0, 1], tags]}
    (tmp_path / "corpus").mkdir()
    Dataset.from_dict(table, features=features).to_parquet(tmp_path / "corpus" / "train.parquet")
    source = Source(source=str(tmp_path / "corpus"), text="words", label="tags")
    with pytest.raises(InputError, match=r"dataset\.label: row 1 of column 'tags' .* holds no list of text"):
        tabular.tagged_examples(source, "dataset")


def test_a_folder_with_a_script_is_an_error(tmp_path, hub_cache):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "corpus.py").write_text("raise SystemExit")
    with pytest.raises(InputError, match=r"dataset.source: .*corpus.* cannot be loaded: .*corpus.py"):
        read(tmp_path / "corpus")


def built(data):
    """What makes a data set, ready."""
    return types.SimpleNamespace(download_and_prepare=lambda: None, as_dataset=lambda split: data)


def fake_hub(monkeypatch):
    """A Hub of one data set, whose branch `main` is at commit aaaa…; it records what is asked for."""
    import datasets
    import huggingface_hub
    from datasets import ClassLabel, Dataset, Features, Value

    asked = []

    features = Features({"text": Value("string"), "label": ClassLabel(names=["World", "Sports"])})
    data = Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)

    def load_dataset_builder(path, name, revision, cache_dir):
        asked.append((path, name, revision))
        return built(data)

    def dataset_info(self, repository, revision):
        if revision != "main":
            raise OSError(f"no revision {revision}")
        return types.SimpleNamespace(sha="a" * 40)

    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    return asked


def test_data_set_of_the_hub_is_read_at_the_commit_that_is_recorded(monkeypatch):
    asked = fake_hub(monkeypatch)
    frame, origin = read("owner/name", label="label", config="plain")
    assert asked == [("owner/name", "plain", "a" * 40)]
    assert origin == {"revision": "a" * 40}
    assert frame["label"].tolist() == ["Sports", "World"]


def test_full_commit_is_not_looked_up(monkeypatch):
    asked = fake_hub(monkeypatch)
    assert read("owner/name", revision="b" * 40)[1] == {"revision": "b" * 40}
    assert asked[0][2] == "b" * 40


def test_unknown_revision_is_named(monkeypatch):
    fake_hub(monkeypatch)
    with pytest.raises(
        InputError, match=r"dataset\.source: owner/name@v9 cannot be resolved .* no revision v9"
    ):
        read("owner/name", revision="v9")


@pytest.fixture
def array(tmp_path):
    """Three rows of tokens of a small tokenizer, whose folder lies beside them."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(["the cat sat on the mat"] * 3, vocab_size=270)
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save_model(str(tmp_path / "tokenizer"))
    rows = [tokenizer.encode(text).ids[:5] for text in (" the cat sat", " the mat sat", "on the mat")]
    np.save(tmp_path / "rows.npy", np.array(rows, dtype=np.uint16))
    return tmp_path / "rows.npy", rows, tokenizer


def read_tokens(path, tokenizer):
    return tokens.examples(Source(source=str(path), tokenizer=str(tokenizer)), "dataset")


def test_a_damaged_tokenizer_is_named(array):
    folder = array[0].parent / "tokenizer"
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"dataset\.tokenizer: .*tokenizer cannot be read"):
        read_tokens(array[0], folder)


def test_tokens_are_kept_and_decoded(array):
    path, rows, tokenizer = array
    frame, origin = read_tokens(path, path.parent / "tokenizer")
    assert frame["tokens"].tolist() == rows
    assert frame["text"].tolist() == [tokenizer.decode(row) for row in rows]
    assert frame["id"].tolist() == ["0", "1", "2"]
    assert sorted(origin) == ["sha256", "tokenizer"]


def test_wrong_token_arrays_are_named(array, tmp_path):
    path, rows, _ = array
    good = path.parent / "tokenizer"
    np.save(tmp_path / "flat.npy", np.array(rows[0]))
    np.save(tmp_path / "float.npy", np.array(rows, dtype=float))
    np.save(tmp_path / "large.npy", np.array(rows) + 10**4)
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object))
    cases = [
        ("none.npy", good, "dataset.source: .*none.npy does not exist"),
        ("flat.npy", good, "holds 1 dimensions of int64; two dimensions of integers are needed"),
        ("float.npy", good, "holds 2 dimensions of float64"),
        ("large.npy", good, "dataset.tokenizer: .* knows ids below 268; .*large.npy holds ids from"),
        ("objects.npy", good, "objects.npy cannot be read as .npy"),
        ("rows.npy", tmp_path, "dataset.tokenizer: .* holds no tokenizer"),
    ]
    for name, tokenizer, message in cases:
        with pytest.raises(InputError, match=message):
            read_tokens(tmp_path / name, tokenizer)


TAGGED = [
    {"key": "a", "tokens": ["Ann", "Lee", "left"], "tags": ["B-PER", "I-PER", "O"]},
    {"key": "b", "tokens": ["Bye"], "tags": ["O"]},
]


def tagged(path, **columns):
    source = Source(source=str(path), **{"text": "tokens", "label": "tags", "id": "key"} | columns)
    return tabular.tagged_examples(source, "dataset")[0]


@pytest.mark.parametrize("suffix", ["jsonl", "json.gz", "parquet"])
def test_words_and_their_tags(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROWS", TAGGED)
    path = tmp_path / f"table.{suffix}"
    WRITERS[suffix](path)
    frame = tagged(path)
    assert frame["text"].tolist() == ["Ann Lee left", "Bye"]
    assert frame["tags"].tolist() == [["B-PER", "I-PER", "O"], ["O"]]
    assert frame["id"].tolist() == ["a", "b"] and frame["label"].isna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tags": ["O"]}, "dataset.label: .*t.jsonl: record 'a' has 3 words and 1 tags; as many are needed"),
        (
            {"tags": ["B-PER", "E-PER", "O"]},
            "dataset.label: .* record 'a' has an unknown tag; allowed are O, B-TYPE, I-",
        ),
        ({"tags": [1, 2, 0]}, "dataset.label: row 0 of column 'tags' of .* holds no list of text"),
        (
            {"tokens": ["Ann", "Lee Fox", "left"]},
            "dataset.text: .* record 'a' has a word that is empty or holds a space",
        ),
        ({"tokens": "Ann Lee left"}, "dataset.text: row 0 of column 'tokens' of .* holds no list of text"),
    ],
)
def test_errors_of_tagged_text_name_the_record_and_not_its_words(tmp_path, changes, message):
    path = written(tmp_path, "t.jsonl", json.dumps(TAGGED[0] | changes) + "\n")
    with pytest.raises(InputError, match=message) as error:
        tagged(path)
    assert "Ann" not in str(error.value) and "Fox" not in str(error.value)


def test_tags_of_a_data_set_of_the_hub_have_their_names(monkeypatch):
    import datasets
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    names = ClassLabel(names=["O", "B-PER", "I-PER"])
    features = Features(
        {"key": Value("string"), "tokens": Sequence(Value("string")), "ner_tags": Sequence(names)}
    )
    rows = {"key": ["a", "b"], "tokens": [row["tokens"] for row in TAGGED], "ner_tags": [[1, 2, 0], [0]]}
    data = Dataset.from_dict(rows, features=features)
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: built(data))
    frame = tagged("owner/name", label="ner_tags", revision="a" * 40)
    assert frame["tags"].tolist() == [row["tags"] for row in TAGGED]
