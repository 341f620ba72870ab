"""Deep unlearning: do facts that were to be forgotten still follow from what a model knows?

A fact counts as known if greedy decoding answers its question rightly, to the end of the answer. Lost are facts that
the original knows and the model does not. What can be guessed counts as known: the retrained model says how much.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from lethe.deduction import Deduction
from lethe.metrics.common.aggregates import set_means
from lethe.system.streams import stream

NEEDS = ("fact", "correct")
LEARNT = ("forget", "forgotten", "retain")
DRAWS = 100  # of minimal sets of a target: there may be others, so that recall is a lower bound


def known(correct: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N,) bool, every scored token of an answer (N, T) is the greedy one."""
    return (correct | ~mask).all(axis=1)


def success(deduction: Deduction, targets: Collection[int], lost: set[int]) -> float:
    """Share of the targets that no longer follow (Wu et al., 2024, arXiv:2410.15153, by its definition).

    Args:
        targets, lost: numbers of facts of the deduction; what follows is deduced from those that are not lost.
    """
    return float(np.mean([not deduction.derivable(target, lost) for target in targets]))


def recall(lost: set[int], sets: Collection[frozenset[int]], count: int) -> tuple[float, frozenset[int]]:
    """Largest share of a minimal set that is lost, and that set: of equal ones the one of the largest accuracy."""
    return max(
        ((len(lost & one) / len(one), one) for one in sets),
        key=lambda pair: (pair[0], accuracy(lost, pair[1], count) if len(pair[1]) < count else 0.0),
    )


def accuracy(lost: Collection[int], wanted: Collection[int], count: int) -> float:
    """Share of the `count` facts beside those wanted that are not lost.

    Raises:
        ValueError: there is no other fact.
    """
    others = count - len(wanted)
    if others == 0:
        raise ValueError("all facts were to be lost; there is no other to keep")
    return 1 - len({*lost} - {*wanted}) / others


def values(scores, settings):
    return {"known": known(scores["correct"], scores["mask"]).astype(float)}


def aggregate(scores, values, settings, seed):
    """Known questions by set and, beside the original's answers, what deep unlearning asks for."""
    if not values:
        return {}
    found = set_means("known", values["known"], scores["sets"])
    if "known_before" not in scores:
        return found
    before = scores["known_before"] & np.isin(scores["sets"], LEARNT)
    before = np.concatenate(
        [np.flatnonzero(before & says_fact(scores)), np.flatnonzero(before & ~says_fact(scores))]
    )
    lost = {place for place, row in enumerate(before) if values["known"][row] == 0}
    return found | numbers(scores, before, lost)


def says_fact(scores) -> np.ndarray:
    return scores["fact"][:, 0] != ""


def numbers(scores, rows: np.ndarray, lost: set[int]) -> dict[str, float]:
    """deep_success, deep_recall, deep_accuracy (of facts alone: deep_accuracy_relations) and targets_gone.

    Args:
        rows: examples that the original knew, those first that say a fact; `lost` are places among them.
    """
    facts = int(says_fact(scores)[rows].sum())
    deduction = Deduction([(str(a), str(r), str(b)) for a, r, b in scores["fact"][rows[:facts]]])
    targets = [place for place in range(facts) if scores["target"][rows[place]]]
    if not targets:
        return {}
    of_facts = {place for place in lost if place < facts}
    shares: list[float] = []
    wanted: set[int] = set()
    for target in targets:
        draw = stream(0, "minimal sets", str(scores["ids"][rows[target]]))
        share, one = recall(of_facts, deduction.minimal_sets(target, DRAWS, draw), facts)
        shares.append(share)
        wanted |= one
    found = {
        "deep_success": success(deduction, targets, of_facts),
        "deep_recall": float(np.mean(shares)),
        "targets_gone": float(np.mean([target in lost for target in targets])),
    }
    for name, gone, count in (
        ("deep_accuracy_relations", of_facts, facts),
        ("deep_accuracy", lost, len(rows)),
    ):
        if count > len(wanted):
            found[name] = accuracy(gone, wanted, count)
    return found
