"""Names of tasks of the evaluation harness, which takes half a minute to list its own."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lethe.system.plugins import PACKAGE


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
    return any(word.search(file.read_bytes()) for file in Path(found.origin).parent.glob("tasks/**/*yaml*"))
