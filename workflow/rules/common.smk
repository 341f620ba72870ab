"""All Python of the DAG: what each job is made from, and which files it reads."""

import json
import shlex
import sys
from functools import cache
from pathlib import Path

WORKFLOW = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
sys.path.insert(0, str(WORKFLOW))

import plan
from agreement import Agreement
from dependencies import Digests
from environment import set_environment
from internals import (
    ask_the_queue_only,
    full_name,
    given_config,
    is_main,
    patterns,
    record_in_job,
)

from lethe.params import addresses
from lethe.params.addresses import beside, of_study
from lethe.params.names import SHADOW, VARIANT

DIGESTS = Digests(Path(".snakemake/digests.json"))
FILE = plan.chosen(config, workflow.configfiles, given_config(workflow))
PARAMS, PLAN = plan.read(DIGESTS, FILE if is_main(workflow) else plan.RUN)
PREPARE, FORGET, TRAIN, UNLEARN, SCORE, MEASURE, COMPARE, REPORT = (
    addresses.FOLDERS.values()
)
RULE = {  # stage -> a rule with its outputs
    "prepare": "prepare_data",
    "forget": "draw_forget_set",
    "train": "train_base",
    "unlearn": "unlearn_examples",
    "score": "score_model",
    "measure": "measure_scores",
    "compare": "compare_runs",
    "report": "write_report",
}

set_environment()


wildcard_constraints:
    study="[a-z0-9][a-z0-9_-]*",
    run=r"[a-z0-9][a-z0-9_-]*(\+[a-z0-9_-]+)?",
    seed=r"\d+",


def cfg(stage):
    """Parameters of a stage's job, which Snakemake compares with those of before; the job reads them from its file."""
    return lambda wildcards: PLAN[stage]["/".join(wildcards)].cfg


def file(stage):
    """The file that holds the parameters of a stage's job: on a command line they might be more than Linux allows."""
    return filled(plan.JOB_FILES[stage])


def filled(pattern):
    """An address with the job's own wildcards."""
    return lambda wildcards: pattern.format(**dict(wildcards.items()))


def sources(stage):
    """Names and digests of the code and the local data of a stage's job."""
    return lambda wildcards: PLAN[stage]["/".join(wildcards)].sources


def processes(stage):
    """Processes that a training job starts: each takes a core, and a GPU where there are some."""

    def count(wildcards):
        made_from = json.loads(cfg(stage)(wildcards))
        if stage == "unlearn":
            return made_from["method"]["training"]["processes"]
        recipe = made_from["train"]["pretrain"] or made_from["train"]["finetune"]
        return recipe.get(
            "processes", 1
        )  # without a recipe, a model is taken as it comes

    return count


def model(name, run=None):
    """A file beside the model of a run, in every study and seed; of the job's own run if none is named.

    None of a model that exists, whose digest is among the job's sources; nor of its base, which nobody gives.
    """

    def path(wildcards):
        study, own, seed = wildcards
        asked = run or own
        known = PARAMS.studies[study]
        if known.given(asked) or (asked == "base" and not known.train):
            return []
        return f"{addresses.model_folder(PARAMS, study, asked, seed)}/{name}"

    return path


def start(name):
    """A file beside the model that must forget; none if that exists."""

    def path(wildcards):
        if addresses.given_start(PARAMS.studies[wildcards.study]):
            return []
        return f"{addresses.start_folder(PARAMS, *wildcards)}/{name}"

    return path


def scored_model(wildcards, input):
    """The model that is scored: the folder of one that was made, or one that exists."""
    given = PARAMS.studies[wildcards.study].given(wildcards.run)
    return given.address if given else str(input.model)


def models_of_method(wildcards, input):
    """Options of `lethe unlearn`: the model that must forget, and the base where there is one."""
    given = addresses.given_start(PARAMS.studies[wildcards.study])
    original = given.address if given else str(input.original)
    return f"--model {shlex.quote(original)}" + (
        f" --base {input.base}" if input.base else ""
    )


def scores_of_original(wildcards):
    """Scores of the original model of the seed."""
    return scores(wildcards.study, "original", wildcards.seed)


def scores_of_reference(wildcards):
    """Scores that reference_loss compares those of a run with: none where the study names no other run.

    Nor for a variant, whose texts or prompts may be others.
    """
    run = PARAMS.studies[wildcards.study].measure.reference
    if run in (None, wildcards.run) or VARIANT in wildcards.run:
        return []
    return scores(wildcards.study, run, wildcards.seed)


def scores_of_deep(wildcards):
    """Scores of the original, which say what it knew, where facts are forgotten; not for a variant."""
    deep = PARAMS.studies[wildcards.study].forget.strategy in ("superficial", "deep")
    return (
        scores_of_original(wildcards) if deep and VARIANT not in wildcards.run else []
    )


def scores_of_shadows(wildcards):
    """Scores of all shadow models of the study, in the order of their seeds; none for a variant of a run."""
    shadow = PARAMS.studies[wildcards.study].shadow
    if shadow is None or VARIANT in wildcards.run:
        return []
    return [scores(wildcards.study, SHADOW, seed) for seed in shadow.seeds]


def scores_of_unlearned(wildcards):
    """Scores of the models that the attacking methods let forget, for U-LiRA; none where it attacks no run."""
    study = PARAMS.studies[wildcards.study]
    methods = study.attacked_by(wildcards.run, int(wildcards.seed))
    return [
        scores(wildcards.study, method, seed)
        for method in methods
        for seed in study.ulira.seeds
    ]


def folders_of_methods(wildcards, input):
    """The folder of each method's scores."""
    return list(dict.fromkeys(str(Path(file).parents[1]) for file in input.unlearned))


def scores(study, run, seed):
    return f"{addresses.folder_of('score', study, run, seed)}/scores.npz"


def folder_of_shadows(wildcards, input):
    """The folder of these scores, if any: the names of so many files might be more than Linux allows."""
    return str(Path(input.shadow[0]).parents[1]) if input.shadow else []


def outputs_of_study(stage):
    """Files that the jobs of a stage make for one study."""
    return lambda wildcards: [
        path
        for address, paths in outputs_by_job(stage).items()
        if PLAN[stage][address].where["study"] == wildcards.study
        for path in paths
    ]


def scores_of_single_seed(wildcards):
    """All scores of a study of one seed, whose intervals are over examples; none of another."""
    alone = len(PARAMS.studies[wildcards.study].seeds) == 1
    return outputs_of_study("score")(wildcards) if alone else []


def outputs(stage, *endings):
    """Files that the jobs of a stage make, or those of them with one of the endings."""
    return [
        path
        for paths in outputs_by_job(stage).values()
        for path in paths
        if path.endswith(endings or "")
    ]


def reported(stage, *endings):
    """The same without those of deletion requests, each of which has a page of its own."""
    proper = {name for name, study in PARAMS.studies.items() if study.version is None}
    return [
        path
        for address, paths in outputs_by_job(stage).items()
        if PLAN[stage][address].where["study"] in proper
        for path in paths
        if path.endswith(endings or "")
    ]


@cache
def patterns_of(stage):
    """Outputs of a stage's rules; asked first while these are read, under the names they then have."""
    return patterns(workflow, RULE[stage])


def outputs_by_job(stage):
    """address -> the files that the job makes."""
    made = patterns_of(stage)
    return {
        address: [pattern.format(**job.where) for pattern in made]
        for address, job in PLAN[stage].items()
    }
