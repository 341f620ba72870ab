"""Data of the tasks of this folder: files of JSON lines beside them, read by the evaluation harness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def rows(file: str, **_: Any):
    """The lines of a file of this folder as a data set with the one split `test`."""
    from datasets import Dataset, DatasetDict

    lines = (Path(__file__).parent / file).read_text(encoding="utf-8").splitlines()
    return DatasetDict({"test": Dataset.from_list([json.loads(line) for line in lines])})
