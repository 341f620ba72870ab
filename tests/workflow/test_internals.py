"""Every name of Snakemake that no documentation promises: one test for each, so that another version tells at once."""

from __future__ import annotations

import inspect
import re
from functools import partial
from pathlib import Path

import pytest
from repository import ROOT

NAMES = ROOT / "workflow/internals.py"


@pytest.fixture
def internals(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    monkeypatch.chdir(tmp_path)
    import internals

    return internals


@pytest.fixture
def records(internals):
    return internals.Records()


def test_nothing_else_names_what_is_private():
    """Outside of the one module: no import of Snakemake but its settings for the Snakefile, no foreign underscore."""
    for file in [ROOT / "Snakefile", *ROOT.glob("workflow/**/*.py"), *ROOT.glob("workflow/**/*.smk")]:
        text = file.read_text()
        if file == NAMES:
            continue
        imported = set(re.findall(r"(?:from|import) (snakemake[\w.]*)", text))
        assert imported <= ({"snakemake.utils"} if file.name == "Snakefile" else set()), file
        assert not re.findall(r"(?<!self)\._[a-z]", text), file


def test_a_record_is_read_as_it_was_written(internals, records):
    record = internals.MetadataRecord(
        rule="score",
        params=["'x'"],
        input=["a"],
        input_checksums={"a": "sha256:1"},
        starttime=1.0,
        endtime=2.5,
    )
    records.mark(Path("out/file"))
    records.write(Path("out/file"), record)
    found = records.read(Path("out/file"))
    assert found.record_format_version == internals.RECORD_FORMAT_VERSION
    assert (found.rule, found.params, found.input, found.endtime) == ("score", ["'x'"], ["a"], 2.5)
    assert found.input_checksums == {"a": "sha256:1"}
    assert records.marked([Path("out/file")]) == set()
    assert records.read(Path("out/other")) is None


def test_a_record_of_a_long_name(internals, records):
    path = Path("out/" + "x" * 200)
    records.write(path, internals.MetadataRecord(rule="score"))
    assert records.file_of(path).is_file()
    assert records.read(path).rule == "score"


def test_an_output_is_marked_and_not(records):
    records.mark(Path("a"))
    assert records.marked([Path("a"), Path("b")]) == {"a"}
    assert records.file_of(Path("a"), marks=True).is_file()
    records.unmark(Path("a"))
    records.forget_what_was_read()
    assert records.marked([Path("a"), Path("b")]) == set()


def test_a_mark_of_another_shape_is_written_anew(records):
    records.mark(Path("a"))
    records.file_of(Path("a"), marks=True).write_text("null")
    assert records.marked([Path("a")]) == {"a"}
    assert records.file_of(Path("a"), marks=True).read_text() == '{"external_jobid": null}'


def test_the_form_of_records_is_the_one_that_was_read(internals):
    """A new form may compare other things: look at `finished` and the `_changed` methods before raising the bound."""
    assert internals.RECORD_FORMAT_VERSION == 6
    source = inspect.getsource(internals.FilePersistence.finished)
    for name in ("params", "input", "input_checksums", "rule", "starttime", "endtime"):
        assert f"record.{name} = " in source
    assert "execution_settings.keep_metadata" in source
    assert "remote_execution_settings.immediate_submit" in source


class Plugin:
    class common_settings:
        touch_exec = dryrun_exec = False


class Recorder:
    """As much of a workflow as is used."""

    is_main_process = True

    def __init__(self):
        self.execution_settings = type("Settings", (), {"keep_metadata": False, "no_hooks": True})()
        self.calls = []
        self._onstart = self._onsuccess = self._onerror = lambda log: self.calls.append(log)

    def execute(self, executor_plugin, updated_files=None):
        self.calls.append("execute")


def test_a_run_is_surrounded(internals):
    run = Recorder()
    hooks = {name: partial(run.calls.append, name) for name in ("onstart", "onsuccess", "onerror")}
    internals.surround(run, partial(run.calls.append, "before"), partial(run.calls.append, "after"), hooks)
    run.execute(executor_plugin=Plugin)
    assert run.calls == ["before", "execute", "after"]
    run.calls.clear()
    run._onstart("log of onstart")  # that of the Snakefile that was started follows
    run._onerror("log of onerror")
    assert run.calls == ["onstart", "log of onstart", "onerror", "log of onerror"]
    assert run.execution_settings.keep_metadata and not run.execution_settings.no_hooks


@pytest.mark.parametrize(("kind", "calls"), [("dryrun", ["execute"]), ("touch", [])])
def test_a_dry_run_is_left_alone_and_touching_refused(internals, kind, calls):
    run, plugin = Recorder(), type("Plugin", (), {"common_settings": type("Settings", (), {})})
    plugin.common_settings.dryrun_exec = kind == "dryrun"
    plugin.common_settings.touch_exec = kind == "touch"
    internals.surround(run, partial(run.calls.append, "before"), partial(run.calls.append, "after"), {})
    if kind == "touch":
        with pytest.raises(internals.WorkflowError, match="--touch: not used here"):
            run.execute(executor_plugin=plugin)
    else:
        run.execute(executor_plugin=plugin)
    assert run.calls == calls


def test_snakemake_calls_what_is_surrounded(internals):
    """With the plugin of the executor by name, after it has set what is changed; dry runs and touching have plugins."""
    import snakemake.executors.dryrun
    import snakemake.executors.touch
    from snakemake.api import DAGApi

    source = inspect.getsource(DAGApi.execute_workflow)
    assert source.index("workflow.execution_settings = ") < source.index("workflow.execute(")
    assert re.search(r"workflow\.execute\(\s+executor_plugin=", source)
    assert snakemake.executors.dryrun.common_settings.dryrun_exec
    assert snakemake.executors.touch.common_settings.touch_exec
    fields = internals.Workflow.execute.__code__.co_varnames
    assert "executor_plugin" in fields
    from snakemake.settings.types import ExecutionSettings

    assert {"keep_metadata", "no_hooks"} <= set(ExecutionSettings.__dataclass_fields__)


def test_snakemake_calls_the_hooks(internals):
    source = inspect.getsource(internals.Workflow)
    for name in ("onstart", "onsuccess", "onerror"):
        assert f"self._{name}(self.logger_manager.get_logfile())" in source


def test_what_config_says_on_the_command_line(internals):
    from snakemake.settings.types import ConfigSettings

    run = type("Workflow", (), {"config_settings": ConfigSettings(config={"params": "a.yaml"})})()
    assert internals.given_config(run) == {"params": "a.yaml"}


def test_other_records_are_refused(internals):
    from snakemake.settings.types import WorkflowSettings

    run = type("Workflow", (), {"workflow_settings": WorkflowSettings()})()
    assert internals.refusal(run) == ""
    run.workflow_settings.persistence_backend = "db"
    assert "--persistence-backend" in internals.refusal(run)


def test_the_main_process_knows_itself(internals):
    assert isinstance(inspect.getattr_static(internals.Workflow, "is_main_process"), property)
    assert internals.is_main(Recorder())


def test_the_patterns_of_a_rule(internals):
    assert hasattr(internals.Workflow, "get_rule")
    rule = type("Rule", (), {"output": ["out/{run,[a-z]+}/{seed}.json"]})
    modifier = type("Modifier", (), {"modify_rulename": lambda self, name: f"lethe_{name}"})()
    rules = {"lethe_any": rule}
    run = type("Workflow", (), {"get_rule": lambda self, name: rules[name], "modifier": modifier})()
    assert internals.patterns(run, "any") == ["out/{run}/{seed}.json"]
    from snakemake.modules import WorkflowModifier

    assert hasattr(WorkflowModifier, "modify_rulename")


def test_the_timers_are_those_of_the_scheduler(internals):
    from snakemake.scheduling.job_scheduler import JobScheduler

    assert "self.job_rate_limiter = " in inspect.getsource(JobScheduler.__init__)
    run = type("Workflow", (), {"scheduler": type("Scheduler", (), {"job_rate_limiter": 1})()})()
    internals.drop_timers(run)
    assert run.scheduler.job_rate_limiter is None


def test_jobs_inherit_what_is_handed_down(internals, tmp_path):
    """A shell of Snakemake writes into a file that this process opened."""
    import os

    read, write = os.pipe()
    before = dict(internals.shell._process_args)
    try:
        internals.hand_down([write])
        internals.shell(f"echo through >&{write}")
    finally:
        internals.shell._process_args.clear()
        internals.shell._process_args.update(before)
        os.close(write)
    assert os.read(read, 100) == b"through\n"
    os.close(read)


def test_a_command_precedes_every_other(internals):
    internals.before_every_command("export GREETING=hello; ")
    try:
        assert internals.shell("echo $GREETING", read=True) == "hello\n"
    finally:
        internals.shell.prefix("")


def test_a_job_on_a_cluster_keeps_its_own_record(internals, monkeypatch):
    import asyncio

    seen = []

    async def postprocess(self, *args, error=False):
        seen.append(self.dag.workflow.remote_execution_settings.immediate_submit)

    assert inspect.iscoroutinefunction(internals.Job.postprocess)
    assert "error" in inspect.signature(internals.Job.postprocess).parameters
    monkeypatch.setattr(internals.Job, "postprocess", postprocess)
    internals.record_in_job()
    settings = type("Settings", (), {"immediate_submit": False})()
    job = type("Job", (), {})()
    job.dag = type("Dag", (), {"workflow": type("W", (), {"remote_execution_settings": settings})})
    asyncio.run(internals.Job.postprocess(job, error=True))
    asyncio.run(internals.Job.postprocess(job))
    assert seen == [True] and settings.immediate_submit is False


def test_the_plugin_for_slurm_keeps_the_last_answer(internals, monkeypatch):
    answers = iter([None, 300, None])
    assert callable(internals.slurm_plugin.get_min_job_age)
    monkeypatch.setattr(internals.slurm_plugin, "get_min_job_age", lambda: next(answers))
    internals.ask_the_queue_only()
    assert [internals.slurm_plugin.get_min_job_age() for _ in range(3)] == [None, 300, 300]


def test_the_folder_of_locks_is_that_of_snakemake(internals, records):
    assert records.files._lockdir == str(internals.LOCKS.absolute())
