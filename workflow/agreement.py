"""What happens around a run so that Snakemake, DVC and the disk agree: one run at a time, seals, dvc.lock."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import plan
import psutil
from damage import set_aside
from dependencies import SOURCES, Digests
from provenance import ORPHANS, Provenance, say
from slurm import NoAnswerError, jobs_in_queue, left_in_queue
from snakemake.exceptions import WorkflowError
from snakemake.shell import shell

from lethe.params.file import Params
from lethe.system.errors import InputError

STATE = Path(".snakemake")
LOCK = STATE / "run.lock"
OPEN = STATE / "run.open"  # a run has begun and DVC has not been told yet
PATIENCE = 3.0  # s to wait for a dry run or another start to finish its look at the disk


class Agreement:
    """The three moments of a run.

    Args:
        parameters, current: the parameters this run works on, and their plan.
        outputs: stage -> address -> paths of all outputs.
    """

    def __init__(
        self,
        parameters: Params,
        current: plan.Plan,
        outputs: dict[str, dict[str, list[str]]],
        digests: Digests,
    ):
        self.parameters, self.plan, self.outputs, self.digests = parameters, current, outputs, digests
        self.stage = os.environ.get("DVC_STAGE")  # set by `dvc repro`
        self.lock: int | None = None
        self.refusal = ""  # why no job may start
        self.began: float | None = None  # when the first job could start, by the clock of the files

    def provenance(self) -> Provenance:
        return Provenance(self.plan, self.outputs, self.digests)

    def begin(self) -> None:
        """Before the DAG is built, in dry runs too: find out what can be trusted, unless a run is at work.

        The lock is kept to the end of the process: what the DAG is built from must not change meanwhile.
        """
        if self.stage in self.plan and not plan.is_written(self.plan, self.stage):
            sys.exit(
                f"{plan.FILE}, sources or data changed after DVC wrote its plan: `snakemake` brings both up to date"
            )
        self.lock = take_lock(PATIENCE)
        self.refusal = who_is_at_work() if self.lock is None else self.left_in_queue()
        if self.refusal:
            say(self.refusal)
            if self.lock is not None:
                os.close(self.lock)
            return
        if any((STATE / "locks").glob("*.lock")):
            say("the last run was killed; what it finished counts")
            shutil.rmtree(STATE / "locks")
        for file in [] if self.stage else set_aside(ORPHANS):
            say(f"{file} is unreadable, left so by a kill or a merge; moved to {ORPHANS} and written anew")
            OPEN.touch()
        known = self.provenance()
        known.settle()
        if self.stage in self.plan:  # when there is nothing to do, neither `start` nor `end` comes
            known.tidy(self.stage)
            known.seal(self.stage)
        elif OPEN.exists() and all(map(known.is_complete, self.plan)):
            self.end()  # the last run was killed between its last job and this

    def start(self) -> None:
        """Before the first job: be the only run, and clear away what is no output any more."""
        if self.refusal:  # also if the others are done by now: they changed what the DAG was built from
            raise WorkflowError(self.refusal)
        OPEN.touch()
        self.began = OPEN.stat().st_mtime
        Path(plan.RUN).write_text(self.parameters.model_dump_json())
        plan.write_jobs(self.plan)
        answer_in_a_thread(signal.SIGTERM)
        # Jobs hold the lock too: those that outlive a killed run keep the next one waiting.
        shell._process_args["pass_fds"] = (self.lock,)
        known = self.provenance()
        for stage in self.plan:
            known.tidy(stage)

    def end(self) -> None:
        """After success: seal what is complete, and tell DVC, unless DVC is the caller and does that itself."""
        doubted = self.doubt()
        known = self.provenance()
        known.settle()
        complete = [stage for stage in self.plan if known.is_complete(stage)]
        for stage in complete:
            known.seal(stage)
        if not self.stage and Path(".dvc").is_dir():
            self.commit(complete)
        OPEN.unlink(missing_ok=True)
        if doubted and self.stage:
            sys.exit(1)  # or DVC would write them down

    def doubt(self) -> bool:
        """After success or failure: of which of two versions of a source a job was made, nobody knows."""
        return self.began is not None and self.provenance().doubt(self.began)

    def left_in_queue(self) -> str:
        """What to say of jobs that a killed run left in Slurm's queue; nothing if there are none."""
        try:
            jobs = jobs_in_queue() if OPEN.exists() else []
        except NoAnswerError as error:
            say(f"Slurm does not answer; jobs of a run that was killed may be in its queue ({error})")
            return ""
        return left_in_queue(jobs) if jobs else ""

    def commit(self, stages: list[str]) -> None:
        """Have DVC record the outputs of stages in dvc.lock."""
        try:
            edited = plan.load(self.digests)[1] != self.plan
        except (InputError, OSError) as error:
            say(str(error))
            edited = True
        if edited:
            say("parameters, sources or data were edited during the run: `snakemake` again, or `dvc repro`")
            return
        plan.write(self.plan)
        command = ["dvc", "commit", "--quiet", "--force", "plan", *stages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            say(f"results are complete, but not in dvc.lock; `dvc repro` will do it ({done.stderr.strip()})")
        else:
            say(f"dvc.lock is up to date: {', '.join(stages)}")


# glibc gives freed tensors back to the system, which clears their pages again: 5 to 17 % of the time of small models.
ALLOCATION = {"MMAP_THRESHOLD": 32, "TRIM_THRESHOLD": 256, "TOP_PAD": 64}  # MiB


def set_environment() -> None:
    """What every job inherits."""
    # The code beside this workflow, also in a copy of the repository such as DVC makes for an experiment.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH")]))
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # idle threads leave the core to other jobs
    for name, megabytes in ALLOCATION.items():
        os.environ.setdefault(f"MALLOC_{name}_", str(megabytes << 20))
    # Snakemake sets a job's threads for OpenMP and BLAS, and so for torch; tokenizers look elsewhere.
    shell.prefix("export RAYON_NUM_THREADS=$OMP_NUM_THREADS; ")


def answer_in_a_thread(number: signal.Signals) -> None:
    """Let a signal's handler run beside the main thread.

    Snakemake's handler of SIGTERM takes a lock that the main thread holds while it deals with jobs that have ended:
    called in the main thread, as Python does, it would wait for itself forever.
    """
    answer = signal.getsignal(number)
    if callable(answer):
        signal.signal(number, lambda *given: threading.Thread(target=answer, args=given).start())


def take_lock(patience: float) -> int | None:
    """Descriptor of the lock that one run per folder holds, which ends with its processes; None if it is taken."""
    STATE.mkdir(exist_ok=True)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(lock, f"{os.getpid():<20}".encode(), 0)
            return lock
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(lock)
                return None
            time.sleep(0.1)


def who_is_at_work() -> str:
    """Why the lock is taken, and what to do."""
    for _ in range(5):  # the holder may not have written its number yet
        pid = int(LOCK.read_text().strip() or 0)
        if pid and psutil.pid_exists(pid):
            return (
                f"another run (process {pid}) is at work in this folder: wait for its end, then start again"
            )
        time.sleep(0.1)
    return (
        f"jobs of a run that was killed (process {pid}) are still at work in this folder: wait for them,"
        f" or end the processes that `fuser {LOCK}` lists, then start again"
    )
