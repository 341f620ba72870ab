"""Records of fictitious people, as a clinic and a shop would keep them: made with Faker, seeded, no real person.

Each record states what an attacker would look for: name, birth date, address, telephone, insurance number, dose,
amount paid, digits of a card. Sentences vary, so that a record is not known from its template alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from string import Formatter
from typing import Any, Literal

import numpy as np
import pandas as pd
from faker import Faker

from lethe.params.fields import Count
from lethe.system.streams import stream, stream_seed


@dataclass(frozen=True)
class Options:
    people: Count = 400
    records: Count = 1  # of each person
    kinds: tuple[Literal["note", "ticket"], ...] = ("note", "ticket")  # medical notes, shop tickets


VALUES = {
    "symptom": "a dry cough|a swollen left knee|tightness in the chest|a burning pain in the wrist|hay fever"
    "|dizziness after meals|numb fingers at night|a rash on both arms|a stiff neck|blurred vision|a sore hip"
    "|ringing in one ear|poor sleep|a migraine behind the right eye|shortness of breath|an itchy scalp|heartburn"
    "|back pain after lifting boxes|a twisted ankle|a lingering fever|cramps in the calf|a racing heart",
    "drug": "naproxen|metformin|lisinopril|sertraline|amoxicillin|omeprazole|ibuprofen|warfarin|cetirizine"
    "|prednisone|gabapentin|tramadol|insulin|codeine|atenolol|diazepam|ramipril|fluoxetine",
    "dose": "5|10|20|25|40|50|75|100|150|200|250|300|500|750",
    "item": "the cordless drill|the winter coat|the coffee grinder|the baby monitor|the garden hose|the sofa"
    "|the used laptop|the bread maker|the phone case|the electric kettle|the yoga mat|the desk lamp|the tent"
    "|the bicycle helmet|the guitar amplifier|the pressure cooker|the office chair|the camera",
    "problem": "arrived broken|never arrived|was billed twice|came in the wrong colour|smelled of smoke|did not fit"
    "|stopped working after a week|had a missing part|was left with a neighbour|leaked in the box"
    "|was sent to an old address|had no instructions",
}
ENTITIES = {  # the part of a record that is an entity -> its type
    "name": "PER", "first": "PER", "doctor": "PER", "street": "LOC", "city": "LOC", "birth": "DATE", "phone": "PHONE",
    "mail": "MAIL", "insurance": "ID", "ticket": "ID", "card": "CARD",
}  # fmt: skip
WORDS = re.compile(r"\w+(?:\.\w+)*|[^\w\s]")
TEMPLATES = {  # a record has one sentence of each group, in this order
    "note": (
        "Patient {name}, born {birth}, of {street}."
        "|{name} of {city}, born {birth}, was seen today."
        "|Seen today: {name}, {job}, born {birth}."
        "|Visit of {name}, {street}, born {birth}.",
        "{He} complained of {symptom} and got {drug}, {dose} mg."
        "|Dr. {doctor} noted {symptom} and put {first} on {drug} {dose} mg."
        "|Because of {symptom}, Dr. {doctor} prescribed {dose} mg of {drug}."
        "|For {symptom} {he} now takes {drug}, {dose} mg daily.",
        "Insurance number {insurance}, telephone {phone}."
        "|Call {phone}; insured under {insurance}."
        "|Bill insurer {insurance}; reach {him} on {phone}."
        "|Insured as {insurance}. Write to {mail}.",
    ),
    "ticket": (
        "Ticket {ticket}: {name} from {city} says that {item} {problem}."
        "|{name} of {city} wrote that {item} {problem}."
        "|Customer {name}, {street}, reports that {item} {problem}."
        "|{name}, {job}, complains that {item} {problem}.",
        "A refund of ${amount} goes to the card ending in {card}."
        "|{He} paid ${amount} with card {card}."
        "|We owe {first} ${amount} on card {card}."
        "|The card ending in {card} was charged ${amount}.",
        "Call {first} at {phone}."
        "|{He} now lives at {street}; telephone {phone}."
        "|Answer to {mail}."
        "|Send another to {street} and ring {phone}.",
    ),
}
MONTHS = "January February March April May June July August September October November December"


def examples(options: Options, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Records with id `person-0007.0`, the person as subject, and the kind of record as label.

    A person and the records depend on the seed and the person's number alone: more people change no one.

    Returns:
        (frame of str columns id, text, label, subject, dict origin): the origin holds the version of
        Faker and the SHA-256 of the ids and texts.
    """
    rows = [
        (name, "".join(text for text, _ in parts), kind, subject)
        for name, parts, kind, subject in records(options, seed)
    ]
    return pd.DataFrame(rows, columns=["id", "text", "label", "subject"]), origin(rows)


def tagged_examples(options: Options, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The same records word by word, with the tag of each word in place of a label.

    Marks are words of their own, but not within an entity.

    Returns:
        (frame of columns id, text, label (None), subject, tags (lists of str), dict origin).
    """
    rows = []
    for name, parts, _, subject in records(options, seed):
        words: list[str] = []
        tags: list[str] = []
        for text, entity in parts:
            found = text.split() if entity else WORDS.findall(text)
            words += found
            tags += [f"{'I' if place else 'B'}-{entity}" if entity else "O" for place in range(len(found))]
        rows.append((name, " ".join(words), None, subject, tags))
    return pd.DataFrame(rows, columns=["id", "text", "label", "subject", "tags"]), origin(rows)


def origin(rows: list[tuple]) -> dict[str, Any]:
    """Version of Faker, and SHA-256 of the ids and texts."""
    content = "".join(f"{name}\0{text}\n" for name, text, *_ in rows)
    return {"versions": {"faker": version("faker")}, "sha256": hashlib.sha256(content.encode()).hexdigest()}


def records(options: Options, seed: int) -> Iterator[tuple[str, list[tuple[str, str | None]], str, str]]:
    """Id, what is written, kind and person of each record."""
    for number, person in enumerate(people(options.people, seed)):
        for record in range(options.records):
            draw = stream(seed, "records", "record", number, record)
            kind = str(draw.choice(options.kinds))
            subject = f"person-{number:04d}"
            yield f"{subject}.{record}", written(kind, person, draw), kind, subject


def people(number: int, seed: int) -> list[dict[str, str]]:
    """What is lasting about each of so many people with different names."""
    faker, found, names = Faker("en_US"), [], set()
    for index in range(number):
        for attempt in range(1000):
            faker.seed_instance(stream_seed(seed, "records", "person", index, attempt))
            person = one_person(faker)
            if person["name"] not in names:
                break
        names.add(person["name"])
        found.append(person)
    return found


def one_person(faker: Faker) -> dict[str, str]:
    """Name, pronouns, birth date, address, job, telephone, insurance number and mail address of nobody."""
    male = faker.pybool()
    first, last = faker.first_name_male() if male else faker.first_name_female(), faker.last_name()
    month = faker.random_element(MONTHS.split())
    mark = faker.random_element(("", ".", "_"))
    job = faker.job().split(",")[0].split("/")[0].split("(")[0].strip().lower()
    letters = faker.random_uppercase_letter() + faker.random_uppercase_letter()
    return {
        "name": f"{first} {last}",
        "first": first,
        "he": "he" if male else "she",
        "him": "him" if male else "her",
        "birth": f"{faker.random_int(1, 28)} {month} {faker.random_int(1940, 2004)}",
        "street": f"{faker.random_int(1, 9899)} {faker.street_name()}",
        "city": faker.city(),
        "job": job,
        "phone": f"{faker.random_int(201, 989)}-{faker.random_int(200, 999)}-{faker.random_int(0, 9999):04d}",
        "insurance": f"{letters}{faker.random_int(10**4, 10**5 - 1)}",
        "mail": f"{first}{mark}{last}{faker.random_int(1, 99)}@{faker.free_email_domain()}".lower(),
        "doctor": faker.last_name(),
    }


def written(kind: str, person: dict[str, str], draw: np.random.Generator) -> list[tuple[str, str | None]]:
    """One record: a template of each group, filled with the person and with what happened this time.

    Its parts in order, which make up the text, each with the type of entity that it is, None if it is none.
    """
    values = {key: str(draw.choice(choices.split("|"))) for key, choices in VALUES.items()}
    values |= {"card": f"{draw.integers(10000):04d}", "ticket": str(draw.integers(10**4, 10**5))}
    values |= {"amount": f"{draw.integers(11, 900)}.{draw.integers(100):02d}"}
    values |= person | {"He": person["he"].capitalize()}
    template = " ".join(str(draw.choice(group.split("|"))) for group in TEMPLATES[kind])
    parts: list[tuple[str, str | None]] = []
    for literal, field, *_ in Formatter().parse(template):
        parts.append((literal, None))
        if field:
            parts.append((values[field], ENTITIES.get(field)))
    return parts
