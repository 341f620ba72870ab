"""What each line of a request comes to, in a study of ten texts worked out by hand."""

import json

import pandas as pd
import pytest

from lethe.deletion.request_file import Line, read_request
from lethe.deletion.resolving import Texts, records_of, resolve, said
from lethe.deletion.same_text import holders
from lethe.system.errors import InputError

ANN = "Ann Lee of Oak Road was seen on Monday and paid nine pounds by card"
BOB = "Bob Day of Elm Street rang twice about the parcel that never came home"
ROWS = [  # id, text, subject, split, cluster
    ("a1", ANN, "ann", "train", 0),
    ("a2", ANN.replace("nine", "ten"), "ann", "train", 0),
    ("a3", "Ann wrote that all was well", "ann", "test", 1),
    ("a4", ANN.upper(), "carl", "train", 0),
    ("b1", BOB, "bob", "train", 2),
    ("b2", f"{BOB}  ", None, "", -1),
    ("c1", "the quick brown fox jumps over the lazy dog", "carl", "train", 3),
    ("d1", "nothing of all that is said here", "dora", "train", 4),
    (
        "general/1",
        f"a long page that quotes it: {BOB}, and goes on with other matters for a while",
        None,
        "general",
        5,
    ),
    ("general/2", "prose about nobody", None, "general", 6),
]
TABLE = pd.DataFrame(ROWS, columns=["id", "text", "subject", "split", "cluster"])
TEXTS = Texts(TABLE, ngram=3, similarity=0.5)


def one(asked, value, earlier=None, closed=True):
    (found,) = resolve([Line(1, asked, value)], TEXTS, earlier or {}, closed)
    return found


def test_a_record_and_its_near_duplicates():
    found = one("id", "a1")
    assert found.matches == {"id": ["a1"]}
    assert found.forget == ["a1", "a2"]
    assert found.cluster == ["a2"]
    assert found.others == ["a4"]  # another subject's text stays
    assert found.general == found.untrained == []


def test_half_a_cluster_is_said():
    found = one("id", "a1", closed=False)
    assert found.forget == ["a1"]
    assert found.cluster == ["a2"]
    assert "only part of a cluster" in said(found)
    assert "taken along" in said(one("id", "a1"))


def test_a_subject():
    found = one("subject", " ann")
    assert found.matches == {"subject": ["a1", "a2", "a3"]}
    assert found.forget == ["a1", "a2"]
    assert found.untrained == ["a3"]


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        (BOB, {"exact": ["b1"], "normalised": ["b2"]}),
        (BOB.lower(), {"normalised": ["b1", "b2"]}),
        (BOB.replace("twice", "once"), {"near": ["b1", "b2"]}),
        ("words that stand nowhere at all", {}),
    ],
)
def test_a_text(text, matches):
    found = one("text", text)
    assert found.matches == matches
    assert found.forget == (["b1"] if matches else [])
    assert found.untrained == (["b2"] if matches else [])
    assert found.general == (["general/1"] if matches else [])


def test_a_line_that_matches_nothing_says_so_and_forgets_nothing():
    for asked, value in (("id", "zz"), ("subject", "nobody"), ("text", "words that stand nowhere at all")):
        found = one(asked, value)
        assert said(found) == f"line 1 ({asked}): matches nothing"
        assert records_of([found], TABLE, {}) == []


def test_a_part_of_longer_texts_is_named_and_not_forgotten():
    found = one("text", "rang twice about the parcel")
    assert found.matches == {}
    assert found.forget == []
    assert found.others == ["b1", "b2"]
    assert found.general == ["general/1"]


def test_what_an_earlier_request_removed():
    found = one("subject", "ann", earlier={"a1": "R-1", "a2": "R-1"})
    assert found.forget == []
    assert found.earlier == {"R-1": ["a1", "a2"]}
    assert "earlier request R-1 2 ('a1', 'a2')" in said(found)


def test_everything_is_refused():
    lines = [Line(k, "subject", name) for k, name in enumerate(("ann", "bob", "carl", "dora"), 1)]
    found = resolve(lines, TEXTS, {}, True)
    with pytest.raises(InputError, match="all 6 examples"):
        records_of(found, TABLE, {})
    assert records_of(found[:1], TABLE, {}) == ["a1", "a2"]
    (all_left,) = resolve(lines[3:], TEXTS, dict.fromkeys(["a1", "a2", "a4", "b1", "c1"], "R-1"), True)
    assert all_left.everything


def test_no_answer_holds_a_text():
    lines = [Line(1, "text", ANN), Line(2, "text", BOB), Line(3, "subject", "Nobody At All")]
    answers = resolve(lines, TEXTS, {"b1": "R-1"}, True)
    shown = "\n".join(said(answer) for answer in answers).lower()
    assert not [w for w in ("oak", "elm", "monday", "parcel", "nobody") if w in shown]


def test_holders_agree_with_a_slow_reference():
    """Jaccard similarity and containment of sets of word n-grams, written out."""
    texts = TABLE["text"].tolist()

    def grams(text):
        words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
        return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}

    found = {(row, place): how for row, place, how in holders(texts, texts, 3, 0.5)}
    for i, a in enumerate(texts):
        for j, b in enumerate(texts):
            both = len(grams(a) & grams(b))
            near = both / len(grams(a) | grams(b)) >= 0.5
            within = both / len(grams(b)) >= 0.5
            assert ((i, j) in found) == (near or within)
            if (i, j) in found:
                assert (found[i, j] == "within") == (not near)


# ---------------------------------------------------------------- files


def written(folder, name, rows):
    path = folder / name
    if name.endswith("csv"):
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ROW = {"reference": "DSR-7", "date": "2026-11-29"}


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl"])
def test_a_file_is_read(tmp_path, name):
    rows = [ROW | {"id": "a1"}, ROW | {"text": ANN}, ROW | {"subject": "ann"}]
    request = read_request(written(tmp_path, name, rows))
    assert (request.reference, request.date) == ("DSR-7", "2026-11-29")
    assert request.lines == [Line(1, "id", "a1"), Line(2, "text", ANN), Line(3, "subject", "ann")]


@pytest.mark.parametrize(
    ("rows", "said_of_it"),
    [
        ([ROW], "line 1 fills 0 of id, text, subject"),
        ([ROW | {"id": "a", "text": "secret words"}], "line 1 fills 2 of"),
        ([ROW | {"id": "a"}, ROW | {"id": "b", "reference": "DSR-8"}], "reference: 2 values"),
        ([ROW | {"id": "a", "date": "29.11.2026"}], "date: is no day"),
        ([ROW | {"id": "a", "reference": "../secret"}], "reference: allowed are"),
        ([{"id": "a"}], "reference: 0 values"),
        ([ROW | {"id": ["secret"]}], "line 1: id holds a list"),
        ([], "holds no line"),
    ],
)
def test_a_faulty_file_ends_in_one_line_without_its_text(tmp_path, rows, said_of_it):
    with pytest.raises(InputError) as error:
        read_request(written(tmp_path, "r.jsonl", rows))
    assert said_of_it in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
