"""The plan: every job of the workflow, with all it is made from except the outputs of other jobs.

Snakemake reads it while the Snakefile is parsed and gives each job its part as parameters; DVC runs this file as
its first stage and lets every other stage depend on that stage's part (results/plan/STAGE.json). Both therefore
call a stage changed for the same reason, by construction.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from dependencies import PART, SOURCES, Digests, file_of, followed, name_of, source_files, text_of_part

from lethe.params.addresses import ROOTS, beside, given_start, trains_shared
from lethe.params.compare import Compare
from lethe.params.file import Params, load_params
from lethe.params.names import BLIND, SHADOW, VARIANT
from lethe.params.plug_ins import needs_base
from lethe.params.sources import HUB_ID, kind, local_names
from lethe.params.study import Study
from lethe.system.errors import InputError
from lethe.system.git import is_kept, kept_warning
from lethe.system.plugins import gives, names_in

FILE = "params.yaml"
SPARE = 100  # characters of what lies in the folder of a job
PLAN = Path("results/plan")
RUN = ".snakemake/run.params"  # the parameters of the run at work, of which its jobs on a cluster are made
# stage -> pattern of the file with the parameters of a job of the run at work
JOB_FILES = {stage: beside(".snakemake/run.jobs", stage, ".json") for stage in ROOTS}
HARNESS_TASKS = SOURCES / "lethe/evaluation/harness_tasks"
RULES = Path(__file__).parent / "rules"
DECISIVE = {"input", "output", "params", "shell"}  # parts of a rule that decide what a job makes


@dataclass(frozen=True)
class Job:
    """One job: its place in the workflow and what it is made from.

    Attributes:
        where: wildcards: none, or study, or study and seed, or study, run and seed.
        cfg: the parameters it needs, one canonical JSON string. (Snakemake compares parameters as a set of
            values, in which two values that change places are no change.)
        sources: digests of its code files, of its rule and of local data by their names, one JSON string.
    """

    where: dict[str, str]
    cfg: str
    sources: str

    @property
    def address(self) -> str:
        return "/".join(self.where.values())


Plan = dict[str, dict[str, Job]]  # stage -> address -> job


def jobs(parameters: Params, digests: Digests, file: str = FILE) -> Plan:
    """All jobs of a parameter file, by whose name faults are told.

    Raises:
        InputError: a data file named in the parameters does not exist.
    """
    plan: Plan = {stage: {} for stage in ROOTS}
    digest = cache(lambda path: digests.of(path, anew=True)[:16])
    code = {stage: Code(stage, digest) for stage in ROOTS}

    def add(stage: str, cfg: dict[str, Any], tasks: tuple[str, ...], *modules: str, **where: Any) -> None:
        place = {key: str(value) for key, value in where.items()}
        if any(
            not file_of(m).is_relative_to(SOURCES) for m in (*modules, *map("lethe.tasks.{}".format, tasks))
        ):
            cfg = cfg | {"plugins": parameters.plugins}
        local = {path: digest(Path(path)) for path in local_paths(cfg)}
        local |= {name: digest(path) for name, path in task_folders(cfg)}
        job = Job(place, canonical(cfg), canonical(code[stage].of(tasks, *modules) | local))
        plan[stage][job.address] = job

    for name, study in parameters.studies.items():
        check_files(name, study, file)
        all_of = study.model_dump(mode="json")
        for stage, run, seed, keys, module in steps(study):
            cfg = {"task": study.task} | {key: all_of[key] for key in keys}
            if stage == "forget" and not keys:
                cfg["forget"] = {"strategy": SHADOW}
            if stage == "prepare":
                cfg |= {"seed": study.first_seed, "model": study.model.reading}
            given = {"score": study.given(run), "unlearn": given_start(study)}.get(stage)
            if given:
                cfg["given"] = given.model_dump(mode="json")
            if (
                stage == "train"
            ):  # base is not made again for another fine-tuning, nor the others' recipe for it
                recipe = "pretrain" if run == "base" else "finetune"
                cfg["train"] = {"pretrain": None, "finetune": {}, recipe: all_of["train"][recipe]}
                if study.train and run in study.retrained:
                    cfg["train"]["match"] = study.train.match
            if run == SHADOW and stage == "score":  # all examples, and nothing decoded
                cfg["score"] = all_of["score"] | {"extract": [], "most": None}
            if study.ulira and seed in study.ulira.seeds:
                if stage == "forget":
                    cfg["audited"] = study.seeds[0]
                if stage == "score":
                    cfg["score"] = all_of["score"] | {"extract": [], "most": None, "tasks": []}
            if stage == "measure" and study.ulira and seed is not None and study.attacked_by(run, seed):
                cfg["ulira"] = study.ulira.model_dump(mode="json", exclude={"methods"})
            if stage == "unlearn":
                cfg["method"] = all_of["methods"][run]
                offset = study.methods[run].training.offset is not None
                if offset or needs_base(study.methods[run].objective):
                    cfg["finetune"] = all_of["train"]["finetune"]
                if offset:
                    cfg["pretrain"] = all_of["train"]["pretrain"]
                if study.methods[run].training.evaluate:
                    cfg |= {"score": all_of["score"], "measure": all_of["measure"]}
            if stage == "score" and VARIANT in run:
                cfg["perturbation"] = study.variants[run.split(VARIANT)[1]]
            if stage == "compare":
                cfg = Compare.of(study, parameters.report).model_dump(mode="json")
            place = {"study": name, "run": run, "seed": seed}
            add(stage, cfg, (study.task,), *module, **{k: v for k, v in place.items() if v not in ("", None)})
    kept = {name: study for name, study in parameters.studies.items() if study.version is None}
    reported = parameters.model_copy(update={"studies": kept})  # a deletion request has a page of its own
    tasks = tuple(dict.fromkeys(study.task for study in kept.values()))
    # whether a study serves requests decides a link of the page; which it has served, nothing
    requests = {name: {"served"} if study.requests else True for name, study in kept.items()}
    hidden = {"studies": {name: {"tune": True, "requests": of} for name, of in requests.items()}}
    add("report", reported.model_dump(mode="json", exclude=hidden), tasks)
    return plan


def steps(study: Study) -> Iterator[tuple[str, str, int | None, list[str], list[str]]]:
    """stage, run, seed, keys of the study, and modules that are imported by name, of every job of a study.

    A job of no run, or of no seed, has "" and None.
    """
    first, *_ = study.seeds
    trains, shared = study.train is not None, study.train is not None and trains_shared(study)
    built_in = {s.source for s in sources_of(study).values() if kind(s.source) == "built-in"}
    data = [f"lethe.datasets.{source}" for source in sorted(built_in)]
    metrics = [f"lethe.metrics.{name}" for name in names_in("metrics")]
    between = ["lethe.evaluation.each_epoch", *metrics]  # of a method that is measured between epochs
    of_texts = [f"{metric}{PART}of_texts" for metric in metrics if gives(study.task, "text")]
    objectives = {
        run: [f"lethe.objectives.{method.objective}", *(between if method.training.evaluate else [])]
        for run, method in study.methods.items()
    }
    yield "prepare", "", None, ["dataset"], data
    if shared:
        yield "train", "base", first, ["model"], []
    for seed in study.seeds:
        yield "forget", "", seed, ["forget"], []
        for run in (*(["original"] * shared), *(study.retrained * trains)):
            yield "train", run, seed, ["model"], []
        for run in study.unlearned:
            yield "unlearn", run, seed, ["model"], objectives[run]
        for run in [*study.runs, *study.retrained[1:]]:
            yield "score", run, seed, ["model", "score"], of_texts
            yield "measure", run, seed, ["measure", "shadow"], metrics
        for variant, given in study.variants.items():
            code = [f"lethe.perturbations.{given['perturbation']}"]
            for run in study.compared:
                yield "score", f"{run}{VARIANT}{variant}", seed, ["model", "score"], [*code, *of_texts]
                yield "measure", f"{run}{VARIANT}{variant}", seed, ["measure"], metrics
        yield "measure", BLIND, seed, ["measure"], metrics
    if study.version is None:  # one of a single seed is compared on resamples
        yield "compare", "", None, [], metrics if len(study.seeds) == 1 else []
    for seed in study.ulira.seeds if study.ulira and study.audited else []:
        yield "forget", "", seed, ["forget"], []
        yield "train", "original", seed, ["model"], []
        for run in study.audited:
            yield "unlearn", run, seed, ["model"], objectives[run]
            yield "score", run, seed, ["model", "score"], []
    for seed in study.shadow.seeds if study.shadow else []:
        yield "forget", "", seed, [], []
        yield "train", SHADOW, seed, ["model"], []
        yield "score", SHADOW, seed, ["model", "score"], []


def sources_of(study: Study) -> dict[str, Any]:
    """Key below the study -> a source of text that it reads."""
    dataset, splits = study.dataset, study.dataset.splits
    found: dict[str, Any] = {"dataset": dataset}
    if splits:
        found = {f"dataset.splits.{name}": source for name, source in splits.by_role.items()}
        found |= {f"dataset.splits.{key}": source for key, (_, source) in splits.beside.items()}
        found |= {f"dataset.probes.{name}": source for name, source in dataset.probes.items()}
    return found | ({"dataset.general": dataset.general} if dataset.general else {})


def check_files(name: str, study: Study, parameter_file: str) -> None:
    """Raise InputError if a file that the study names is not there."""
    where = f"{parameter_file}: studies.{name}"
    named = {"model.tokenizer": study.model.tokenizer, "forget.file": study.forget.file}
    for key, source in sources_of(study).items():
        named[f"{key}.source"] = source.source if kind(source.source) in ("table", "tokens") else None
        named[f"{key}.tokenizer"] = source.tokenizer
    for place, asked in enumerate(study.score.tasks):
        named[f"score.tasks.{place}"] = asked.task if asked.task.endswith(".yaml") else None
    for key, path in named.items():
        if path and not os.path.exists(path):
            raise InputError(f"{where}.{key}: {path}: no such file")
        if path and not (os.path.isfile(path) or os.path.isdir(path)):
            raise InputError(f"{where}.{key}: {path}: is a pipe or a device; a file is needed")
    for path in sorted(local_paths(study.model_dump(mode="json"))):
        if Path.cwd().is_relative_to(Path(path).resolve()):  # its digest would be that of all there is
            raise InputError(f"{where}: {path}: holds this repository; needed is a folder in it")
    models = {"model.source": study.model.source}
    given = {run: study.given(run) for run in ("original", *study.retrained)}
    models |= {f"references: {run}": model.source for run, model in given.items() if model}
    for key, source in models.items():
        if os.path.isdir(source) and not os.path.exists(os.path.join(source, "config.json")):
            raise InputError(f"{where}.{key}: {source}: a folder without config.json")
        if key != "model.source" and not (os.path.isdir(source) or HUB_ID.fullmatch(source)):
            raise InputError(f"{where}.{key}: {source}: no such folder, nor a Hub id")


def warn_of_texts_in_git(parameters: Params, file: str) -> None:
    """Say which sources of text git keeps."""
    for name, study in parameters.studies.items():
        for key, source in sources_of(study).items():
            if kind(source.source) in ("table", "tokens", "folder") and is_kept(source.source):
                where = f"{file}: studies.{name}.{key}.source"
                print(f"[plan] {kept_warning(where, source.source)}", file=sys.stderr)


def local_paths(cfg: Any) -> set[str]:
    """Values in a job's parameters that are names of existing files or folders."""
    if not isinstance(cfg, dict):
        return set()
    here = local_names(cfg).values()
    return {v for v in here if os.path.exists(v)}.union(*map(local_paths, cfg.values()))


def task_folders(cfg: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """Name and folder of what the tasks of a job are made from: data, and the task file with all that lies beside."""
    for asked in cfg.get("score", {}).get("tasks", []):
        task, data = asked["task"], asked["data"]
        if data is not None and os.path.isdir(data):
            yield data, Path(data)
        folder = os.path.dirname(task) or task
        if os.path.isfile(task):
            yield folder, Path(folder)
        elif (HARNESS_TASKS / f"{task}.yaml").exists():
            yield str(HARNESS_TASKS.relative_to(SOURCES)), HARNESS_TASKS


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class Code:
    """Digests of the code of one stage, for jobs that differ in what they import by name."""

    def __init__(self, stage: str, digest: Callable[[Path], str]):
        command = {"report": "report.report"}.get(stage, stage)
        self.module, self.digest = f"lethe.{command}", digest
        text = "\n".join(decisive_lines((RULES / f"{stage}.smk").read_text(encoding="utf-8")))
        self.rule = {f"rules/{stage}.smk": sha256(text)}
        self.found: dict[tuple[Any, ...], dict[str, str]] = {}

    def of(self, tasks: tuple[str, ...], *modules: str) -> dict[str, str]:
        if (tasks, modules) not in self.found:
            all_of = followed(self.module, *modules, tasks=tasks)
            parts = {m for m in all_of if PART in m}
            code = {name_of(f): self.digest(f) for f in source_files(*(all_of - parts))}
            code |= {part: sha256(text_of_part(part)) for part in parts if text_of_part(part)}
            self.found[tasks, modules] = self.rule | code
        return self.found[tasks, modules]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def decisive_lines(rule_file: str) -> Iterator[str]:
    """Lines of the decisive parts of rules, as snakefmt lays them out, without comments."""
    part = None
    for line in rule_file.splitlines():
        head = re.match(r" {4}(\w+):", line)
        part = head[1] if head else part if line.startswith(" " * 8) else None
        if part in DECISIVE and not line.lstrip().startswith("#"):
            yield line


def is_written(plan: Plan, stage: str) -> bool:
    """Does DVC's view of a stage, results/plan/STAGE.json, hold this plan?"""
    file = PLAN / f"{stage}.json"
    return file.exists() and file.read_bytes() == text_of(plan[stage]).encode()


def text_of(stage_jobs: dict[str, Job]) -> str:
    content = {
        job.address: {"cfg": json.loads(job.cfg), "sources": json.loads(job.sources)}
        for job in stage_jobs.values()
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def write(plan: Plan) -> None:
    """Write results/plan/STAGE.json, each only if it changed."""
    PLAN.mkdir(parents=True, exist_ok=True)
    for stage in plan:
        if not is_written(plan, stage):
            (PLAN / f"{stage}.json").write_bytes(text_of(plan[stage]).encode())


def write_jobs(plan: Plan) -> None:
    """Write the parameters of every job to the file it reads, if they are not there."""
    for stage, stage_jobs in plan.items():
        for job in stage_jobs.values():
            file = Path(JOB_FILES[stage].format(**job.where))
            if not file.exists() or file.read_bytes() != job.cfg.encode():
                file.parent.mkdir(parents=True, exist_ok=True)
                temporary = file.with_suffix(".part")
                temporary.write_bytes(job.cfg.encode())
                os.replace(temporary, file)


def load(digests: Digests, file: str = FILE) -> tuple[Params, Plan]:
    """Parameters and their plan; InputError if the file is faulty."""
    parameters = load_params(file)
    plan = jobs(parameters, digests, file)
    check_lengths(plan, file)
    return parameters, plan


def check_lengths(plan: Plan, file: str) -> None:
    """Raise InputError if this folder's file system has no names, or no paths, as long as those that will be made."""
    most = {what: os.pathconf(".", f"PC_{what.upper()}_MAX") for what in ("name", "path")}  # < 0: any
    here = len(os.fsencode(Path.cwd()))
    for stage, stage_jobs in plan.items():
        for job in stage_jobs.values():
            path = here + len(JOB_FILES[stage].format(**job.where)) + SPARE
            found = {"name": max(map(len, job.where.values()), default=0), "path": path}
            for what, length in found.items():
                if 0 <= most[what] < length:
                    raise InputError(
                        f"{file}: studies.{job.address[:80]}: makes a {what} of {length} characters; the file system of"
                        f" this folder allows {most[what]}"
                    )


def read(digests: Digests, file: str = FILE) -> tuple[Params, Plan]:
    """The same; ends the process with one line if the file is faulty."""
    try:
        return load(digests, file)
    except InputError as error:
        sys.exit(str(error))


def chosen(config: dict[str, Any], files: Sequence[Path | str], given: dict[str, Any]) -> str:
    """The parameter file, below this folder: `params` of Snakemake's config, the one file of --configfile, or FILE.

    Args:
        config: Snakemake's; of a module that of the module.
        files: all that config was read from.
        given: what --config says.
    Ends the process with one line for anything else in config.
    """
    name: Any = FILE
    if {*config} == {"params"}:
        name = config["params"]
    elif "studies" in config and len(files) == 1 and not given:
        name = str(files[0])
    elif config:
        key = min({*given} - {"params"} or {*config} - {"params"})
        sys.exit(
            f"config: {key}: not used here; allowed is `params`, a parameter file; change that file, or"
            " `dvc exp run -S KEY=VALUE`"
        )
    path = os.path.relpath(name) if isinstance(name, str) else ".."
    if path.startswith(".."):
        sys.exit(f"config: params: {name}: needed is a parameter file in this folder, or below it")
    return path


if __name__ == "__main__":
    memory = Digests(Path(".snakemake/digests.json"))
    write(read(memory, *sys.argv[1:])[1])
    memory.save()
