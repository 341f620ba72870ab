"""The line at the foot of a terminal that says how far a run is."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

from snakemake_logger_plugin_lethe.pace import Pace

SHOWN = 3  # jobs at work that are named


class Words(ProgressColumn):
    """Progress, time left and what is at work, as they are when the line is drawn."""

    def __init__(self, pace: Pace):
        super().__init__()
        self.pace = pace

    def render(self, task: Task) -> Text:
        jobs = [f"{rule} {address}".strip() for rule, address, _ in list(self.pace.at_work.values())]
        more = [f"and {len(jobs) - SHOWN} more"] if len(jobs) > SHOWN else []
        return Text(
            f"{self.pace.progress()}  {', '.join(jobs[:SHOWN] + more)}", no_wrap=True, overflow="ellipsis"
        )


class Bar:
    """Drawn from the first job on, twice a second; lines are printed above it."""

    def __init__(self, pace: Pace, stream: TextIO):
        self.pace = pace
        self.console = Console(file=stream)
        self.progress = Progress(
            SpinnerColumn(), BarColumn(bar_width=20), Words(pace),
            console=self.console, transient=True, refresh_per_second=2,
        )  # fmt: skip
        self.task = self.progress.add_task("", total=None)

    def show(self) -> None:
        if self.pace.at_work and not self.progress.live.is_started:
            self.progress.start()
        self.progress.update(self.task, completed=self.pace.done, total=self.pace.total or None)

    def print(self, text: str, colour: str | None) -> None:
        self.console.print(Text(text, style=colour or ""), soft_wrap=True)

    def stop(self) -> None:
        self.progress.stop()
