"""Shadow models: retrained without random halves of the texts, from which attacks learn what membership looks like.

`lethe.forget.shadow_sets` draws the halves; all seeds and runs of a study are attacked with the same models.
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


def gathered(paths: Sequence[Path], ids: np.ndarray, checksum: np.ndarray) -> dict[str, np.ndarray]:
    """What S shadow models say of N examples.

    Args:
        paths: files scores.npz of the shadow models, in which `retain` is what a model was trained on and `forget`
            what it was not.
        ids: (N,) of the examples; those outside the splits that shadow models divide are not known.
        checksum: (N,) of the tokens that were read of them.
    Returns:
        shadow_confidence (N, S) float64, shadow_member (N, S) bool, shadow_known (N,) bool.
    Raises:
        InputError: a file is missing, the shadow models are not of the same examples or read other tokens of them, or
            a value is not finite.
    """
    columns, member, known = [], [], None
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as file:  # reads only what is asked for
                names = [name for name in ENOUGH if name in file.files]
                scores = {name: file[name] for name in ("ids", "sets", "checksum", *names)}
            sure = target_confidence(scores)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise InputError(f"{path}: no scores of a shadow model ({type(error).__name__})") from None
        divided = np.isin(scores["sets"], ("retain", "forget"))
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
        member.append(known & (scores["sets"][rows] == "retain"))
    return {
        "shadow_confidence": np.stack(columns, axis=1),
        "shadow_member": np.stack(member, axis=1),
        "shadow_known": np.asarray(known),
    }
