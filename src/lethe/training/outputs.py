"""What a training job leaves: the model, its pin, the trace of its steps, the checks of its epochs, what it cost."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lethe import models
from lethe.system import files
from lethe.training.engine import Progress


def save_run(
    out: Path, model, tokenizer, progress: Progress | None, spent: dict[str, float] | None = None,
    parts: Sequence[Progress] = (), beforehand: dict[str, float] | None = None, beside: Path | None = None,
) -> None:  # fmt: skip
    """Write the outputs of a training job but run.json.

    Args:
        progress: of the job; None if nothing was trained, which took `spent`: wall_seconds, processor_seconds.
        parts: of models trained on the way, whose work is part of the run's cost.
        beforehand: work that is none of the run's but came before it, which stands apart in its cost.
        beside: the model that adapters are for, if they are not merged.
    """
    models.save(model, tokenizer, out / "model", beside)
    with files.replacing(out / "model.sha256") as temporary:
        temporary.write_text(files.digest(out / "model") + "\n")
    at = progress or Progress("", [])
    write_table(out / "trace.csv", at.trace, ["step", "epoch", "learning_rate", "loss"])
    write_table(out / "epochs.csv", at.epochs, ["epoch"])
    apart = {f"beforehand_{name}": round(value, 3) for name, value in (beforehand or {}).items()}
    own = (spent or {}) if progress is None else {}
    files.write_json(out / "cost.json", cost(at, parts) | own | apart)


def write_table(path: Path, rows: list[dict], columns: list[str]) -> None:
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    with files.replacing(path) as temporary:
        frame.to_csv(temporary, index=False)


def cost(progress: Progress, parts: Sequence[Progress] = ()) -> dict[str, Any]:
    """Seconds, work done and peak memory (bytes) of a run and its parts; of all attempts, if it was interrupted."""
    done = [progress, *parts]
    on_gpu = torch.cuda.is_available()
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {
        "wall_seconds": round(sum(p.seconds for p in done), 3),
        "processor_seconds": round(sum(p.processor_seconds for p in done), 3),
        "steps": sum(p.step for p in done),
        "epochs": progress.epoch,
        "tokens": sum(p.tokens for p in done),
        "examples": sum(p.examples for p in done),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if on_gpu else peak,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
    }


def in_turn(parts: Iterable[Progress]) -> Progress:
    """The work of several parts, one after the other; of one, that one."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    trace = [row for part in parts for row in part.trace]
    return Progress(
        "", [], step=len(trace), epoch=sum(p.epoch for p in parts), tokens=sum(p.tokens for p in parts),
        examples=sum(p.examples for p in parts), seconds=sum(p.seconds for p in parts),
        processor_seconds=sum(p.processor_seconds for p in parts),
        trace=[row | {"step": number} for number, row in enumerate(trace)],
        epochs=[row for part in parts for row in part.epochs],
    )  # fmt: skip
