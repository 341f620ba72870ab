"""Another place that shows a run while it trains, beside DVCLive: the numbers of its trace, never a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from lethe.system.tracker_name import chosen


class Tracker(Protocol):
    def add(self, step: int, numbers: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in the folder of the live plots: `tensorboard --logdir dvclive` shows all runs."""

    def __init__(self, folder: Path):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"))

    def add(self, step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class MLflow:
    """A run of the experiment `lethe`, at MLFLOW_TRACKING_URI, or else as MLflow does by itself."""

    def __init__(self, folder: Path):
        import mlflow

        mlflow.set_experiment("lethe")
        self.mlflow: Any = mlflow
        self.mlflow.start_run(run_name="/".join(folder.parts[-4:]))

    def add(self, step: int, numbers: dict[str, float]) -> None:
        self.mlflow.log_metrics(numbers, step=step)

    def close(self) -> None:
        self.mlflow.end_run()


def tracker(folder: Path) -> Tracker | None:
    """Opened for the run whose live plots lie in a folder; None where none is chosen."""
    match chosen():
        case "tensorboard":
            return TensorBoard(folder)
        case "mlflow":
            return MLflow(folder)
    return None
