"""Progress of long computations: a bar where someone watches, lines in the log where nobody does."""

from __future__ import annotations

import logging
import sys
import time

from tqdm import tqdm

log = logging.getLogger("lethe.progress")
EVERY = 60.0  # seconds between two lines of the log


class Progress:
    """Counts up to a total; shows nothing for what is over within a second (bar) or a minute (log)."""

    def __init__(self, what: str, total: int, unit: str):
        self.what, self.total, self.unit = what, total, unit
        self.done = 0.0
        self.began = self.logged = time.monotonic()
        self.watched = sys.stderr.isatty()
        layout = "{desc}: {percentage:3.0f}% of {total} " + unit + " |{bar}| [{elapsed}<{remaining}]"
        self.bar = tqdm(
            desc=what, total=total, disable=not self.watched, delay=1, leave=False, bar_format=layout
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def add(self, amount: float) -> None:
        self.done += amount
        self.bar.update(amount)
        now = time.monotonic()
        if not self.watched and now - self.logged >= EVERY:
            self.logged = now
            log.info(
                "%s: %.1f of %d %s, %.0f s", self.what, self.done, self.total, self.unit, now - self.began
            )
