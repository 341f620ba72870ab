"""What a run on Slurm leaves behind when its main process is killed, and how it still counts.

Jobs in the queue do not end with the process that sent them, and do not hold its lock. So a run that was killed is
not followed by another before its jobs have left the queue (resume.py waits for them), and jobs keep the records of
what they made, which Snakemake leaves to the main process. Checked with version 2.8.0 of the executor plugin.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PREFIX = "lethe_"  # of the names of our jobs: slurm-jobname-prefix of the profile


class NoAnswerError(Exception):
    """Slurm was asked and did not answer."""


def jobs_in_queue() -> list[str]:
    """Ids of this folder's jobs that wait or run in Slurm's queue; none where there is no Slurm.

    Raises:
        NoAnswerError: the queue cannot be read.
    """
    if not shutil.which("squeue"):
        return []
    command = ["squeue", "--me", "--noheader", "--format=%A|%j|%Z"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise NoAnswerError(done.stderr.strip())
    jobs = [line.split("|", 2) for line in done.stdout.splitlines()]
    here = os.path.realpath(Path.cwd())
    return [job for job, name, folder in jobs if name.startswith(PREFIX) and os.path.realpath(folder) == here]


def left_in_queue(jobs: list[str]) -> str:
    """What a run that finds such jobs says."""
    return (
        f"{len(jobs)} jobs of a run that was killed are still in Slurm's queue:"
        " `python workflow/resume.py` waits for them (with --cancel, ends them) and goes on"
    )
