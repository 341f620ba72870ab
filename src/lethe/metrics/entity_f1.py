"""F1 of the entities that a tagger finds, the measure of CoNLL-2003 (Tjong Kim Sang & De Meulder, 2003).

An entity is right if its first and last word and its type are. Tags are read as conlleval does, also where no B-
begins an entity: the numbers are those of seqeval in its default mode. nervaluate counts ("strict"), as seqeval has no
wheel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEEDS = ("logits", "tags")


def entity_counts(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """Numbers of entities.

    Args:
        true, predicted: N texts' tags: O, B-TYPE, I-TYPE; both of a text are equally long.
    Returns:
        (N, 3) int: right, true and predicted entities of each text.
    """
    from nervaluate import Evaluator

    rows = []
    for ours, theirs in zip(true, predicted, strict=True):
        types = sorted({tag[2:] for tag in [*ours, *theirs]} - {""})
        overall = Evaluator([list(ours)], [list(theirs)], types, loader="list").evaluate()["overall"]
        rows.append([getattr(overall["strict"], name) for name in ("correct", "possible", "actual")])
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def entity_f1(right: int, true: int, predicted: int) -> float:
    """2·right / (true + predicted), the harmonic mean of precision and recall over all entities.

    Returns:
        In [0, 1], 0 where there is no entity at all; higher is better on retain and test, near that of `retrain` on
        the forget set.
    """
    return 2 * right / max(true + predicted, 1)


def values(scores, settings):
    names, given = scores["classes"], scores["tags"] >= 0
    predicted = scores["logits"].argmax(axis=-1)
    texts = [
        [names[row[mask]].tolist() for row, mask in zip(indices, given, strict=True)]
        for indices in (scores["tags"], predicted)
    ]
    right, true, found = entity_counts(*texts).T
    return {"entities_right": right, "entities": true, "entities_predicted": found}


def aggregate(scores, values, settings, seed):
    """Over all entities of a set, every entity weighing the same."""
    sets, columns = scores["sets"], ("entities_right", "entities", "entities_predicted")
    return {
        f"entity_f1_{s}": entity_f1(*(int(values[column][sets == s].sum()) for column in columns))
        for s in np.unique(sets)
    }
