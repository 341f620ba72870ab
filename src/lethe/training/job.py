"""What identifies a training job, and where it keeps what it has done so far."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lethe.system import files, plugins


@dataclass(frozen=True)
class Job:
    """One run of one seed: where its outputs, checkpoint and live plots go."""

    cfg: dict[str, Any]
    seed: int
    run: str
    out: Path
    checkpoint: Path
    live: Path | None

    def fingerprint(self, *inputs: str | Path) -> str:
        """Changes with the parameters, the inputs or the code, so that no checkpoint of another run is continued."""
        parts = [json.dumps(self.cfg, sort_keys=True), str(self.seed), self.run, torch.__version__]
        parts += [files.digest(path) for path in inputs]
        parts += [files.digest(file) for file in plugins.source_files()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def parts(self) -> Path:
        """Folder of the checkpoints of models that the run trains on the way."""
        return self.checkpoint.with_name(f"{self.checkpoint.stem}-parts")

    def forget_checkpoints(self) -> None:
        for checkpoint in (self.checkpoint, self.parts):
            files.remove(checkpoint)
