"""Tasks of the evaluation harness, which takes half a minute to list its own."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

from pydantic import model_validator

from lethe.params.fields import Size
from lethe.params.sources import kind
from lethe.params.strict_model import Abbreviated
from lethe.system.plugins import PACKAGE


class HarnessTask(Abbreviated):
    """A task of the evaluation harness, and how it is asked."""

    SHORT_FOR: ClassVar[str] = "task"

    task: str
    """A name of the harness or of evaluation/harness_tasks, or a YAML file."""
    shots: Size | None = None
    """Examples that come before each question; null: as many as the task says, else none."""
    chat: bool = False
    """By the tokenizer's chat template, examples as turns of the conversation; or as the task's plain text."""
    forget: bool = False
    """What it asks is to be forgotten: its numbers are named forget_TASK, and lower is better."""
    data: str | None = None
    """Hub id, or a folder in the Hub's layout, in place of the task's own data."""
    revision: str | None = None
    """Hub: branch, tag or commit of the data; null: as the task says."""

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if self.task.endswith(".yaml") and (self.data or self.revision):
            raise ValueError(f"data, revision: are for names; {self.task} says itself where its data are")
        if self.data is not None and kind(self.data) not in ("folder", "hub"):
            raise ValueError(f"data: {self.data!r}; allowed are a folder in the Hub's layout and a Hub id")
        return self

    def named(self, task: str) -> str:
        """How numbers of a task are called, which are asked for as this says."""
        how = [f"{self.shots}_shot"] * (self.shots is not None) + ["chat"] * self.chat
        return "_".join(["forget"] * self.forget + [task] + how)


def own_tasks() -> list[str]:
    """Tasks that come with this package."""
    return sorted(file.stem for file in (PACKAGE / "evaluation/harness_tasks").glob("*.yaml"))


@cache
def is_task(name: str) -> bool:
    """Is it a YAML file, a task of this package, or a name that stands in a file of the harness, if it is installed?"""
    found = find_spec("lm_eval")
    if name.endswith(".yaml") or name in own_tasks() or found is None or found.origin is None:
        return True
    word = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])".encode())
    return word.search(files_of(Path(found.origin).parent / "tasks")) is not None


@cache
def files_of(folder: Path) -> bytes:
    """All YAML files of a folder, one after the other: thousands, which are read once."""
    return b"\n".join(file.read_bytes() for file in folder.glob("**/*yaml*") if file.is_file())
