"""All Python of the DAG: what each job is made from, and which files it reads."""

import json
import sys
from pathlib import Path

if config:
    sys.exit(
        "--config and --configfile: not used here; change params.yaml, or `dvc exp run -S KEY=VALUE`"
    )

WORKFLOW = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(WORKFLOW))

import plan
from agreement import Agreement, set_environment
from dependencies import Digests
from slurm import ask_the_queue_only, record_in_job
from snakemake.io import strip_wildcard_constraints

DIGESTS = Digests(Path(".snakemake/digests.json"))
PARAMS, PLAN = plan.read(DIGESTS, plan.FILE if workflow.is_main_process else plan.RUN)
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
    """Parameters of a stage's job."""
    return lambda wildcards: PLAN[stage]["/".join(wildcards)].cfg


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

    A variant of a run, RUN+VARIANT, is made from the model of the run. All seeds of a study share one base, under
    the first seed; all requests of a sequence share base and original.
    """

    def path(wildcards):
        of = run or wildcards.run.split("+")[0]
        study, seed = wildcards.study, wildcards.seed
        stage = "unlearn" if of in PARAMS.studies[study].methods else "train"
        if of in ("base", "original"):
            study = PARAMS.at_request(study, 1)
        if of == "base":
            seed = PARAMS.studies[study].seeds[0]
        return f"results/{stage}/{study}/{of}/seed{seed}/{name}"

    return path


def start(name):
    """A file beside the model that must forget: the original one, or what the run made of it in the request before."""

    def path(wildcards):
        before = (PARAMS.studies[wildcards.study].forget.request or 1) - 1
        if before == 0:
            return model(name, run="original")(wildcards)
        study = PARAMS.at_request(wildcards.study, before)
        return f"results/unlearn/{study}/{wildcards.run}/seed{wildcards.seed}/{name}"

    return path


def scores_of_reference(wildcards):
    """Scores that reference_loss compares those of a run with: none where the study names no other run.

    Nor for a variant, whose texts or prompts may be others.
    """
    run = PARAMS.studies[wildcards.study].measure.reference
    if run in (None, wildcards.run) or "+" in wildcards.run:
        return []
    return f"results/score/{wildcards.study}/{run}/seed{wildcards.seed}/scores.npz"


def scores_of_shadows(wildcards):
    """Scores of all shadow models of the study, in the order of their seeds; none for a variant of a run."""
    shadow = (
        PARAMS.studies[wildcards.study].shadow if "+" not in wildcards.run else None
    )
    folder = f"results/score/{wildcards.study}/shadow"
    return (
        [f"{folder}/seed{seed}/scores.npz" for seed in shadow.seeds] if shadow else []
    )


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


def outputs_by_job(stage):
    """address -> the files that the job makes."""
    patterns = [
        strip_wildcard_constraints(pattern)
        for pattern in workflow.get_rule(RULE[stage]).output
    ]
    return {
        address: [pattern.format(**job.where) for pattern in patterns]
        for address, job in PLAN[stage].items()
    }
