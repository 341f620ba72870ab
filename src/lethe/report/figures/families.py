"""A family graph: which fact was asked to go, which facts are gone, and through which the asked one still follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lethe.deduction import Deduction
from lethe.report.collect import Results
from lethe.report.figures.style import literal, panels

CAPTION = (
    "One fact that was asked to go, in the first seed, and all facts from which it can follow; an arrow leads from "
    "each person to who is their relation. Dashed: it is gone. Blue: the facts that are still known and from which it "
    "follows all the same; then it was forgotten in name alone. Of all targets one is shown that is gone and follows "
    "in as many runs as any. What was guessed counts as known."
)
MOST = 9  # panels
LEARNT = ("forget", "forgotten", "retain")
LOOKS: dict[str, dict[str, Any]] = {  # what became of a fact -> its arrow
    "asked to go, gone": {"color": "#d55e00", "linewidth": 2.2, "linestyle": (0, (4, 2))},
    "asked to go, still known": {"color": "#d55e00", "linewidth": 2.2, "linestyle": "-"},
    "known, and the fact asked for follows from it": {"color": "#0072b2", "linewidth": 2.0, "linestyle": "-"},
    "known": {"color": "#b5b5b5", "linewidth": 0.9, "linestyle": "-"},
    "gone": {"color": "#555555", "linewidth": 1.1, "linestyle": (0, (1, 2))},
}


@dataclass(frozen=True)
class Knowledge:
    """Facts that the original knows, the numbers of those asked for, and by run of those that it has lost."""

    deduction: Deduction
    targets: list[int]
    lost: dict[str, set[int]]

    def fates(self, run: str, target: int) -> dict[int, str]:
        """What became of each fact that can take part in a deduction of the target."""
        lost = self.lost[run]
        through = self.deduction.proof(target, lost) - {target}
        found = {}
        for number in sorted(self.deduction.relevant(target)):
            if number >= self.deduction.count:
                continue
            if number == target:
                found[number] = f"asked to go, {'gone' if number in lost else 'still known'}"
            elif number in through:
                found[number] = "known, and the fact asked for follows from it"
            else:
                found[number] = "gone" if number in lost else "known"
        return found

    def told(self, run: str, target: int) -> str:
        """The same in words."""
        lost = self.lost[run]
        if target not in lost:
            return "not gone"
        through = len(self.deduction.proof(target, lost))
        if not through:
            return "gone, and does not follow"
        return f"gone, but follows from {through} fact{'' if through == 1 else 's'}"

    @property
    def example(self) -> int:
        """The target that is shown: one that is gone and follows, in as many runs as can be.

        Of these one that follows from two facts or more, and then the one that the fewest facts matter for.
        """

        def rank(target: int) -> tuple[int, int, int, int]:
            proofs = [
                len(self.deduction.proof(target, lost)) for lost in self.lost.values() if target in lost
            ]
            several = any(proof > 1 for proof in proofs)
            return -sum(map(bool, proofs)), -several, len(self.deduction.relevant(target)), target

        return min(self.targets, key=rank)


def families(results: Results) -> Figure | None:
    """A panel per run of the first seed, of one target; None where no facts were asked for."""
    known = knowledge(results)
    if known is None:
        return None
    figure, axes = panels(len(known.lost), height=3.3)
    target = known.example
    for axis, run in zip(axes, known.lost, strict=True):
        draw(axis, known, run, target)
    handles = [Line2D([], [], label=name, **look) for name, look in LOOKS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def knowledge(results: Results) -> Knowledge | None:
    """What the original knows and the other runs have lost, in the first seed."""
    if results.study.forget.strategy not in ("superficial", "deep"):
        return None
    seed = results.seeds[0]
    fact, target, sets = results.scores("original", seed, "fact", "target", "sets")
    before = results.examples("original", seed)["known"] == 1
    rows = np.flatnonzero(before & np.isin(sets, LEARNT) & (fact[:, 0] != ""))
    targets = [place for place, row in enumerate(rows) if target[row]]
    if not targets:
        return None
    runs = [run for run in results.compared if run != "original"][:MOST]
    lost = {
        run: set(np.flatnonzero(results.examples(run, seed)["known"][rows] == 0).tolist()) for run in runs
    }
    return Knowledge(Deduction([(str(a), str(r), str(b)) for a, r, b in fact[rows]]), targets, lost)


def draw(axis: Axes, known: Knowledge, run: str, target: int) -> None:
    """People on a circle, an arrow from each to who is their relation; of those that matter, which relation."""
    fates, facts = known.fates(run, target), known.deduction.facts
    people = sorted(
        {person for number in fates for person in (facts[number][0], facts[number][2])}, key=order
    )
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(people)) / len(people)
    place = {person: (np.cos(a), np.sin(a)) for person, a in zip(people, angles, strict=True)}
    drawn: dict[tuple[str, str], int] = {}
    for number, fate in sorted(fates.items(), key=lambda item: -[*LOOKS].index(item[1])):
        a, relation, b = facts[number]
        drawn[a, b] = drawn.get((a, b), 0) + 1
        bend = (
            0.14 * drawn[a, b]
        )  # to the left of where it leads, so that the way back lies on the other side
        look = LOOKS[fate] | {"arrowstyle": "-|>", "shrinkA": 9, "shrinkB": 9, "mutation_scale": 9}
        look["connectionstyle"] = f"arc3,rad={bend}"
        axis.annotate("", place[b], place[a], arrowprops=look)
        if fate not in ("known", "gone"):
            (x0, y0), (x1, y1) = place[a], place[b]
            middle = ((x0 + x1) / 2 + bend * (y1 - y0) / 2, (y0 + y1) / 2 - bend * (x1 - x0) / 2)
            box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
            axis.text(
                *middle,
                literal(relation),
                color=LOOKS[fate]["color"],
                fontsize=7,
                ha="center",
                va="center",
                bbox=box,
            )
    for person, (x, y) in place.items():
        axis.text(
            x, y, literal(person.rpartition(".")[2]), ha="center", va="center", fontsize=8,
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "#666666"},
        )  # fmt: skip
    axis.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
    axis.set_axis_off()
    axis.set_title(f"{run}: {known.told(run, target)}")


def order(person: str) -> tuple[int, str]:
    """People in the order of their numbers."""
    number = person.rpartition(".")[2][:-1]
    return (int(number) if number.isdigit() else 0, person)
