"""Names of metrics.json, as far as they can be known before anything is measured."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from lethe.system import plugins

SETS = ("forget", "forgotten", "retain", "holdout", "test", "general")  # of which metrics are means
ATTACKED = re.compile(r"_(auc|tpr|fpr|balanced_accuracy)(_|$)")
TEXT = re.compile(r"\"(\S+?)\"")  # a text in a file of Python, if it may be part of a name


@cache
def words(task: str, beside: tuple[Path, ...]) -> frozenset[str]:
    """Words of all names that a metric of the task may write: those of texts in the files of metrics.

    Args:
        beside: the folders of plug-ins in use, without which what is kept would be of others.
    """
    able = plugins.able("metrics", task)
    files = [plugins.file_of("metrics", name) for name in able]
    files += (plugins.PACKAGE / "metrics/common").glob("*.py")
    texts = {text for file in files for text in TEXT.findall(file.read_text(encoding="utf-8"))}
    return frozenset(word for text in {*texts, *able, *SETS} for word in re.findall(r"[a-z0-9]+", text))


def sets_of_metric(name: str) -> tuple[str, ...]:
    """Sets beside forget and retain without which there is no number of this name."""
    of = [held for held in ("test", "holdout") if name.endswith(f"_{held}")]
    if ATTACKED.search(name) or name == "memorization_accuracy_excess":
        of.append("test")
    if name.startswith(("attack_", "transfer_", "rmia")) or name.endswith("_balanced_accuracy"):
        of.append("holdout")
    return tuple(dict.fromkeys(of))


def unmeasured(name: str, task: str) -> str | None:
    """Which word of a name no metric of the task writes, as a phrase; None if there is none."""
    for word in name.split("_"):
        if word not in words(task, tuple(plugins.in_use)) and not re.fullmatch(r"[0-9.]+", word):
            return f"no metric of {task} writes {word!r}"
    return None
