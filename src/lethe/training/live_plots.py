"""Live plots of a run, by DVCLive, and by another tracker where one is asked for."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lethe.training.trackers import Tracker, tracker

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds between two updates: each takes milliseconds, as long as a small step
POSITION = ("step", "epoch", "learning_rate")  # columns of the trace that are not plotted


class LivePlots:
    """The trace of a run, shown while it grows. They begin anew with every process, so a resumed run repeats it.

    Args:
        live: DVCLive's, or None.
        tracker: another place that shows it, or None.
    """

    def __init__(self, live: Any, tracker: Tracker | None = None):
        self.live, self.tracker, self.count, self.shown = live, tracker, 0, time.monotonic()

    def show(self, trace: list[dict], every: float = EVERY) -> None:
        """Bring the plots up to the trace, if the last time was `every` seconds ago."""
        if time.monotonic() - self.shown < every:
            return
        rows = trace[self.count :]
        for number, row in enumerate(rows, 1):
            numbers = {name: value for name, value in row.items() if name not in POSITION}
            if self.live:
                self.log(numbers, last=number == len(rows))
            if self.tracker:
                self.tracker.add(row["step"], numbers)
        self.count, self.shown = len(trace), time.monotonic()

    def log(self, numbers: dict[str, float], last: bool) -> None:
        for name, value in numbers.items():
            self.live.log_metric(name, value)
        if last:
            self.live.next_step()
        else:
            self.live.step += 1


@contextlib.contextmanager
def live_plots(folder: Path | None) -> Iterator[LivePlots | None]:
    """Plots in a folder, and where else the environment asks for them; none where no folder is named.

    DVCLive asks for a git that holds a commit; without it there are none of its own.
    """
    if folder is None:
        yield None
        return
    other, live = tracker(folder), started(folder)
    try:
        yield LivePlots(live, other) if live or other else None
    finally:
        for shown in (live and live.end, other and other.close):
            if shown:
                shown()


def started(folder: Path) -> Any:
    from dvclive import Live
    from scmrepo.exceptions import SCMError

    try:
        return Live(str(folder), save_dvc_exp=False, dvcyaml=None, monitor_system=False)
    except SCMError as error:
        log.info("no live plots: %s", error)
        return None
