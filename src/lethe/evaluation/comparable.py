"""Scores of another model beside those of a model: of the same texts, tokens, classes and settings, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lethe.metrics.common.aggregates import true_classes
from lethe.system.arrays import NOT_PER_EXAMPLE
from lethe.system.errors import InputError
from lethe.system.quoting import class_name, quoted

Scores = dict[str, np.ndarray]
PER_TOKEN = ("logprob", "correct", "mu", "sigma", "mask")  # of a language model, (N, T)


def same_texts(other: Scores, scores: Scores, source: str | Path) -> Scores:
    """The other model's arrays of the same examples, in the same order, each token where it stands for this model.

    A model that was told an instruction before its prompts has them further on.

    Raises:
        InputError: an example is missing, or the models read other tokens, as those of another tokenizer, another
            `max_length` or another text are.
    """
    place = {name: row for row, name in enumerate(other["ids"])}
    absent = [name for name in scores["ids"] if name not in place]
    if absent:
        raise InputError(f"{source}: lacks {len(absent)} of the examples, first {quoted(absent[0])}")
    order = np.array([place[name] for name in scores["ids"]])
    found = {name: a if name in NOT_PER_EXAMPLE else a[order] for name, a in other.items()}
    differ = found["checksum"] != scores["checksum"]
    if "mask" in scores and not differ.any():
        differ = found["mask"].sum(axis=1) != scores["mask"].sum(axis=1)
    if "mask" in scores and not differ.any():
        found |= {name: moved(found, scores["mask"], name) for name in PER_TOKEN}
    if differ.any():
        raise InputError(
            f"{source}: other tokens are scored in {int(differ.sum())} texts, first {quoted(scores['ids'][differ][0])};"
            " needed are the same texts, tokenizer and length"
        )
    return found


def moved(scores: Scores, mask: np.ndarray, name: str) -> np.ndarray:
    """An array of the scored tokens of each text, as many as in `mask` (N, T), at the places that it says."""
    array = np.zeros(mask.shape, scores[name].dtype)
    array[mask] = scores[name][scores["mask"]]
    return array


def same_settings(other: Scores, scores: Scores, source: str | Path) -> None:
    """Raise InputError unless the arrays mean the same."""
    theirs, ours = (json.loads(str(one["settings"])) for one in (other, scores))
    for name in ours:
        if theirs.get(name) != ours[name]:
            raise InputError(
                f"{source}: score.{name} was {theirs.get(name)}, here it is {ours[name]}; needed are equal settings"
            )


def same_classes(other: Scores, scores: Scores, source: str | Path) -> Scores:
    """The other classifier's arrays, its classes in the order of these.

    Raises:
        InputError: its classes have other names, or an example has another class.
    """
    theirs, ours = other["classes"].tolist(), scores["classes"].tolist()
    if sorted(theirs) != sorted(ours):
        unlike = sorted({*theirs} ^ {*ours})
        raise InputError(
            f"{source}: its classes are others ({', '.join(map(class_name, unlike[:6]))}); needed are the same names"
        )
    name = true_classes(scores)
    index = np.array([*(ours.index(one) for one in theirs), -1])  # the last serves what is negative: no tag
    labels = np.where(other[name] < 0, other[name], index[np.clip(other[name], -1, None)])
    if labels.shape != scores[name].shape or (labels != scores[name]).any():
        raise InputError(f"{source}: its examples have other classes; needed are the same labels")
    back = [theirs.index(one) for one in ours]
    return other | {"classes": scores["classes"], name: labels, "logits": other["logits"][..., back]}
