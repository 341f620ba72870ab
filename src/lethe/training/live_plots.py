"""Live plots of a run, by DVCLive."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds between two updates: each takes milliseconds, as long as a small step
POSITION = ("step", "epoch", "learning_rate")  # columns of the trace that are not plotted


class LivePlots:
    """The trace of a run, shown while it grows. They begin anew with every process, so a resumed run repeats it."""

    def __init__(self, live: Any):
        self.live, self.shown = live, time.monotonic()

    def show(self, trace: list[dict], every: float = EVERY) -> None:
        """Bring the plots up to the trace, if the last time was `every` seconds ago."""
        if time.monotonic() - self.shown < every:
            return
        rows = trace[self.live.step :]
        for number, row in enumerate(rows, 1):
            for name, value in row.items():
                if name not in POSITION:
                    self.live.log_metric(name, value)
            if number < len(rows):
                self.live.step += 1
            else:
                self.live.next_step()
        self.shown = time.monotonic()


@contextlib.contextmanager
def live_plots(folder: Path | None) -> Iterator[LivePlots | None]:
    """Plots in a folder, or none where none is named, or git holds no commit yet, which DVCLive asks for."""
    live = started(folder) if folder else None
    try:
        yield LivePlots(live) if live else None
    finally:
        if live:
            live.end()


def started(folder: Path) -> Any:
    from dvclive import Live
    from scmrepo.exceptions import SCMError

    try:
        return Live(str(folder), save_dvc_exp=False, dvcyaml=None, monitor_system=False)
    except SCMError as error:
        log.info("no live plots: %s", error)
        return None
