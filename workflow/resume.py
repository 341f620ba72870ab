"""Goes on with a run on Slurm whose main process is gone.

    python workflow/resume.py [--cancel] [options and targets of snakemake]

Waits until the jobs that the run left in the queue have ended, or cancels them, then starts
`snakemake --profile profiles/slurm` with the other arguments. What the jobs finish counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time

import lock
from slurm import NoAnswerError, jobs_in_queue
from state import say

POLL = 5.0  # s between two looks at the queue


def wait(cancel: bool) -> None:
    """Return when no job of this folder is in the queue; through a time in which Slurm does not answer, too."""
    before: list[str] | None = None
    while True:
        try:
            jobs = jobs_in_queue()
        except NoAnswerError as error:
            say(f"Slurm does not answer ({error}); asking again")
            time.sleep(POLL)
            continue
        if not jobs:
            return
        if jobs != before:
            say(
                f"{'cancelling' if cancel else 'waiting for'} {len(jobs)} jobs in the queue: {' '.join(jobs)}"
            )
            before = jobs
            if cancel and (reason := refusal(jobs)):
                say(f"Slurm does not cancel them ({reason}); asking again")
                before = None
        time.sleep(POLL)


def refusal(jobs: list[str]) -> str:
    """Cancel jobs; what Slurm says if it does not."""
    done = subprocess.run(["scancel", *jobs], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--cancel", action="store_true", help="end the jobs instead of waiting for them")
    parser.add_argument("--directory", "-d", default=".", help="the folder of the run, as for snakemake")
    args, others = parser.parse_known_args()
    if not os.path.isdir(args.directory):
        parser.error(f"--directory: {args.directory}: no such folder; needed is that of the run")
    with contextlib.chdir(args.directory):
        try:
            held = lock.take(lock.PATIENCE)
        except lock.TakenError as error:
            sys.exit(str(error))
        wait(args.cancel)
        lock.release(held)
    others = ["--directory", args.directory, *others]
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", *others]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
