"""A small study that serves deletion requests, whose jobs run in this process."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pandas as pd
import study
import whole_study
import workflow_in_process
import yaml

from lethe.params.file import request_name


def parameters(folder: Path) -> dict:
    cfg = study.parameters(folder, "generation")
    rows = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    rows = [row | {"subject": f"person-{k // 2}"} for k, row in enumerate(rows)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cfg["dataset"] |= {"source": "texts.jsonl", "subject": "subject", "long": "windows"}
    cfg["dataset"]["general"]["source"] = "general.jsonl"
    cfg["train"] = {name: recipe | {"epochs": 6} for name, recipe in cfg["train"].items()}
    cfg["score"] |= {"extract": ["forget"], "tries": 0}
    keys = ("task", "dataset", "model", "forget", "train", "score")
    recipe = {"epochs": 2, "learning_rate": 1e-3, "batch": {"forget": 2, "retain": 4}}
    return {key: copy.deepcopy(cfg[key]) for key in keys} | {
        "seeds": [1],
        "measure": {"bootstrap": 100},
        "methods": {"npo": {"training": recipe}},
        "requests": {"method": "npo", "thresholds": {"memorization_accuracy_retain": {"least": 0.0}}},
    }


def make_in_process(params, name, number, arguments):
    step = request_name(name, number)
    of = params.studies[step]
    workflow_in_process.run_study(params, step, [*of.runs, *of.retrained[1:]], of.seeds[0])


def make_once(params, name, number, arguments):
    """The same, job after job; one that has ended is not run again, as Snakemake does it."""
    make_jobs(request_name(name, number))


def make_jobs(study: str, stages: tuple[str, ...] = ()) -> None:
    """Run the jobs of a study in params.yaml, of these stages, or of all but comparison and report."""
    params, jobs = whole_study.planned(yaml.safe_load(Path("params.yaml").read_text()))
    for stage in stages or [stage for stage in jobs if stage not in ("compare", "report")]:
        for job in jobs[stage].values():
            ended = Path(".snakemake/ended", stage, job.address)
            if job.where["study"] == study and not ended.exists():
                whole_study.step(params, stage, json.loads(job.cfg), job.where)
                ended.parent.mkdir(parents=True, exist_ok=True)
                ended.touch()


def subject(folder: Path, place: int) -> dict:
    """What asks for all records of one of the people who were trained on."""
    table = pd.read_parquet(folder / "data/prepared/people/examples.parquet")
    return {"subject": sorted(table["subject"][table["split"] == "train"].unique())[place]}


def ask(folder: Path, reference: str, *lines: dict) -> Path:
    file = folder / "data/requests" / f"{reference}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    common = {"reference": reference, "date": "2026-11-29"}
    file.write_text("".join(json.dumps(line | common) + "\n" for line in lines))
    return file


def bits(folder: Path) -> dict[str, bytes]:
    skipped = ("cost.json", "digests.json")
    return {
        str(f): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file() and f.name not in skipped
    }


def listed(output: str) -> dict[str, str]:
    """path -> whose it is, of what `lethe purge` printed."""
    lines = [
        line.split(": ")
        for line in output.splitlines()
        if line.startswith(("lethe: ", "not lethe: ", "kept: ", "in use: "))
    ]
    return {line[1]: line[0] for line in lines}
