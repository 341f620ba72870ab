"""What follows from facts about families, and which facts must go so that one no longer follows.

A fact (a, relation, b) says that b is a's relation: ("3m", "father", "1m"). A person's last letter is the gender, f or
m, which counts as known. From facts others follow by rules. In deep unlearning (Wu et al., 2024, arXiv:2410.15153) a
target is forgotten when it does not follow from what is still known; a minimal set of it holds facts of which all must
be lost, and no fewer would do. A target is in each of its minimal sets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np

Fact = tuple[str, str, str]
Step = tuple[int, tuple[int, ...]]  # a fact, and those that it follows from

MALE = ("father", "husband", "brother", "uncle", "nephew")
FEMALE = ("mother", "wife", "sister", "aunt", "niece")
RELATIONS = (*MALE, *FEMALE, "child")
# y is x's …, if one of these holds of x, y and some z, all different: "z child y" says that y is z's child
RULES = {
    "husband": "y wife x | x child z & y child z | z mother x & z father y",
    "wife": "y husband x | x child z & y child z | z father x & z mother y",
    "father": "y child x | x mother z & z husband y | z brother x & z father y | z sister x & z father y",
    "mother": "y child x | x father z & z wife y | z brother x & z mother y | z sister x & z mother y",
    "child": "y father x | y mother x | y father z & z wife x | y mother z & z husband x | z father x & y brother z"
    "| z father x & y sister z | z mother x & y brother z | z mother x & y sister z | x child z & y brother z"
    "| x child z & y sister z",
    "brother": "y brother x | y sister x | z child x & z child y | x father z & y father z | x mother z & y mother z",
    "sister": "y brother x | y sister x | z child x & z child y | x father z & y father z | x mother z & y mother z",
    "uncle": "y nephew x | y niece x | z child x & z brother y",
    "aunt": "y nephew x | y niece x | z child x & z sister y",
    "nephew": "y uncle x | y aunt x | z child y & z brother x | z child y & z sister x",
    "niece": "y uncle x | y aunt x | z child y & z brother x | z child y & z sister x",
}
# As the authors' code has them, in which what follows from a nephew is misspelt.
PUBLISHED = RULES | {
    "uncle": "y niece x | z child x & z brother y",
    "aunt": "y niece x | z child x & z sister y",
}


class Deduction:
    """All that follows from some facts, by every step of a deduction.

    Facts are numbered: those given, in their order, then those that follow.
    """

    def __init__(self, facts: Sequence[Fact], rules: dict[str, str] = RULES):
        """Args: facts: each once.

        Raises:
            ValueError: a fact is given twice.
        """
        if len(set(facts)) < len(facts):
            raise ValueError("facts: each may be given once")
        self.count = len(facts)
        self.facts = list(facts)
        numbers = {fact: number for number, fact in enumerate(facts)}
        found: set[Step] = set()
        index = Index()
        clauses = parsed(rules)
        for fact in self.facts:  # which grows on the way
            index.add(fact)
            for conclusion, premises in applied(clauses, fact, index):
                if conclusion not in numbers:
                    numbers[conclusion] = len(self.facts)
                    self.facts.append(conclusion)
                found.add((numbers[conclusion], tuple(sorted(numbers[premise] for premise in premises))))
        self.steps = sorted(found)
        self.around: dict[int, set[int]] = {}  # what is relevant for a target, once it was asked for

    @cached_property
    def reasons(self) -> dict[int, list[tuple[int, ...]]]:
        """Fact -> what it follows from, each of which is enough."""
        found = defaultdict(list)
        for conclusion, premises in self.steps:
            found[conclusion].append(premises)
        return found

    def relevant(self, target: int) -> set[int]:
        """Facts that take part in a deduction of the target, itself among them."""
        if target in self.around:
            return self.around[target]
        found, waiting = {target}, [target]
        while waiting:
            for premises in self.reasons.get(waiting.pop(), []):
                waiting += [premise for premise in premises if premise not in found]
                found.update(premises)
        self.around[target] = found
        return found

    def closure(self, lost: Iterable[int] = (), among: set[int] | None = None) -> set[int]:
        """Numbers of all facts that follow without the lost ones of those given, which may follow themselves.

        Args:
            among: only deductions within these facts; None: all.
        """
        inside = range(len(self.facts)) if among is None else among
        gone = set(lost)
        known = {number for number in inside if number < self.count and number not in gone}
        using = self.using
        missing: dict[int, int] = {}
        waiting = list(known)
        while waiting:
            for place in using.get(waiting.pop(), ()):
                conclusion, premises = self.steps[place]
                if conclusion in known or (among is not None and conclusion not in among):
                    continue
                missing[place] = missing.get(place, len(premises)) - 1
                if missing[place] == 0:
                    known.add(conclusion)
                    waiting.append(conclusion)
        return known

    @cached_property
    def using(self) -> dict[int, list[int]]:
        """Fact -> places of the steps that it is a premise of."""
        found = defaultdict(list)
        for place, (_, premises) in enumerate(self.steps):
            for premise in premises:
                found[premise].append(place)
        return found

    def derivable(self, target: int, lost: Iterable[int]) -> bool:
        """Does the target follow without the lost facts?"""
        return target in self.closure(lost, self.relevant(target))

    def proof(self, target: int, lost: Iterable[int]) -> set[int]:
        """Numbers of given facts that are not lost, from which the target follows; itself, if it is not lost.

        Empty if it does not follow. One of several ways: round by round all that follows, by the first step to it.
        """
        gone = set(lost)
        reason: dict[int, tuple[int, ...]] = {
            number: () for number in self.relevant(target) if number < self.count and number not in gone
        }
        while target not in reason:
            found: dict[int, tuple[int, ...]] = {}
            for conclusion, premises in self.steps:
                if conclusion not in reason and reason.keys() >= {*premises}:
                    found.setdefault(conclusion, premises)
            if not found:
                return set()
            reason |= found
        used, waiting = set(), [target]
        while waiting:
            number = waiting.pop()
            if not reason[number]:
                used.add(number)
            waiting += reason[number]
        return used

    def minimal_set(self, target: int, draw: np.random.Generator) -> frozenset[int]:
        """A minimal set of a fact that is given, drawn at random: of every reason of what must go a premise goes, too.

        What is superfluous is then taken back, in random order.
        """
        gone, waiting = {target}, [target]
        while waiting:
            for premises in self.reasons.get(waiting.pop(), []):
                if gone.isdisjoint(premises):
                    chosen = premises[int(draw.integers(len(premises)))]
                    gone.add(chosen)
                    waiting.append(chosen)
        kept = {number for number in gone if number < self.count}
        for number in draw.permutation(sorted(kept - {target})).tolist():
            if not self.derivable(target, kept - {number}):
                kept.remove(number)
        return frozenset(kept)

    def minimal_sets(self, target: int, draws: int, draw: np.random.Generator) -> list[frozenset[int]]:
        """The different ones of so many draws, the smallest first; there may be others."""
        found = {self.minimal_set(target, draw) for _ in range(draws)}
        return sorted(found, key=lambda one: (len(one), sorted(one)))


class Index:
    """Facts by relation, and one of the people in it."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, int, str], list[Fact]] = defaultdict(list)

    def add(self, fact: Fact) -> None:
        for place in (0, 2):
            self.of[fact[1], place, fact[place]].append(fact)


Clause = tuple[str, list[tuple[str, str, str]]]  # relation of the conclusion "x relation y", and premises


def parsed(rules: dict[str, str]) -> dict[str, list[tuple[Clause, int]]]:
    """Relation -> clauses that have it in a premise, and which premise."""
    found = defaultdict(list)
    for relation, ways in rules.items():
        for way in ways.split("|"):
            premises = [(a, r, b) for a, r, b in (one.split() for one in way.split("&"))]
            for place, premise in enumerate(premises):
                found[premise[1]].append(((relation, premises), place))
    return found


def applied(
    clauses: dict[str, list[tuple[Clause, int]]], fact: Fact, index: Index
) -> Iterator[tuple[Fact, list[Fact]]]:
    """What follows from a fact and from those of the index, and the premises."""
    for (relation, premises), place in clauses.get(fact[1], ()):
        people = {premises[place][0]: fact[0], premises[place][2]: fact[2]}
        others = premises[:place] + premises[place + 1 :]
        for bound, used in completed(people, others, index):
            who = bound["x"], bound["y"]
            if len(set(bound.values())) == len(bound) and fits(relation, who[1]):
                yield (who[0], relation, who[1]), [fact, *used]


def completed(
    people: dict[str, str], others: list, index: Index
) -> Iterator[tuple[dict[str, str], list[Fact]]]:
    """All ways in which the other premise, if there is one, holds too."""
    if not others:
        yield people, []
        return
    ((a, relation, b),) = others
    place = 0 if a in people else 2
    for fact in index.of.get((relation, place, people[a if place == 0 else b]), ()):
        bound = {a: fact[0], b: fact[2]}
        if all(people.get(name, who) == who for name, who in bound.items()):
            yield people | bound, [fact]


def fits(relation: str, person: str) -> bool:
    """Has the person the gender of the relation?"""
    return relation == "child" or (relation in MALE) == person.endswith("m")
