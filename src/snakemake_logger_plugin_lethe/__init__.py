"""How a run of Snakemake tells of itself: a line for each job that ends, on a terminal a bar below, and the time left.

    12:04:31  23 of 58 jobs, about 3 min left: unlearn_examples records/icu/seed1, 41 s

A job that fails shows the last lines of its own log. All that Snakemake says otherwise, inputs, outputs and reasons of
every job, goes to .snakemake/log as ever, and here too in a dry run or with `--verbose` or `--printshellcmds`.
`logger: lethe` in a profile finds this package by its name.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_lethe.bar import Bar
from snakemake_logger_plugin_lethe.pace import Pace

LAST = 20  # lines of a failed job's log
COLOURS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}
AS_IT_IS = (None, LogEvent.RUN_INFO, LogEvent.ERROR)  # events whose message is shown
ROUTINE = (  # messages that say the same in every run
    "Assuming unrestricted", "Building DAG", "Conda environments: ignored", "Execute ", "host: ", "Provided cores",
    "Provided resources", "Rules claiming", "Select jobs", "Singularity containers: ignored", "Using shell",
)  # fmt: skip


class LogHandler(LogHandlerBase):
    """Shows the events of a run on standard error; Snakemake's own filter, for `--quiet`, comes before."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        asked = self.common_settings
        self.stream = sys.stdout if asked.stdout else sys.stderr
        self.shown = DefaultFormatter(asked.quiet)
        self.own = ColorizingTextHandler(asked.nocolor, self.stream)
        self.own.setFormatter(DefaultFormatter(asked.quiet, asked.show_failed_logs))
        self.in_full = asked.dryrun or asked.verbose or asked.printshellcmds or asked.debug_dag
        self.pace = Pace(time.monotonic)
        self.bar = None if self.in_full or not self.own.can_color_tty() else Bar(self.pace, self.stream)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.in_full:
                self.own.emit(record)
            else:
                self.tell(record, getattr(record, "event", None))
        except Exception:
            self.handleError(record)

    def tell(self, record: logging.LogRecord, event: LogEvent | None) -> None:
        about: Any = record  # of which each event has attributes of its own
        if event == LogEvent.RUN_INFO:
            self.pace.expect(about.stats)
        if event == LogEvent.JOB_INFO:
            self.pace.start(about.jobid, about.rule_name, address(about.wildcards))
        elif event == LogEvent.JOB_FINISHED:
            self.say(f"{time.strftime('%X')}  {self.pace.finish(about.job_id)}")
        elif event == LogEvent.JOB_ERROR:
            self.pace.drop(about.jobid)
            self.say_failed(record, about.log)
        elif event == LogEvent.GROUP_ERROR:
            for job in about.job_error_info:
                self.pace.drop(job["jobid"])
            self.say_failed(
                record, [*about.aux_logs, *(log for job in about.job_error_info for log in job["log"])]
            )
        elif event in AS_IT_IS and (
            record.levelno > logging.INFO or not record.getMessage().startswith(ROUTINE)
        ):
            self.say(self.shown.format(record), COLOURS.get(record.levelno))
        if self.bar:
            self.bar.show()

    def say(self, text: str, colour: str | None = None) -> None:
        if not text or text == "None":
            return
        if self.bar:
            self.bar.print(text, colour)
        else:
            self.stream.write(f"{text}\n")
            self.stream.flush()

    def say_failed(self, record: logging.LogRecord, logs: list[str]) -> None:
        self.say(self.shown.format(record), "red")
        for log in logs:
            self.say("\n".join([f"Last lines of {log}:", *last_lines(Path(log))]))

    def close(self) -> None:
        if self.bar:
            self.bar.stop()
        super().close()


def address(wildcards: dict[str, str]) -> str:
    """Of a job, as in its files: records/icu/seed1."""
    return "/".join(f"{name}{value}" if value.isdigit() else value for name, value in wildcards.items())


def last_lines(log: Path) -> list[str]:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return [f"    cannot be read: {error.strerror}"]
    return [f"    {line}" for line in lines[-LAST:]] or ["    (empty)"]
