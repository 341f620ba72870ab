"""All that the workflow uses of Snakemake beyond its documented interface, and of its executor for Slurm.

Nothing of it is promised by Snakemake, so pyproject.toml bounds its version, and tests/workflow/test_internals.py has
a test of every name. No other file names what begins with an underscore, or what is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import snakemake.api  # noqa: F401 (first, as its parts import one another)
import snakemake_executor_plugin_slurm as slurm_plugin
from pydantic import TypeAdapter
from snakemake.exceptions import WorkflowError
from snakemake.io import strip_wildcard_constraints
from snakemake.jobs import Job
from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence
from snakemake.settings.enums import PersistenceBackend
from snakemake.shell import shell
from snakemake.workflow import Workflow
from state import STATE, State

LOCKS = STATE / "locks"  # what a run keeps for itself; a killed one leaves it behind
RECORD = TypeAdapter(MetadataRecord)
MARK = TypeAdapter(dict[str, Any])


class Records:
    """Snakemake's records of how each output was made, and its marks of those that are not whole."""

    def __init__(self) -> None:
        self.files = FilePersistence(path=STATE.absolute())

    def read(self, path: Path) -> MetadataRecord | None:
        """The record of an output, as it is on the disk; None if there is none that can be read."""
        return State(self.file_of(path), RECORD).read()

    def file_of(self, path: Path, marks: bool = False) -> Path:
        """Where the record of an output is kept, or its mark."""
        folder = self.files._incomplete_path if marks else self.files._metadata_path
        return Path(self.files._record_path(folder, str(path)))

    def write(self, path: Path, record: MetadataRecord) -> None:
        """Record how a whole output was made."""
        record.record_format_version = RECORD_FORMAT_VERSION
        self.files._write_record(str(path), record)
        self.unmark(path)

    def mark(self, path: Path) -> None:
        """Have Snakemake make an output again."""
        self.files._mark_incomplete(str(path), None)

    def unmark(self, path: Path) -> None:
        self.files._unmark_incomplete(str(path))

    def marked(self, paths: Iterable[Path]) -> set[str]:
        """Outputs that are not whole. A mark that cannot be read is written anew."""
        found = self.files._filter_incomplete_keys(map(str, paths))
        for name in found:
            if State(self.file_of(Path(name), marks=True), MARK).read() is None:
                self.mark(Path(name))
        return found

    def forget_what_was_read(self) -> None:
        self.files._clear_cache()


def refusal(workflow: Workflow) -> str:
    """Why the workflow cannot run as it was started, or nothing."""
    if workflow.workflow_settings.persistence_backend != PersistenceBackend.FILE:
        return (
            "--persistence-backend: only `file` is allowed: what made each output is looked up in its records"
        )
    return ""


def surround(
    workflow: Workflow,
    before: Callable[[], None],
    after: Callable[[], None],
    hooks: dict[str, Callable[[], None]],
) -> None:
    """Call functions before and after a run that is no dry one, also one that finds nothing to do.

    Every run keeps records and calls the hooks, `onstart`, `onsuccess` and `onerror`, before those of the Snakefile
    that was started, also where this workflow is a module of it, and whatever its options say. One that would only
    touch outputs is refused: it would record today's parameters as those that made them.
    """
    execute = workflow.execute

    def surrounded(executor_plugin: Any, **others: Any) -> Any:
        settings = executor_plugin.common_settings
        if settings.touch_exec:
            raise WorkflowError(
                "--touch: not used here, where no output is made again for its time: content and parameters decide"
            )
        if settings.dryrun_exec:
            return execute(executor_plugin=executor_plugin, **others)
        workflow.execution_settings.keep_metadata = True
        workflow.execution_settings.no_hooks = False
        for name, hook in hooks.items():
            setattr(workflow, f"_{name}", both(hook, getattr(workflow, f"_{name}")))
        before()
        done = execute(executor_plugin=executor_plugin, **others)
        after()
        return done

    workflow.execute = surrounded


def both(first: Callable[[], None], second: Callable[[Any], None]) -> Callable[[Any], None]:
    """A hook as Snakemake calls it, with a log, that calls two functions."""

    def called(log: Any) -> None:
        first()
        second(log)

    return called


def full_name(workflow: Workflow, rule: str) -> str:
    """Name of a rule of this workflow, which a Snakefile that has it as a module may have given another."""
    return workflow.modifier.modify_rulename(rule)


def given_config(workflow: Workflow) -> dict[str, Any]:
    """What --config says."""
    return dict(workflow.config_settings.config)


def is_main(workflow: Workflow) -> bool:
    """Is it the process that was started by hand, not one of its jobs on a cluster?"""
    return workflow.is_main_process


def patterns(workflow: Workflow, rule: str) -> list[str]:
    """Outputs of a rule, with its wildcards as `{name}`."""
    return [
        strip_wildcard_constraints(pattern) for pattern in workflow.get_rule(full_name(workflow, rule)).output
    ]


def drop_timers(workflow: Workflow) -> None:
    """Each job that ends would leave another timer behind, which looks for jobs once a second to the end of the run."""
    workflow.scheduler.job_rate_limiter = None


def hand_down(descriptors: list[int]) -> None:
    """Let jobs inherit open files, such as a lock."""
    shell._process_args["pass_fds"] = tuple(descriptors)


def before_every_command(command: str) -> None:
    shell.prefix(command)


def record_in_job() -> None:
    """In a job on a cluster: record success here, and leave failure to the main process.

    A job that fails thus removes nothing: another copy of it, as after a node that seemed lost, may be at work on the
    same outputs. They stay marked as incomplete.
    """
    postprocess = Job.postprocess

    async def recorded(self: Job, *args: Any, error: bool = False, **others: Any) -> None:
        if error:
            return
        settings = self.dag.workflow.remote_execution_settings
        settings.immediate_submit = True  # under which Snakemake's jobs keep their own records
        try:
            await postprocess(self, *args, **others)
        finally:
            settings.immediate_submit = False

    Job.postprocess = recorded


def ask_the_queue_only() -> None:
    """Keep the plugin from turning to sacct while the controller is silent.

    It asks for MinJobAge before every look at the queue and takes no answer for a value that is too small. Where
    there is no accounting it then loses sight of all jobs, and waits for ever.
    """
    asked = slurm_plugin.get_min_job_age
    last: list[int] = []

    def min_job_age() -> int | None:
        age = asked()
        if age is not None:
            last[:] = [age]
        return last[0] if last else None

    slurm_plugin.get_min_job_age = min_job_age
