"""Runs the jobs of a study as the workflow plans them, in this process, without Snakemake."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lethe.forget import forget
from lethe.measure import measure
from lethe.params.addresses import folder_of, is_reference, model_folder, start_folder
from lethe.params.file import Params
from lethe.prepare import prepare
from lethe.score import score
from lethe.train import train
from lethe.training.job import Job
from lethe.unlearn import unlearn

ROOT = Path(__file__).parents[1]


def plan_of(params: Params) -> dict[str, dict]:
    """stage -> address -> the parameters of the job."""
    sys.path.insert(0, str(ROOT / "workflow"))
    try:
        import plan
        from dependencies import Digests

        jobs = plan.jobs(params, Digests(Path(".snakemake/digests.json")))
    finally:
        sys.path.remove(str(ROOT / "workflow"))
    return {stage: {name: json.loads(job.cfg) for name, job in of.items()} for stage, of in jobs.items()}


def run_study(params: Params, study: str, runs: list[str], seed: int) -> None:
    """Make the prepared data, the forget set and these runs of a study, each with its scores and metrics but base's."""
    plan = plan_of(params)
    prepared, sets = (Path(folder_of(stage, study, seed=seed)) for stage in ("prepare", "forget"))
    prepare(plan["prepare"][study], prepared)
    forget(plan["forget"][f"{study}/{seed}"], seed, prepared, sets)
    for run in runs:
        out, base = (Path(model_folder(params, study, name, seed)) for name in (run, "base"))
        address = f"{study}/{run}/{seed}"
        if not (out / "model").exists():
            stage = "train" if is_reference(run) else "unlearn"
            job = Job(
                plan[stage][address], seed, run, out, Path("checkpoints") / out / "state.safetensors", None
            )
            if stage == "train":
                train(job, prepared, *([sets, base / "model"] if run != "base" else []))
            else:
                unlearn(
                    job,
                    prepared,
                    sets,
                    Path(start_folder(params, study, run, seed)) / "model",
                    base / "model",
                )
        if run != "base":
            scores = Path(folder_of("score", study, run, seed)) / "scores.npz"
            score(plan["score"][address], prepared, sets, out / "model", scores)
            measure(plan["measure"][address], seed, scores, Path(folder_of("measure", study, run, seed)))
