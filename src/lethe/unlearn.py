"""One unlearning run: an original model, and the method that lets it forget."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from lethe import models
from lethe.params.plug_ins import check_hyper
from lethe.params.training import Method
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.training import run_record
from lethe.training.job import Job
from lethe.training.run import Run


def unlearn(job: Job, prepared: Path, forget: Path, original: str | Path, base: Path | None = None) -> None:
    """Make the method's run; `cfg` holds task, model and method, and the recipe `finetune` for one that fits models.

    Args:
        prepared, forget: folders of `lethe prepare` and `lethe forget`.
        original: the model that must forget: its folder, or ID or ID@REVISION on the Hub.
        base: folder of the model it was trained from; for methods that train models of their own.
    """
    original = models.folder_of(original)
    method = Method.model_validate(job.cfg["method"])
    settings = check_hyper(f"methods.{job.run}", method, job.cfg["task"])
    file = plugins.imported("objectives", method.objective)
    hyper = file.Hyper(**settings)
    run = Run(job, prepared, forget, original, base, getattr(file, "TERMS", {}))
    if (
        method.training.evaluate
    ):  # by its name, so that a change there makes no run again that does not ask for it
        run.between = import_module("lethe.evaluation.each_epoch").EachEpoch(job, run)
    model = file.unlearn(hyper, run) if hasattr(file, "unlearn") else run.minimise(file.loss, hyper)
    if not hasattr(model, "save_pretrained"):
        raise InputError(f"{file.__file__}: unlearn returned {type(model).__name__}; needed is a model")
    run.save(model)
    inputs = {"prepared": prepared, "forget": forget, "base": base, "original": original}
    reads = run.examples.reads if method.training.evaluate else None
    run_record.write(job.out, job.cfg, job.run, job.seed, inputs, reads)
