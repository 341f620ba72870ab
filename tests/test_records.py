import re
import subprocess
import sys

import pytest

from lethe.datasets.records import TEMPLATES, Options, examples, people, tagged_examples

PROGRAM = "from lethe.datasets.records import *; print(examples(Options(people=30), 5)[1]['sha256'])"


def test_records_are_the_same_in_another_process():
    here = examples(Options(people=30), 5)[1]["sha256"]
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == here
    assert examples(Options(people=30), 6)[1]["sha256"] != here


def test_more_people_and_more_records_change_no_one():
    few, _ = examples(Options(people=20), 0)
    many, _ = examples(Options(people=50, records=3), 0)
    kept = many[many["id"].isin(few["id"])].reset_index(drop=True)
    assert kept.equals(few)


def test_each_record_names_its_person_alone():
    frame, _ = examples(Options(people=60, records=2), 0)
    names = [person["name"] for person in people(60, 0)]
    assert len(set(names)) == 60
    for row in frame.itertuples():
        assert [name for name in names if name in row.text] == [
            names[int(row.subject.removeprefix("person-"))]
        ]
    assert frame["id"].is_unique
    assert frame["text"].is_unique
    assert frame["subject"].value_counts().eq(2).all()


FACTS = {
    "note": [r"born \d+ \w+ (19|20)\d\d", r"\b\d+ mg", r"\b[A-Z]{2}\d{5}\b"],
    "ticket": [r"\$\d+\.\d\d\b", r"card (ending in )?\d{4}\b", r"\d{3}-\d{3}-\d{4}|@|\d+ \w+"],
}


def test_each_record_holds_what_an_attacker_looks_for():
    frame, _ = examples(Options(people=200), 0)
    for row in frame.itertuples():
        for fact in FACTS[row.label]:
            assert re.search(fact, row.text), (row.id, fact)
        assert not re.search(r"[{}]|  |None|\\bnan\\b", row.text)


def test_templates_and_kinds_vary():
    frame, _ = examples(Options(people=200), 0)
    assert 60 < (frame["label"] == "note").sum() < 140
    skeletons = frame["text"].str.replace(r"[A-Z]\w+|\d+", "", regex=True)
    assert skeletons.nunique() > 190
    assert sum(len(groups) for groups in TEMPLATES.values()) == 6


@pytest.mark.parametrize("kind", ["note", "ticket"])
def test_kinds_can_be_chosen(kind):
    frame, _ = examples(Options(people=10, kinds=(kind,)), 0)
    assert set(frame["label"]) == {kind}


def test_tagged_records_say_the_same_and_their_entities_are_those_of_the_person():
    options = Options(people=30)
    plain, tagged = examples(options, 3)[0], tagged_examples(options, 3)[0]
    assert tagged["id"].equals(plain["id"]) and tagged["label"].isna().all()
    for whole, row, person in zip(plain["text"], tagged.itertuples(), people(30, 3), strict=True):
        words = row.text.split(" ")
        assert "".join(words) == "".join(whole.split())
        found = {}
        for word, tag in zip(words, row.tags, strict=True):
            if tag[0] == "B":
                found.setdefault(tag[2:], []).append(word)
            elif tag != "O":
                found[tag[2:]][-1] += " " + word
        allowed = {"PER": {person["name"], person["first"]}, "LOC": {person["street"], person["city"]}}
        allowed |= {"PHONE": {person["phone"]}, "MAIL": {person["mail"]}, "DATE": {person["birth"]}}
        assert person["name"] in found["PER"]
        for entity in ("LOC", "PHONE", "MAIL", "DATE"):
            assert set(found.get(entity, [])) <= allowed[entity]
        surnames = set(found["PER"]) - allowed["PER"]  # of the doctor
        assert all(f"Dr. {name}" in whole for name in surnames)
