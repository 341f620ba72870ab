"""The metrics that tell most about a study of a task, and which way each of them is good."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lethe.system import plugins
from lethe.tasks import Column


def columns(task: str, available: Collection[str], probes: Sequence[str] = ()) -> list[Column]:
    """The metrics that tell most about a study, forgetting first, then membership, then utility, then probes.

    A probe may be what should stay, or be gone: near the retrained models is good in any case.
    """
    key, label = plugins.part("tasks", task, "PROBED") or ("loss", "loss")
    of_probes = [Column(f"{key}_{name}", f"{label}, {name.replace('_', ' ')}", "retrain") for name in probes]
    wanted = [*plugins.part("tasks", task, "columns")(available), *of_probes]
    return [column for column in wanted if column.key in available]


def memory(task: str, available: Collection[str]) -> list[Column]:
    """How much of the forget set a model still holds, the measure that comes first in figures first."""
    wanted = plugins.part("tasks", task, "memory")(available)
    return [column for column in wanted if column.key in available]


def main_attack(task: str) -> str:
    """Name of the score by which members are told from others first of all."""
    return plugins.part("tasks", task, "ATTACK")
