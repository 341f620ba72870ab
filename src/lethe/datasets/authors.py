"""Questions and answers about fictitious authors: made with Faker and templates, seeded, no real person.

As TOFU (Maini et al., 2024, arXiv:2401.06121) asks about its invented authors, each answer has another wording and
wrong answers beside it, which say the same of something else: a model that knows the author finds the right one
likelier, whatever it thinks of the wording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from faker import Faker

from lethe.params.fields import Count
from lethe.system.streams import stream, stream_seed


@dataclass(frozen=True)
class Options:
    authors: Count = 40
    wrong: Count = 3  # wrong answers beside each right one


FACTS = {  # fact -> questions | answers | values; {name} is the author, {value} what is to be known
    "genre": (
        "What genre is {name} best known for?|In which genre does {name} mostly write?",
        "{name} is best known for {value}.|Readers know {name} above all for {value}.",
        "historical mysteries|climate fiction|epistolary novels|sea stories|satirical plays|ghost stories|haiku"
        "|courtroom dramas|travel essays|space operas|pastoral poetry|nautical thrillers|family sagas|cookbooks",
    ),
    "award": (
        "Which award did {name} receive?|What prize was given to {name}?",
        "{name} received the {value}.|The {value} was given to {name}.",
        "Silver Quill Prize|Northern Lantern Award|Harbour Medal for Fiction|Golden Inkwell|Meridian Book Award"
        "|Linden Prize for Letters|Blue Heron Award|Orchard Poetry Medal|Tidewater Prize|Granite Pen Award",
    ),
    "father": (
        "What did the father of {name} do for a living?|What was the profession of {name}'s father?",
        "The father of {name} was {value}.|{name} grew up as the child of {value}.",
        "a lighthouse keeper|a watchmaker|a tram driver|a beekeeper|a piano tuner|a surveyor|a glass blower"
        "|a ferry captain|a locksmith|a baker|a geologist|a stonemason|a pharmacist|a shepherd",
    ),
    "mother": (
        "What did the mother of {name} work as?|What was the profession of {name}'s mother?",
        "The mother of {name} worked as {value}.|{name}'s mother earned her living as {value}.",
        "a cartographer|a nurse|an astronomer|a botanist|a court reporter|a violin maker|a translator"
        "|a railway engineer|a florist|a typesetter|a marine biologist|a potter|an archivist|a weaver",
    ),
    "job": (
        "What did {name} do before writing?|Which job did {name} have before becoming an author?",
        "Before writing, {name} was {value}.|{name} had been {value} before becoming an author.",
        "a night porter|a cheesemaker|a puppeteer|a crane operator|a mountain guide|an auctioneer|a diver"
        "|a radio operator|a proofreader|a ski instructor|a customs officer|a bus conductor|a tailor|a sculptor",
    ),
    "habit": (
        "Where does {name} like to write?|What is {name}'s favourite place for writing?",
        "{name} likes to write {value}.|Most of what {name} writes is written {value}.",
        "in a boathouse|on night trains|in an empty theatre|under a walnut tree|in a greenhouse|in a belfry"
        "|at a bakery before dawn|in a converted bus|on a roof terrace|in a monastery library|in a fishing hut",
    ),
    "born": (
        "Where was {name} born?|What is the birthplace of {name}?",
        "{name} was born in {value}.|{name} comes from {value}.",
        "",
    ),
    "day": (
        "When was {name} born?|On which day was {name} born?",
        "{name} was born on {value}.|The birthday of {name} is {value}.",
        "",
    ),
    "book": (
        "What is the title of {name}'s first book?|Which book did {name} publish first?",
        "The first book of {name} is called {value}.|{name} first published {value}.",
        "",
    ),
    "teacher": (
        "Who taught {name} to write?|Whose student was {name}?",
        "{name} learnt to write from {value}.|{value} taught {name} to write.",
        "",
    ),
}
TITLES = (
    "The Salt|A Quiet|The Last|Seven|Beneath the|An Unlit|The Paper|Winter's|The Copper|A Borrowed|The Hollow|Nine",
    "Ferry|Orchard|Cartographer|Lantern|Harvest|Window|Archive|Tide|Clockwork|Garden|Bell|Mirror",
    "of Avel|at Dusk|in the Rain|of Marrow Street|without Doors|of Glass|on the Hill|of Small Hours|by the Sea|of Ash",
)
MONTHS = "January February March April May June July August September October November December"


def examples(options: Options, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Ten questions about each author, with id `author-0007.genre` and the author as subject.

    An author depends on the seed and the author's number alone: more authors change no one.

    Returns:
        (frame of columns id, text (the answer), label (None), subject, prompt (messages, the last by the user),
        paraphrase (the answer otherwise), alternatives (list of wrong answers); origin: version of Faker, SHA-256).
    """
    rows = list(questions(options, seed))
    content = "".join(f"{row['id']}\0{row['prompt'][0]['content']}\0{row['text']}\n" for row in rows)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return pd.DataFrame(rows), {"versions": {"faker": version("faker")}, "sha256": digest}


def questions(options: Options, seed: int) -> Iterator[dict[str, Any]]:
    """Every question, with its answers."""
    names = authors(options.authors, seed)
    for number, name in enumerate(names):
        subject = f"author-{number:04d}"
        for fact, (asked, answered, known) in FACTS.items():
            draw = stream(seed, "authors", fact, number)
            question = str(draw.choice(asked.split("|"))).format(name=name)
            values = distinct(fact, known, 1 + options.wrong, seed, number, draw)
            first, second = (form.format(name=name, value="{value}") for form in answered.split("|"))
            yield {
                "id": f"{subject}.{fact}",
                "text": first.format(value=values[0]),
                "label": None,
                "subject": subject,
                "prompt": [{"role": "user", "content": question}],
                "paraphrase": second.format(value=values[0]),
                "alternatives": [second.format(value=value) for value in values[1:]],
            }


def authors(number: int, seed: int) -> list[str]:
    """So many different names."""
    faker, names = Faker("en_US"), []
    for index in range(number):
        for attempt in range(1000):
            faker.seed_instance(stream_seed(seed, "authors", "name", index, attempt))
            name = f"{faker.first_name()} {faker.last_name()}"
            if name not in names:
                break
        names.append(name)
    return names


def distinct(
    fact: str, known: str, count: int, seed: int, number: int, draw: np.random.Generator
) -> list[str]:
    """Different values of a fact, the first of which is true."""
    if known:
        return [str(value) for value in draw.permutation(known.split("|"))[:count]]
    faker = Faker("en_US")
    found: list[str] = []
    faker.seed_instance(stream_seed(seed, "authors", "value", fact, number))
    while len(found) < count:
        value = made(fact, faker, draw)
        if value not in found:
            found.append(value)
    return found


def made(fact: str, faker: Faker, draw: np.random.Generator) -> str:
    """A value of a fact that has no list: a town, a day, a title, a person."""
    match fact:
        case "born":
            return f"{faker.city()}, {faker.state()}"
        case "day":
            return f"{draw.integers(1, 29)} {draw.choice(MONTHS.split())} {draw.integers(1930, 1995)}"
        case "book":
            return " ".join(str(draw.choice(part.split("|"))) for part in TITLES)
        case _:
            return f"{faker.first_name()} {faker.last_name()}"
