"""How far a run is, and how long the rest of it takes."""

from __future__ import annotations

from collections.abc import Callable

SURE = 0.1  # share of the jobs that must have ended before the rest is estimated


class Pace:
    """Jobs that wait, are at work and have ended. `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float]):
        self.clock = clock
        self.waiting: dict[str, int] = {}  # rule -> jobs that have not ended
        self.at_work: dict[int, tuple[str, str, float]] = {}  # job -> rule, address, when it began
        self.seconds: dict[str, list[float]] = {}  # rule -> of each job that has ended
        self.began: float | None = None

    def expect(self, counts: dict[str, int]) -> None:
        """Jobs of each rule, as Snakemake counts them, with their `total`."""
        self.waiting = {rule: count for rule, count in counts.items() if rule != "total"}

    def start(self, job: int, rule: str, address: str) -> None:
        now = self.clock()
        self.began = now if self.began is None else self.began
        self.at_work[job] = (rule, address, now)

    def drop(self, job: int) -> None:
        """A job has failed; it may start again."""
        self.at_work.pop(job, None)

    def finish(self, job: int) -> str:
        """A line about a job that has ended."""
        if job not in self.at_work:
            return f"{self.progress()}: job {job}"
        rule, address, began = self.at_work.pop(job)
        took = self.clock() - began
        self.seconds.setdefault(rule, []).append(took)
        self.waiting[rule] = max(self.waiting.get(rule, 1) - 1, 0)
        return f"{self.progress()}: {' '.join([rule, address]).strip()}, {in_words(took)}"

    @property
    def done(self) -> int:
        return sum(map(len, self.seconds.values()))

    @property
    def total(self) -> int:
        return self.done + sum(self.waiting.values())

    def progress(self) -> str:
        left = self.left()
        return f"{self.done} of {self.total} jobs" + (f", about {in_words(left)} left" if left else "")

    def left(self) -> float | None:
        """Seconds until the last job ends, or None while too little has been seen.

        The work that remains, divided by the jobs that were at work at a time so far. A job takes as long as those
        of its rule did on average, or where none has ended, as all did.
        """
        if self.began is None or self.done < SURE * self.total or not self.done:
            return None
        now = self.clock()
        every = mean([took for rule in self.seconds.values() for took in rule])
        usual = {rule: mean(self.seconds.get(rule, [every])) for rule in self.waiting}
        spent = [(usual.get(rule, every), now - began) for rule, _, began in self.at_work.values()]
        rest = sum(usual[rule] * count for rule, count in self.waiting.items())
        rest -= sum(min(most, here) for most, here in spent)
        busy = sum(sum(took) for took in self.seconds.values()) + sum(here for _, here in spent)
        return rest * (now - self.began) / busy if busy else None


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def in_words(seconds: float) -> str:
    """41 s, 3 min, 2 h 5 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
