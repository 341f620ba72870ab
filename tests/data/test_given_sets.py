"""Sets that others made: which rows have which role, against files that say it."""

import json

import pytest
from hub_folder import CONFIGS, hub_folder

from lethe.data.parquet import read_table
from lethe.forget import forget
from lethe.params.data import Dataset
from lethe.prepare import prepare
from lethe.system.errors import InputError

SPLITS = {"forget": "forget10", "retain": "retain90"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return str(hub_folder(tmp_path_factory.mktemp("hub") / "data"))


def prepared(source, out, splits=SPLITS, **more):
    dataset = {"source": source, "prompt": "question", "text": "answer", "splits": splits} | more
    prepare({"task": "generation", "dataset": dataset, "seed": 3}, out)
    facts = json.loads((out / "prepared.json").read_text())
    return read_table(out / "examples.parquet").set_index("id"), facts


def sets(out, **wish):
    forget({"task": "generation", "forget": {"strategy": "given", **wish}}, 3, out, out / "forget")
    table = read_table(out / "forget/sets.parquet")
    return {name: sorted(of["id"]) for name, of in table.groupby("set")}


def names(config):
    return sorted(f"{config}/{place}" for place in range(len(CONFIGS[config])))


def test_every_row_has_the_role_of_its_file_and_nothing_is_left_out(source, tmp_path):
    """The facts about one author are near-duplicates of each other, and all stay."""
    probes = {
        "facts": {"config": "world_facts"},
        "other": {"config": "retain80", "text": "paraphrased_answer"},
    }
    table, facts = prepared(
        source, tmp_path, SPLITS | {"holdout": "holdout", "test": "unseen"}, probes=probes
    )
    wanted = {"forget10": "forget", "retain90": "retain", "holdout": "holdout", "unseen": "test"}
    wanted |= {"world_facts": "facts", "retain80": "other"}
    assert dict(table["split"]) == {id_: split for config, split in wanted.items() for id_ in names(config)}
    assert facts["dropped"] == {"empty": 0, "near_duplicates": 0, "left_over": 0}
    assert facts["counts"]["forget"] == 4 and facts["counts"]["facts"] == 5
    row = CONFIGS["forget10"][2]
    assert table.loc["forget10/2", "text"] == row["answer"]
    assert table.loc["forget10/2", "prompt"][0]["content"] == row["question"]
    assert table.loc["retain80/1", "text"] == CONFIGS["retain80"][1]["paraphrased_answer"]
    found = sets(tmp_path)
    assert found == {split: names(config) for config, split in wanted.items()}


def test_what_is_forgotten_in_requests_is_what_was_given(source, tmp_path):
    prepared(source, tmp_path)
    first, second = (sets(tmp_path, requests=2, request=k) for k in (1, 2))
    assert sorted(first["forget"] + second["forget"]) == names("forget10")
    assert second["forgotten"] == first["forget"]


def test_a_row_in_two_roles_is_named(source, tmp_path):
    with pytest.raises(
        InputError, match=r"dataset.splits.forget: row 'forget10/0' is 'full/36' of splits.retain, too \(4"
    ):
        prepared(source, tmp_path, SPLITS | {"retain": "full"})
    with pytest.raises(
        InputError, match=r"dataset.splits.holdout: row 'holdout/0' is 'holdout/0' of splits.test, too"
    ):
        prepared(source, tmp_path, SPLITS | {"holdout": "holdout", "test": "holdout"})


def test_files_are_named_by_their_role_and_slices_by_their_split(source, tmp_path):
    """A file has no configuration; of a configuration in parts each has rows of its own."""
    splits = {
        "forget": f"{source}/forget10.json",
        "retain": {"source": f"{source}/retain80.json"},
        "holdout": {"source": source, "config": "holdout", "split": "train[:3]"},
        "test": {"source": source, "config": "holdout", "split": "train[3:]"},
    }
    table, _ = prepared(source, tmp_path, splits)
    counts = table.index.str.rpartition("/").get_level_values(0).value_counts()
    assert dict(counts) == {"forget": 4, "retain": 32, "holdout/train[:3]": 3, "holdout/train[3:]": 5}


def test_of_a_list_the_other_sets_are_trained_on_and_no_row_twice(source, tmp_path):
    """forget10 are the last four of the eight rows of forget20: both lists hold what `full` holds."""
    everything = sorted(row["answer"] for row in CONFIGS["full"])
    for own, other, kept in (("forget10", "forget20", 4), ("forget20", "forget10", 0)):
        splits = {"forget": own, "retain": "retain80", "others": {other: other}}
        table, _ = prepared(source, tmp_path / own, splits)
        assert sorted(table["text"]) == everything
        assert set(table.index[table["split"] == "forget"]) == set(names(own))
        assert sum(table.index.str.startswith(other)) == kept


def test_what_a_split_does_not_say_is_as_in_the_dataset():
    dataset = Dataset.model_validate(
        {
            "splits": {
                "forget": {"source": "a/b", "config": "x"},
                "retain": {"config": "y", "text": "other"},
            },
            "source": "c/d",
            "revision": "0" * 40,
            "text": "answer",
        }
    )
    assert dataset.splits.forget.source == "a/b" and dataset.splits.retain.source == "c/d"
    assert (dataset.splits.forget.text, dataset.splits.retain.text) == ("answer", "other")
    assert dataset.splits.retain.revision == "0" * 40
    assert dataset.splits.absent == ["holdout", "validation", "test"]
    again = Dataset.model_validate(dataset.model_dump(mode="json"))
    assert again == dataset
