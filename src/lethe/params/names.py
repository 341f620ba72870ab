"""Names that mean the same in every study: tasks, runs that are not methods, and variants of runs."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
Task = Literal["classification", "tagging", "generation"]
TASKS: tuple[str, ...] = get_args(Task)
REFERENCES = ("base", "original", "retrain")
# The names of a study, a run and a variant, and the seed, are together one name of a folder: of a cluster's logs.
# Common file systems allow 255 bytes.
FOLDER = 240
VARIANT = "+"  # between the name of a run and that of its variant
SHADOW = "shadow"  # the shadow models; their seeds are not those of the study
BLIND = "blind"  # the attack without a model
RETRAIN = re.compile(r"retrain-\d+")  # further retrained models of a seed
