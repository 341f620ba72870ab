"""The arrays of a model, scores.npz: how they are read and checked; which there are, `lethe.system.arrays` says."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from lethe.system import plugins
from lethe.system.arrays import COMMON, FILL, NOT_PER_EXAMPLE
from lethe.system.errors import InputError
from lethe.system.quoting import quoted

REQUIRED = "forget"  # the set without which nothing can be said; of others a study may have none


def load(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a scores.npz, checked: what a metric receives is there, of one length, and finite.

    Raises:
        InputError: names the file, the array and what is wrong with it.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            scores = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `lethe score` makes it") from None
    except (ValueError, EOFError, TypeError, BadZipFile) as error:
        raise InputError(f"{path}: is not an npz file of plain arrays: {error}") from None
    check_arrays(scores, path)
    check_sets(scores["sets"], path)
    check_finite(scores, path)
    return scores


def together(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of several sets as those of one."""
    return {
        key: one if key in NOT_PER_EXAMPLE else stacked([part[key] for part in parts], FILL.get(key, 0))
        for key, one in parts[0].items()
    }


def stacked(arrays: list[np.ndarray], fill: float = 0) -> np.ndarray:
    """Rows of all parts, padded at the end of every other dimension to the widest."""
    if arrays[0].ndim == 1:
        return np.concatenate(arrays)
    widest = np.max([a.shape[1:] for a in arrays], axis=0)
    missing = [[(0, 0), *((0, n) for n in widest - a.shape[1:])] for a in arrays]
    return np.concatenate([np.pad(a, m, constant_values=fill) for a, m in zip(arrays, missing, strict=True)])


def check_arrays(scores: dict[str, np.ndarray], path: Path) -> None:
    if "task" not in scores:
        raise InputError(f"{path}: does not say of which task the model is; score it anew")
    task = str(scores["task"])
    wanted = (*COMMON, *plugins.part("tasks", task, "ARRAYS"))
    missing = [name for name in wanted if name not in scores]
    if missing:
        raise InputError(f"{path}: lacks the arrays {', '.join(missing)} of a {task} model")
    examples = len(scores["ids"])
    for name in wanted:
        if name not in NOT_PER_EXAMPLE and len(scores[name]) != examples:
            raise InputError(f"{path}: {name} has {len(scores[name])} rows, ids {examples}; they must agree")
    try:
        json.loads(str(scores["settings"]))
    except ValueError:
        raise InputError(f"{path}: settings is not the JSON of score's settings") from None


def check_sets(sets: np.ndarray, path: Path) -> None:
    if not (sets == REQUIRED).any():
        raise InputError(f"{path}: no example of {REQUIRED}; needed is at least one")


def check_finite(scores: dict[str, np.ndarray], path: Path) -> None:
    """Raise InputError, which names an example, for a number that is not finite, of those that a task says it keeps."""
    mask = scores.get("mask")
    optional = [name for name in ("gradient_norm",) if name in scores]
    for name in (*plugins.part("tasks", str(scores["task"]), "ARRAYS"), *optional):
        if scores[name].dtype.kind != "f":
            continue
        bad = ~np.isfinite(scores[name])
        if name in ("logprob", "mu", "sigma"):
            bad &= mask
        elif name == "extraction_likelihood":
            bad &= scores["extracted"][:, None]
        if bad.any():
            examples = scores["ids"][bad.reshape(len(bad), -1).any(axis=1)]
            raise InputError(
                f"{path}: {name} of {len(examples)} examples is not finite, first {quoted(examples[0])}"
            )
