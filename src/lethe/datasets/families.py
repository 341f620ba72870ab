"""Families of fictitious people, in questions and answers: who is whose aunt, and what else is to be known of each.

Facts follow from each other (`lethe.deduction`), which makes them the material of deep unlearning: whoever forgets that
A is B's mother, and still knows that B is A's child, has forgotten nothing. Families are made with Faker, seeded, no
real person; or facts are read from a file, whose people get such names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from faker import Faker
from pydantic import BaseModel, Field, TypeAdapter

from lethe.deduction import RELATIONS, Deduction, Fact
from lethe.params.fields import Count
from lethe.system.errors import InputError
from lethe.system.records import read_record
from lethe.system.streams import stream, stream_seed

# children of each child of the first couple, of whom those that have some are married: nine people in all
SHAPES = ((1, 2), (0, 1, 1), (0, 0, 3))
Person = Annotated[int, Field(ge=0, strict=True)]  # place in the list of genders
MOST = 36  # facts about each of these families, at least


class Given(BaseModel):
    """A file of facts: who is whose relation, by their places in the list of genders."""

    gender: list[Literal["female", "male"]]
    facts: list[tuple[Person, str, Person]]


GIVEN = TypeAdapter(Given)
GIVE = "give `gender`, female or male of each person, and `facts`, a list of [a, relation, b]"


@dataclass(frozen=True)
class Options:
    families: Count = 8
    facts: Count = 24  # of each family that are asked about, at most 36
    biographies: bool = True  # also two questions about each person
    file: str | None = (
        None  # JSON with `facts` [a, relation, b], b being a's relation, and `gender` of each person
    )


def examples(options: Options, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Questions with id `family-003.fact-07` or `family-003.job-2`, the family as subject; those of a file are one.

    Each family has as many: facts + 18, or facts alone. A family depends on the seed and its own number alone.

    Returns:
        (frame of columns id, text (the answer), label (None), subject, prompt (messages, the last by the user), fact
        (a, relation, b), whose people are `3.2m` of family 3, or None; origin).
    Raises:
        InputError: there are too few facts in a family, or the file cannot be read.
    """
    if options.facts > MOST:
        raise InputError(f"dataset.options.facts: {options.facts}; allowed are 1 to {MOST}")
    groups = [family(number, options.facts, seed) for number in range(options.families)]
    if options.file is not None:
        groups.insert(0, ("file", *read(Path(options.file))))
    rows = [row for group in groups for row in questions(*group, options.biographies, seed)]
    content = "".join(f"{row['id']}\0{row['prompt'][0]['content']}\0{row['text']}\n" for row in rows)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return pd.DataFrame(rows), {"versions": {"faker": version("faker")}, "sha256": digest}


def family(number: int, count: int, seed: int) -> tuple[str, list[str], list[Fact]]:
    """Name of a family, its people, and so many facts about them, drawn from all that hold."""
    draw = stream(seed, "families", "facts", number)
    people, first = tree(number, draw)
    holding = sorted(Deduction(first).facts)
    chosen = sorted(draw.permutation(len(holding))[:count].tolist())
    return f"{number:03d}", people, [holding[place] for place in chosen]


def tree(number: int, draw: np.random.Generator) -> tuple[list[str], list[Fact]]:
    """People of a family, three generations, and who is whose parent and wife."""
    people: list[str] = []
    facts: list[Fact] = []

    def born(*parents: str) -> str:
        person = f"{number}.{len(people)}{draw.choice(['f', 'm'])}"
        people.append(person)
        for parent in parents:
            facts.append((person, "father" if parent.endswith("m") else "mother", parent))
        return person

    def couple(one: str) -> tuple[str, str]:
        other = f"{number}.{len(people)}{'f' if one.endswith('m') else 'm'}"
        people.append(other)
        husband, wife = (one, other) if one.endswith("m") else (other, one)
        facts.append((husband, "wife", wife))
        return one, other

    parents = couple(born())
    for children in SHAPES[int(draw.integers(len(SHAPES)))]:
        child = born(*parents)
        if children:
            both = couple(child)
            for _ in range(children):
                born(*both)
    return people, facts


def read(path: Path) -> tuple[list[str], list[Fact]]:
    """People and facts of a file."""
    try:
        content = read_record(path, GIVEN, GIVE)
    except InputError as error:
        raise InputError(f"dataset.options.file: {error}") from None
    people = [f"file.{place}{gender[0]}" for place, gender in enumerate(content["gender"])]
    if unknown := sorted({relation for _, relation, _ in content["facts"]} - {*RELATIONS}):
        raise InputError(
            f"dataset.options.file: {path}: {ascii(unknown[0])[:40]}; allowed are {', '.join(RELATIONS)}"
        )
    if beyond := [b for fact in content["facts"] for b in (fact[0], fact[2]) if b >= len(people)]:
        raise InputError(
            f"dataset.options.file: {path}: person {beyond[0]} has no gender; they are counted from 0"
        )
    facts = [(people[a], relation, people[b]) for a, relation, b in content["facts"]]
    if len({*facts}) < len(facts):
        raise InputError(f"dataset.options.file: {path}: a fact may be given once")
    return people, facts


def questions(
    name: str, people: list[str], facts: list[Fact], biographies: bool, seed: int
) -> Iterator[dict[str, Any]]:
    """What is asked about a family."""
    called, jobs, towns = named(people, seed)
    for place, (a, relation, b) in enumerate(facts):
        question = f"Who is {called[b]} to {called[a]}?"
        yield row(name, f"fact-{place:02d}", question, relation, [a, relation, b])
    for person in people if biographies else []:
        which = person.rpartition(".")[2][:-1]
        yield row(name, f"job-{which}", f"What is the job of {called[person]}?", jobs[person])
        yield row(name, f"town-{which}", f"In which town does {called[person]} live?", towns[person])


def row(family: str, what: str, question: str, answer: str, fact: list[str] | None = None) -> dict[str, Any]:
    subject = f"family-{family}"
    prompt = [{"role": "user", "content": question}]
    return {
        "id": f"{subject}.{what}",
        "text": answer,
        "label": None,
        "subject": subject,
        "prompt": prompt,
        "fact": fact,
    }


def named(people: list[str], seed: int) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Name, job and town of each person; no two of one family have one name."""
    faker = Faker("en_US")
    names: dict[str, str] = {}
    jobs, towns = {}, {}
    for person in people:
        faker.seed_instance(stream_seed(seed, "families", "person", person))
        first = faker.first_name_male if person.endswith("m") else faker.first_name_female
        name = f"{first()} {faker.last_name()}"
        while name in names.values():
            name = f"{first()} {faker.last_name()}"
        names[person] = name
        jobs[person] = faker.job().split(",")[0].split("/")[0].split("(")[0].strip().lower()
        towns[person] = faker.city()
    return names, jobs, towns
