"""Names that mean the same in every study: tasks, runs that are not methods, and variants of runs."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from lethe.system import plugins

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]


def known_task(name: str) -> str:
    """Raise ValueError unless there is such a task."""
    if name not in plugins.names_in("tasks"):
        raise ValueError(f"{name} is no task; allowed are {', '.join(plugins.names_in('tasks'))}")
    return name


PACKAGED = sorted(file.stem for file in (plugins.PACKAGE / "tasks").glob("[!_]*.py"))
Task = Annotated[str, AfterValidator(known_task), Field(examples=PACKAGED)]
REFERENCES = ("base", "original", "retrain")
ROLES = ("forget", "retain", "holdout", "validation", "test")  # sets that a study may give
SETS = (*ROLES, "train", "forgotten", "general", "general_test")  # all that have a meaning in every study
# The names of a study, a run and a variant, and the seed, are together one name of a folder: of a cluster's logs.
# Common file systems allow 255 bytes.
FOLDER = 240
VARIANT = "+"  # between the name of a run and that of its variant
SHADOW = "shadow"  # the shadow models; their seeds are not those of the study
BLIND = "blind"  # the attack without a model
RETRAIN = re.compile(r"retrain-\d+")  # further retrained models of a seed


def retrained(count: int) -> list[str]:
    """Names of so many retrained models of a seed: retrain, retrain-2, …"""
    return ["retrain", *(f"retrain-{number}" for number in range(2, count + 1))][:count]
