"""Shadow models: retrained without random halves of the texts, from which attacks learn what membership looks like.

`lethe.forget.shadow_sets` draws the halves; all seeds and runs of a study are attacked with the same models. Those of
U-LiRA learnt and were let forget halves of what is audited (`lethe.forget.audit_sets`), by the method they attack.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from lethe.metrics.lira import target_confidence
from lethe.system.errors import InputError
from lethe.system.quoting import quoted

ENOUGH = ("logits", "tags", "labels", "logprob", "mask", "loss")  # those that a confidence follows from


def unlearned(
    folders: Sequence[Path], seeds: Sequence[int], ids: np.ndarray, checksum: np.ndarray
) -> dict[str, np.ndarray]:
    """What S models that each of M methods let forget say of N examples; members are those that they had to forget.

    Args:
        folders: of the methods' scores, METHOD/seedN/scores.npz; all methods forget the same.
        seeds: of the models.
        ids, checksum: as of `gathered`.
    Returns:
        ulira_methods (M,), ulira_confidence (N, M, S), ulira_member (N, S), ulira_known (N,).
    Raises:
        InputError: as `gathered`.
    """
    found = []
    for folder in folders:
        paths = [folder / f"seed{seed}" / "scores.npz" for seed in seeds]
        sets = [scores_of(path)[0] for path in paths]
        audited = {name for scores in sets for name in scores["ids"][scores["sets"] == "forget"].tolist()}
        found.append(gathered(paths, ids, checksum, "forget", audited))
    return {
        "ulira_methods": np.array([folder.name for folder in folders]),
        "ulira_confidence": np.stack([of["shadow_confidence"] for of in found], axis=1),
        "ulira_member": found[0]["shadow_member"],
        "ulira_known": found[0]["shadow_known"],
    }


def scores_of(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Of a model's scores what a confidence follows from, and the confidences."""
    try:
        with np.load(path, allow_pickle=False) as file:  # reads only what is asked for
            names = [name for name in ENOUGH if name in file.files]
            scores = {name: file[name] for name in ("ids", "sets", "checksum", *names)}
        return scores, target_confidence(scores)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path}: no scores of a shadow model ({type(error).__name__})") from None


def gathered(
    paths: Sequence[Path],
    ids: np.ndarray,
    checksum: np.ndarray,
    member_set: str = "retain",
    among: set[str] | None = None,
) -> dict[str, np.ndarray]:
    """What S shadow models say of N examples.

    Args:
        paths: files scores.npz of the shadow models.
        ids: (N,) of the examples; those that shadow models do not divide are not known.
        checksum: (N,) of the tokens that were read of them.
        member_set: the set of what a model knew.
        among: ids of what is divided; None: all of `retain`, which a model knew, and of `forget`, which it did not.
    Returns:
        shadow_confidence (N, S) float64, shadow_member (N, S) bool, shadow_known (N,) bool.
    Raises:
        InputError: a file is missing, the shadow models are not of the same examples or read other tokens of them, or
            a value is not finite.
    """
    columns, member, known = [], [], None
    for path in paths:
        scores, sure = scores_of(path)
        split = np.isin(scores["sets"], ("retain", "forget"))
        divided = split if among is None else np.isin(scores["ids"], [*among])
        place = {name: row for row, name in zip(np.flatnonzero(divided), scores["ids"][divided], strict=True)}
        rows = np.array([place.get(name, -1) for name in ids])
        if known is not None and not np.array_equal(rows >= 0, known):
            raise InputError(
                f"{path}: other examples than those of {paths[0]}; score all shadow models alike"
            )
        known = rows >= 0
        differ = known & (scores["checksum"][rows] != checksum)
        if differ.any():
            first = quoted(ids[differ][0])
            raise InputError(f"{path}: read other tokens than the model, first of {first}; score all alike")
        confidence = np.where(known, sure[rows], 0.0)
        if not np.isfinite(confidence).all():
            first = ids[~np.isfinite(confidence)][0]
            raise InputError(
                f"{path}: the confidence of a shadow model is not finite, first in {quoted(first)}"
            )
        columns.append(confidence)
        member.append(known & (scores["sets"][rows] == member_set))
    return {
        "shadow_confidence": np.stack(columns, axis=1),
        "shadow_member": np.stack(member, axis=1),
        "shadow_known": np.asarray(known),
    }
