"""What a piece of work took."""

from __future__ import annotations

import time


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self.began, self.busy = time.monotonic(), time.process_time()

    def taken(self) -> dict[str, float]:
        """wall_seconds, and processor_seconds of all threads of this process."""
        return {
            "wall_seconds": time.monotonic() - self.began,
            "processor_seconds": time.process_time() - self.busy,
        }
