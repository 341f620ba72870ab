"""What a run shows: a line for each job, time left, the end of a failed job's log; all else in Snakemake's own log."""

from __future__ import annotations

import os
import pty
import re
import subprocess

import pytest
from repository import Repo

from snakemake_logger_plugin_lethe.pace import Pace, in_words

MODEL = "results/unlearn/records/icu/seed0/model.sha256"
LINE = re.compile(r"^\d\d:\d\d:\d\d  1 of 1 jobs: unlearn_examples records/icu/seed0, \d+ s$", re.MULTILINE)


def on_terminal(here: Repo, *command: str) -> str:
    """Output of a command that believes to be on a terminal."""
    leader, follower = pty.openpty()
    env = here.environment(TERM="xterm", COLUMNS="120", LINES="40")
    process = subprocess.Popen(
        command, cwd=here.path, env=env, stdout=follower, stderr=follower, stdin=follower
    )
    os.close(follower)
    parts = []
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    assert process.wait() == 0, b"".join(parts).decode()
    return b"".join(parts).decode()


def log_of(here: Repo) -> str:
    return max((here.path / ".snakemake/log").glob("*.snakemake.log")).read_text()


def test_a_run_tells_a_line_for_each_job_and_its_log_everything(here):
    (here.path / MODEL).unlink()
    output = here(f"snakemake {MODEL}")
    assert LINE.search(output), output
    assert "Job stats:" in output and "Complete log" in output
    assert "reason:" not in output and "Select jobs" not in output
    log = log_of(here)
    assert "rule unlearn_examples:" in log and "reason: Missing output files" in log


@pytest.mark.parametrize("option", ["-n", "--printshellcmds"])
def test_who_asks_for_more_sees_what_snakemake_says(here, option):
    (here.path / MODEL).unlink()
    output = here(f"snakemake {option} {MODEL}")
    assert "rule unlearn_examples:" in output and "reason: Missing output files" in output


def test_who_asks_for_less_sees_less(here):
    (here.path / MODEL).unlink()
    assert "unlearn_examples" not in here(f"snakemake --quiet all -- {MODEL}")


def test_a_terminal_shows_a_bar_with_what_is_at_work(here):
    (here.path / MODEL).unlink()
    output = on_terminal(here, "snakemake", MODEL)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output).replace("\r", "\n")
    assert "0 of 1 jobs  unlearn_examples records/icu/seed0" in plain
    assert LINE.search(plain), plain
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") > 0  # the cursor is hidden, and is back


def test_a_failing_job_shows_the_last_lines_of_its_own_log(here):
    """The stand-in's failure, after a log that is longer than what is shown."""
    command = here.path / "failing/lethe"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\nfor i in $(seq 100); do echo line $i >&2; done\nexit 2\n")
    command.chmod(0o755)
    (here.path / MODEL).unlink()
    status, output = Repo(here.path, command.parent).attempt(f"snakemake {MODEL}")
    assert status == 1
    lines = output.splitlines()
    start = lines.index("Last lines of logs/unlearn/records/icu/seed0.log:")
    assert lines[start + 1 : start + 21] == [f"    line {i}" for i in range(81, 101)]
    assert "line 80" not in output
    assert "Error in rule unlearn_examples:" in output


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_is_that_of_equal_jobs_at_the_same_width():
    """Of ten jobs of 10 s, two at a time: after 20 s four have ended, and six take 30 s more; 5 s later, 25 s."""
    clock = Clock()
    pace = Pace(clock)
    pace.expect({"train": 10, "total": 10})
    for moment in (0, 10):
        clock.now = moment
        for job in (moment, moment + 1):
            pace.start(job, "train", "")
        clock.now += 10
        for job in (moment, moment + 1):
            pace.finish(job)
    assert (pace.done, pace.total) == (4, 10)
    assert pace.left() == pytest.approx(30)
    pace.start(100, "train", "")
    pace.start(101, "train", "")
    clock.now += 5
    assert pace.left() == pytest.approx(25)


def test_a_rule_takes_its_own_time_and_an_unseen_one_the_mean():
    """3 and 9 s have been seen, one at a time; what remains is another of 9 s and one of a rule not seen: 9 + 6."""
    clock = Clock()
    pace = Pace(clock)
    pace.expect({"short": 1, "long": 2, "other": 1, "total": 4})
    for job, (rule, seconds) in enumerate([("short", 3), ("long", 9)]):
        pace.start(job, rule, "")
        clock.now += seconds
        pace.finish(job)
    assert pace.left() == pytest.approx(15)


def test_nothing_is_estimated_from_too_little():
    clock = Clock()
    pace = Pace(clock)
    pace.expect({"one": 100, "total": 100})
    assert pace.left() is None
    pace.start(1, "one", "a/b")
    clock.now = 1.0
    assert pace.finish(1) == "1 of 100 jobs: one a/b, 1 s"
    pace.start(2, "one", "")
    pace.drop(2)  # it failed, and starts again
    assert (pace.done, pace.total) == (1, 100)
    assert pace.left() is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (150, "2 min"), (7500, "2 h 5 min")]
)
def test_seconds_in_words(seconds, words):
    assert in_words(seconds) == words
