"""What happens around a run so that Snakemake, DVC and the disk agree: one run at a time, seals, dvc.lock."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import lock
import plan
from damage import set_damaged_aside
from dependencies import Digests
from environment import answer_in_a_thread, offer_warm_start
from internals import LOCKS, Workflow, WorkflowError, drop_timers, hand_down, refusal, surround
from provenance import Provenance
from recording import is_recorded, name_parameters, record
from slurm import NoAnswerError, jobs_in_queue, left_in_queue
from state import STATE, say
from tidy import tidy

from lethe.params.addresses import ROOTS
from lethe.params.file import Params
from lethe.system.errors import InputError

OPEN = STATE / "run.open"  # a run has begun and DVC has not been told yet


class Agreement:
    """The moments of a run.

    Args:
        workflow: Snakemake's.
        file: the parameter file.
        parameters, current: the parameters this run works on, and their plan.
        outputs: stage -> address -> paths of all outputs.
    """

    def __init__(
        self,
        workflow: Workflow,
        file: str,
        parameters: Params,
        current: plan.Plan,
        outputs: dict[str, dict[str, list[str]]],
        digests: Digests,
    ):
        self.workflow, self.file, self.parameters, self.plan = workflow, file, parameters, current
        self.outputs, self.digests = outputs, digests
        self.stage = os.environ.get("DVC_STAGE")  # set by `dvc repro`
        self.lock: lock.Lock = []
        self.refusal = ""  # why no job may start
        self.began: float | None = None  # when the first job could start, by the clock of the files

    def provenance(self) -> Provenance:
        return Provenance(self.plan, self.outputs, self.digests)

    # ---------------------------------------------------------------- before a run

    def begin(self) -> None:
        """Before the DAG is built, in dry runs too: find out what can be trusted, unless a run is at work.

        The lock is kept to the end of the process: what the DAG is built from must not change meanwhile.
        """
        if reason := refusal(self.workflow):
            sys.exit(reason)
        if self.stage in self.plan and not all(plan.is_written(self.plan, stage) for stage in self.plan):
            sys.exit(
                f"{self.file}, sources or data changed after DVC wrote its plan, and nothing is made of it:"
                " run `snakemake`, or `dvc repro` without naming a stage"
            )
        hooks = {"onstart": self.start, "onsuccess": self.end, "onerror": self.failed}
        surround(self.workflow, self.check, self.rest, hooks)
        try:
            self.take()
            if not self.refusal:
                self.settle()
        except OSError as error:
            sys.exit(
                f"{error.filename or STATE}: {error.strerror}; Snakemake writes here, also to say what is to be done"
            )
        if self.refusal:
            say(self.refusal)

    def take(self) -> None:
        """Be the only run, or find out why that cannot be."""
        try:
            self.lock = lock.take(lock.PATIENCE)
        except lock.TakenError as error:
            self.refusal = str(error)
            return
        self.refusal = self.left_in_queue()
        if self.refusal:
            lock.release(self.lock)
        elif not self.lock:
            say("this file system has no locks: take care that one run at a time is at work in this folder")
        elif any(LOCKS.glob("*.lock")):
            say("the last run was killed; what it finished counts")
            shutil.rmtree(LOCKS)

    def settle(self) -> None:
        """Find out what can be trusted."""
        if not self.stage and set_damaged_aside():
            OPEN.touch()
        for stage, jobs in self.plan.items():
            if not jobs:  # as where no model is trained; DVC asks for the folder all the same
                Path(ROOTS[stage]).mkdir(parents=True, exist_ok=True)
        known = self.provenance()
        known.settle()
        if self.stage in self.plan:  # when there is nothing to do, neither `start` nor `end` comes
            self.tidy(known, self.stage)
            known.seal(self.stage)
            if known.is_complete(self.stage):
                say(
                    f"{self.stage} is as sealed and nothing is made again; `snakemake --forceall {self.stage}` would"
                )
        elif OPEN.exists() and all(map(known.is_complete, self.plan)):
            self.end()  # the last run was killed between its last job and this

    def left_in_queue(self) -> str:
        """What to say of jobs that a killed run left in Slurm's queue; nothing if there are none."""
        try:
            jobs = jobs_in_queue() if OPEN.exists() else []
        except NoAnswerError as error:
            say(f"Slurm does not answer; jobs of a run that was killed may be in its queue ({error})")
            return ""
        return left_in_queue(jobs) if jobs else ""

    def check(self) -> None:
        """Before the DAG is built for a run that may make something."""
        if self.refusal:  # also if the others are done by now: they changed what the DAG would be built from
            raise WorkflowError(self.refusal)

    def start(self) -> None:
        """Before the first job: clear away what is no output any more."""
        drop_timers(self.workflow)
        OPEN.touch()
        self.began = OPEN.stat().st_mtime
        Path(plan.RUN).write_text(self.parameters.model_dump_json(), encoding="utf-8")
        plan.write_jobs(self.plan)
        plan.warn_of_texts_in_git(self.parameters, self.file)
        answer_in_a_thread(signal.SIGTERM)
        # Jobs hold the lock too: those that outlive a killed run keep the next one waiting.
        hand_down([*self.lock, offer_warm_start()])
        known = self.provenance()
        for stage in self.plan:
            self.tidy(known, stage)

    def tidy(self, known: Provenance, stage: str) -> None:
        tidy(stage, [path for paths in known.outputs[stage].values() for path in paths], known.records)

    # ---------------------------------------------------------------- after a run

    def end(self) -> None:
        """After success: seal what is complete, and tell DVC, unless DVC is the caller and does that itself."""
        doubted = self.doubt()
        known = self.provenance()
        known.settle()
        complete = [stage for stage in self.plan if known.is_complete(stage)]
        for stage in complete:
            known.seal(stage)
        if not self.stage:
            self.commit(complete)
        OPEN.unlink(missing_ok=True)
        if doubted and self.stage:
            sys.exit(1)  # or DVC would write them down

    def rest(self) -> None:
        """After a run that may have found nothing to do: dvc.lock may be gone, or of another state."""
        if self.stage or self.began is not None or not Path(".dvc").is_dir() or is_recorded(list(self.plan)):
            return
        if all(map(self.settled().is_complete, self.plan)):
            self.end()

    def settled(self) -> Provenance:
        known = self.provenance()
        known.settle()
        return known

    def doubt(self) -> bool:
        """After success or failure: of which of two versions of a source a job was made, nobody knows."""
        return self.began is not None and self.provenance().doubt(self.began)

    def failed(self) -> None:
        """After failure."""
        self.doubt()

    def commit(self, stages: list[str]) -> None:
        """Have DVC record the outputs of stages in dvc.lock."""
        if not Path(".dvc").is_dir():
            return
        try:
            edited = plan.load(self.digests, self.file)[1] != self.plan
        except (InputError, OSError) as error:
            say(str(error))
            edited = True
        if edited:
            say("parameters, sources or data were edited during the run: `snakemake` again, or `dvc repro`")
            return
        plan.write(self.plan)
        if reason := name_parameters(self.file) or record(["plan", *stages]):
            say(f"results are complete, but not in dvc.lock; `dvc repro` will do it ({reason})")
        else:
            say(f"dvc.lock is up to date: {', '.join(stages)}")
