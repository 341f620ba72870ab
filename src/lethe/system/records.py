"""JSON files in which a step says what it made, read again: a hand, a merge or a disk may have changed them.

Shapes hold what is read of a file; it may hold more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from lethe.system.errors import InputError
from lethe.system.quoting import reason


class Cost(BaseModel):
    """cost.json: what a run took."""

    wall_seconds: float
    processor_seconds: float
    steps: int
    tokens: int
    examples: int
    peak_memory_bytes: int


class Times(BaseModel):
    """cost.json where it is read for times alone."""

    wall_seconds: float | None = None
    beforehand_seconds: float | None = None


class Run(BaseModel):
    """run.json: what a model was made from (`lethe.training.run_record`)."""

    settings: dict[str, Any]
    code: str
    commit: str | None
    modified: bool | None
    versions: dict[str, str | None]
    device: str
    threads: int


class Composed(BaseModel):
    """composed.json: by which rule a model answers (`lethe.models.composed`)."""

    rule: str


class Prepared(BaseModel):
    """prepared.json: what was read, and how it was split."""

    task: str
    labels: list[str]
    tokens: dict[str, dict[str, int]] = {}
    prompting: dict[str, Any] | None = None


class Forgotten(BaseModel):
    """forget.json: how many examples are in each set."""

    counts: dict[str, int] = {}


class Entry(BaseModel):
    """A number of a run over its seeds."""

    mean: float
    gap: dict[str, Any] = {}


class Purged(BaseModel):
    """purged.json: the files that `lethe purge` deleted of those that a certificate names."""

    purged: list[str]


class Comparison(BaseModel):
    """comparison.json: the runs of a study beside the retrained models (`lethe.compare`)."""

    runs: dict[str, dict[str, Entry]]
    columns: list[dict[str, Any]]
    memory: list[dict[str, Any]]
    verdicts: dict[str, dict[str, dict[str, Any]]]
    robustness: list[dict[str, Any]]


NUMBERS = TypeAdapter(dict[str, float])  # metrics.json of a run: metric -> value
COST, RUN, PREPARED = TypeAdapter(Cost), TypeAdapter(Run), TypeAdapter(Prepared)
FORGOTTEN, COMPARISON = TypeAdapter(Forgotten), TypeAdapter(Comparison)
COMPOSED, TIMES = TypeAdapter(Composed), TypeAdapter(Times)
PURGES = TypeAdapter(Purged)  # beside a certificate
SUMMARIES = TypeAdapter(dict[str, dict[str, dict[str, Entry]]])  # of a report: study -> run -> number


def read_record(path: str | Path, shape: TypeAdapter, advice: str = "`snakemake` makes it") -> Any:
    """What a step wrote, as the file has it.

    Args:
        advice: what to do about a file that is not there, or holds something else.
    Raises:
        InputError: the file cannot be read, or has another shape; one line names it and the place in it.
    """
    try:
        found = json.loads(Path(path).read_bytes())
        shape.validate_python(found)
        return found
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; {advice}") from None
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))[:80]
        where = f" at {place!a}" if place else ""
        raise InputError(f"{path}: is not what lethe writes{where}; {advice}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); {advice}") from None


def read_record_if_there(path: Path, shape: TypeAdapter) -> Any:
    """`read_record`, or {} where there is no such file."""
    return read_record(path, shape) if path.exists() else {}
