import json
import os

import pandas as pd
import pytest

from lethe.data.id_files import requested
from lethe.forget import forget
from lethe.system.errors import InputError

SPLITS = ["train"] * 12 + ["validation", "holdout", "test", "general", "general_test"]
SUBJECTS = [f"person {i // 2}" for i in range(12)] + [None] * 5


def prepared(folder, **columns):
    """Twelve training examples of six people, pairs of which are near-duplicates across people."""
    count = len(SPLITS)
    table = {
        "id": [f"r{i}" for i in range(count)],
        "text": [f"text number {i} about subject {i % 5}" for i in range(count)],
        "label": [f"class {i % 3}" for i in range(count)],
        "subject": SUBJECTS,
        "split": SPLITS,
        "cluster": [i % 10 for i in range(12)] + list(range(20, 25)),
    }
    (folder / "prepared").mkdir(exist_ok=True)
    pd.DataFrame(table | columns).to_parquet(folder / "prepared" / "examples.parquet")
    return folder / "prepared"


def chosen(folder, seed=0, **wish):
    """(ids to be forgotten, all sets, facts)."""
    out = folder / "forget"
    forget({"task": "generation", "forget": wish}, seed, prepared(folder), out)
    sets = pd.read_parquet(out / "sets.parquet").set_index("id")["set"]
    return set(sets.index[sets == "forget"]), sets, json.loads((out / "forget.json").read_text())


def test_every_example_is_in_one_set_and_only_training_examples_are_forgotten(tmp_path):
    ids, sets, facts = chosen(tmp_path, strategy="random", size=5)
    assert len(ids) == 5
    assert ids <= {f"r{i}" for i in range(12)}
    assert sets.iloc[12:].tolist() == SPLITS[12:]
    assert set(sets.iloc[:12]) == {"forget", "retain"}
    others = {"validation": 1, "holdout": 1, "test": 1, "general": 1, "general_test": 1}
    assert facts["counts"] == others | {"forget": 5, "retain": 7}


def test_the_seed_decides(tmp_path):
    drawn = [chosen(tmp_path, seed, strategy="random", size=5)[0] for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(map(frozenset, drawn))) == 3


def test_random_examples_are_equally_often_chosen(tmp_path):
    often = pd.Series(0, index=[f"r{i}" for i in range(12)])
    for seed in range(30):
        often[list(chosen(tmp_path, seed, strategy="random", size=4)[0])] += 1
    assert often.sum() == 120
    assert often.between(1, 10 + 4 * 2.6).all()  # binomial, 30 draws of 1/3: standard deviation 2.6


@pytest.mark.parametrize(("size", "expected"), [(4, 4), (3, 4), (1, 2)])
def test_subject_takes_all_records_of_people(tmp_path, size, expected):
    ids, _, facts = chosen(tmp_path, strategy="subject", size=size)
    people = {SUBJECTS[int(name[1:])] for name in ids}
    assert ids == {f"r{i}" for i in range(12) if SUBJECTS[i] in people}
    assert len(ids) == expected
    assert facts["subjects"] == expected // 2


def test_label(tmp_path):
    assert chosen(tmp_path, strategy="label", label="class 1")[0] == {"r1", "r4", "r7", "r10"}
    some = chosen(tmp_path, strategy="label", label="class 1", size=2)[0]
    assert len(some) == 2
    assert some < {"r1", "r4", "r7", "r10"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "r3\nr5\n\n"),
        ("a.txt", "\ufeffr3\r\n \r\nr5 \r\nr5\r\n"),
        ("a.csv", "id,why\nr3,x\nr5,y\n"),
        ("a.csv", "doc_id,id\n1,r3\n2,r5\n"),
        ("a.csv", "\ufeffid\r\nr3\r\n\r\nr5\r\nr5\r\n"),
        ("A.CSV", "id,why\nr3 ,asked\n r5,asked\n ,\n"),
        ("a.jsonl", '\ufeff{"id": "r3"}\n\n{"id": " r5"}\n'),
        ("a.json", '{"data": [{"who": "r3"}, {"who": "r5"}]}'),
    ],
)
def test_ids_of_a_request(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert chosen(tmp_path, strategy="ids", file=str(tmp_path / name))[0] == {"r3", "r5"}


def test_numbers_of_a_request_are_those_of_the_data(tmp_path):
    """A column of pandas in which one was missing is of floats."""
    for values in ([3.0, 5.0, None], [3, 5]):
        pd.DataFrame({"id": values}).to_parquet(tmp_path / "a.parquet")
        assert requested(tmp_path / "a.parquet", {"3", "5", "7"}) == {"3", "5"}


def test_space_around_an_id_is_kept_where_the_data_have_it(tmp_path):
    (tmp_path / "a.csv").write_text("id\n a\nb \n")
    assert requested(tmp_path / "a.csv", {" a", "a", "b"}) == {" a", "b"}


def test_an_id_in_another_normal_form_is_the_same(tmp_path):
    (tmp_path / "a.txt").write_text("Jose\u0301\nA\u030a\n")
    assert requested(tmp_path / "a.txt", {"José", "Å", "A\u030a"}) == {"José", "A\u030a"}


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.parquet"])
def test_a_pipe_is_no_request(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=rf"forget\.file: .*{name} is a pipe; a regular file is needed"):
        requested(tmp_path / name, {"r1"})


def test_ids_are_the_first_column_where_none_is_called_id(tmp_path):
    (tmp_path / "a.csv").write_text("doc,corpus\nr8,github\n")
    assert chosen(tmp_path, strategy="ids", file=str(tmp_path / "a.csv"))[0] == {"r8"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"r8\nr5\n", "a.csv: its header 'r8' is an id"),  # which would be kept, unsaid
        ("a.csv", b"", "a.csv: holds no row"),
        ("a.csv", b"id\nr8\nr5,x,y\n", "a.csv cannot be read as csv: Expected 1 fields in line 3, saw 3"),
        ("a.txt", b"\xff\xfe", "a.txt is text in UTF-16"),
        ("a.csv.gz", b"\x1f\x8b", "a.csv.gz cannot be expanded"),
    ],
)
def test_a_request_that_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"forget\.file: .*{message}"):
        chosen(tmp_path, strategy="ids", file=str(tmp_path / name))


@pytest.mark.parametrize("strategy", ["ids", "memorised"])
def test_a_damaged_file_is_named(tmp_path, strategy):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"a\.parquet cannot be read as parquet"):
        chosen(
            tmp_path,
            strategy=strategy,
            file=str(tmp_path / "a.parquet"),
            **{"size": 1} if strategy == "memorised" else {},
        )


def test_memorised_takes_the_highest_values_of_training_examples(tmp_path):
    values = {"id": ["r14", "r3", "r1", "r2", "r7"], "value": [9.0, 5.0, 7.0, 7.0, 1.0]}
    pd.DataFrame(values).to_parquet(tmp_path / "values.parquet")
    wish = {"strategy": "memorised", "file": str(tmp_path / "values.parquet")}
    assert chosen(tmp_path, size=2, **wish)[0] == {"r1", "r2"}
    assert chosen(tmp_path, size=1, **wish)[0] == {"r1"}
    assert chosen(tmp_path, size=3, **wish)[0] == {"r1", "r2", "r3"}


def test_closed_takes_near_duplicates_along(tmp_path):
    (tmp_path / "a.txt").write_text("r1\nr5\n")
    wish = {"strategy": "ids", "file": str(tmp_path / "a.txt")}
    assert chosen(tmp_path, **wish)[0] == {"r1", "r5"}
    assert chosen(tmp_path, closed=True, **wish)[0] == {"r1", "r5", "r11"}


def in_sequence(folder, count: int, **wish) -> list[pd.Series]:
    """Sets by id at every request."""
    return [chosen(folder, requests=count, request=k, **wish)[1] for k in range(1, count + 1)]


def test_requests_come_one_after_the_other(tmp_path):
    """Each asks for its part of what is forgotten in one; what is asked for later is kept until then."""
    whole = chosen(tmp_path, strategy="random", size=7)[0]
    steps = in_sequence(tmp_path, 3, strategy="random", size=7)
    parts = [set(sets.index[sets == "forget"]) for sets in steps]
    assert set().union(*parts) == whole and sum(map(len, parts)) == 7
    assert all(len(part) in (2, 3) for part in parts)
    for k, sets in enumerate(steps):
        assert set(sets.index[sets == "forgotten"]) == set().union(*parts[:k])
        assert set(sets.index[sets == "retain"]) == {f"r{i}" for i in range(12)} - set().union(
            *parts[: k + 1]
        )


def test_what_belongs_together_is_asked_for_at_once(tmp_path):
    for sets in in_sequence(tmp_path, 2, strategy="subject", size=8):
        forget = [int(name[1:]) for name in sets.index[sets == "forget"]]
        assert forget and {i ^ 1 for i in forget} == set(forget)  # both records of a person, 2k and 2k + 1
    (tmp_path / "ids").write_text("r0\nr1\n")  # r10 and r11 repeat them
    closed = {"strategy": "ids", "file": str(tmp_path / "ids"), "closed": True}
    parts = [set(sets.index[sets == "forget"]) for sets in in_sequence(tmp_path, 2, **closed)]
    assert sorted(map(sorted, parts)) == [["r0", "r10"], ["r1", "r11"]]


def test_analogues_teach_nothing_that_was_forgotten_before(tmp_path):
    """Not even by a near-duplicate that is kept."""
    pairing = {"analogues": 6}
    for sets in in_sequence(tmp_path, 2, strategy="random", size=4, pairing=pairing):
        analogues = set(pd.read_parquet(tmp_path / "forget" / "pairs.parquet")["analogue"])
        gone = set(sets.index[sets.isin(["forget", "forgotten"])])
        near = {f"r{(int(name[1:]) + 10) % 20}" for name in gone if int(name[1:]) % 10 < 2}
        assert not analogues & (gone | near)
    assert near


def test_more_requests_than_can_be_made(tmp_path):
    with pytest.raises(InputError, match=r"forget\.requests: 3, but 4 examples in 2 groups .* fewer$"):
        chosen(tmp_path, strategy="subject", size=4, requests=3, request=1)


def test_near_duplicates_of_the_forgotten_are_no_analogues(tmp_path):
    (tmp_path / "a.txt").write_text("r0\nr1\n")
    wish = {"strategy": "ids", "file": str(tmp_path / "a.txt")}
    _, _, facts = chosen(tmp_path, **wish)
    assert facts["pairing"] == {"candidates": 9, "excluded": 2, "general": 0}
    pairs = pd.read_parquet(tmp_path / "forget" / "pairs.parquet")
    assert pairs["id"].tolist() == ["r0", "r1"]
    assert not pairs["analogue"].isin(["r0", "r1", "r10", "r11"]).any()
    _, _, facts = chosen(tmp_path, pairing={"deduplicate": False}, **wish)
    assert facts["pairing"]["candidates"] == 11


def test_the_same_wish_is_the_same_bytes(tmp_path):
    contents = []
    for _ in range(2):
        chosen(tmp_path, strategy="random", size=5)
        contents.append([(tmp_path / "forget" / f"{n}.parquet").read_bytes() for n in ("sets", "pairs")])
    assert contents[0] == contents[1]


def test_faults_are_named_in_one_line(tmp_path):
    (tmp_path / "a.txt").write_text("r1\nr13\nr99\n")
    (tmp_path / "all.txt").write_text("\n".join(f"r{i}" for i in range(12)))
    (tmp_path / "ten.txt").write_text("\n".join(f"r{i}" for i in range(10)))
    (tmp_path / "none.txt").write_text("")
    pd.DataFrame({"id": ["r1"], "value": [1.0]}).to_parquet(tmp_path / "v.parquet")
    pd.DataFrame({"name": ["r1"]}).to_parquet(tmp_path / "w.parquet")
    pd.DataFrame({"id": ["r1"], "value": ["9"]}).to_parquet(tmp_path / "x.parquet")

    def file(name):
        return {"file": str(tmp_path / name)}

    faults = [
        ({"strategy": "random", "size": 12}, r"forget: .* 12 examples of the 12 .*; allowed: 1 to 11"),
        ({"strategy": "ids", **file("all.txt")}, r"forget: strategy ids chooses 12 examples of the 12"),
        ({"strategy": "ids", **file("none.txt")}, r"forget: strategy ids chooses 0 examples of the 12"),
        (
            {"strategy": "ids", "closed": True, **file("ten.txt")},
            r"12 examples with their near-duplicates of the 12",
        ),
        ({"strategy": "subject", "size": 13}, r"forget\.size: 13 records wanted, subjects have 12 in train"),
        (
            {"strategy": "label", "label": "x"},
            r"no training example has label 'x'; allowed: 'class 0', 'class 1', 'class 2'",
        ),
        (
            {"strategy": "label", "label": "class 1", "size": 5},
            r"forget\.size: 5 of label 'class 1' wanted, train has 4",
        ),
        (
            {"strategy": "ids", **file("a.txt")},
            r"2 of the 3 ids of .*a\.txt are not in the training set: entries 2, 3;",
        ),
        ({"strategy": "ids", **file("no.txt")}, r"forget\.file: .*no\.txt does not exist"),
        (
            {"strategy": "memorised", "size": 2, **file("no")},
            r"forget\.file: .*no does not exist",
        ),
        (
            {"strategy": "memorised", "size": 2, **file("v.parquet")},
            r"forget\.size: 2 wanted, .* values of 1 training",
        ),
        (
            {"strategy": "memorised", "size": 1, **file("w.parquet")},
            r"w\.parquet has no columns id and value; allowed: name",
        ),
        (
            {"strategy": "memorised", "size": 1, **file("x.parquet")},
            r"x\.parquet has values of type \w+; numbers are needed",
        ),
    ]
    for wish, message in faults:
        with pytest.raises(InputError, match=message) as error:
            chosen(tmp_path, **wish)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "forget").exists()


def test_subject_without_subjects_is_named(tmp_path):
    prepared(tmp_path, subject=[None] * len(SPLITS))
    cfg = {"task": "generation", "forget": {"strategy": "subject", "size": 2}}
    with pytest.raises(InputError, match=r"forget\.strategy: subject needs subjects"):
        forget(cfg, 0, tmp_path / "prepared", tmp_path / "forget")
