"""All jobs of a parameter file in this process, in the order of the stages, each with the parameters of the plan."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

import plan  # noqa: E402
from dependencies import Digests  # noqa: E402

from lethe.compare import compare  # noqa: E402
from lethe.forget import forget  # noqa: E402
from lethe.measure import measure, measure_texts  # noqa: E402
from lethe.params.addresses import folder_of, given_start, model_folder, of_study, start_folder  # noqa: E402
from lethe.params.file import Params, check_params  # noqa: E402
from lethe.params.names import BLIND  # noqa: E402
from lethe.prepare import prepare  # noqa: E402
from lethe.report.report import report  # noqa: E402
from lethe.score import score  # noqa: E402
from lethe.train import train  # noqa: E402
from lethe.training.job import Job  # noqa: E402
from lethe.unlearn import unlearn  # noqa: E402


def planned(content: dict[str, Any]) -> tuple[Params, plan.Plan]:
    """Parameters and plan of the content of a parameter file, of the present folder."""
    parameters = check_params(content, "params.yaml")
    return parameters, plan.jobs(parameters, Digests(Path("digests.json")))


def make(content: dict[str, Any]) -> Params:
    """Make all outputs in the present folder; returns the parameters."""
    parameters, jobs = planned(content)
    for stage, of in jobs.items():
        for job in of.values():
            if stage == "report":
                report(parameters, Path(folder_of("report")))
            else:
                step(parameters, stage, json.loads(job.cfg), job.where)
    return parameters


def step(parameters: Params, stage: str, cfg: dict[str, Any], where: dict[str, str]) -> None:
    name, run, seed = where["study"], where.get("run", ""), int(where.get("seed", 0))
    out, study = Path(folder_of(stage, **where)), parameters.studies[name]
    data = Path(folder_of("prepare", name)), Path(folder_of("forget", name, seed=seed))
    job = Job(cfg, seed, run, out, Path("checkpoints") / out / "state.safetensors", None)

    def model(of: str) -> Path:
        return Path(model_folder(parameters, name, of, seed)) / "model"

    match stage:
        case "prepare":
            prepare(cfg, out)
        case "forget":
            forget(cfg, seed, data[0], out)
        case "train" if run == "base":
            train(job, data[0])
        case "train":
            train(job, *data, model("base"))
        case "unlearn":
            given = given_start(study)
            start = given.address if given else Path(start_folder(parameters, name, run, seed)) / "model"
            unlearn(job, *data, start, None if given else model("base"))
        case "score":
            known = study.given(run)
            score(cfg, *data, known.address if known else model(run), out / "scores.npz")
        case "measure":
            scores = Path(folder_of("score", name, "original" if run == BLIND else run, seed)) / "scores.npz"
            measure_texts(cfg, seed, data[0], scores, out) if run == BLIND else measure(
                cfg, seed, scores, out
            )
        case "compare":
            compare(
                cfg,
                Path(of_study("measure").format(study=name)),
                Path(of_study("score").format(study=name)),
                out,
            )
