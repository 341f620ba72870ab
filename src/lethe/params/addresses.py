"""Where everything lies: the one place that spells addresses, and knows what the requests of a sequence share.

Folders are patterns with the wildcards of Snakemake's rules: {study}, {run} and {seed}.
"""

from __future__ import annotations

from lethe.params.file import Params
from lethe.params.names import REFERENCES, RETRAIN, SHADOW, VARIANT
from lethe.params.references import GivenModel
from lethe.params.study import Study

ROOTS = {  # stage -> the folder that holds its outputs and nothing else
    "prepare": "data/prepared",
    "forget": "data/forget",
    "train": "results/train",
    "unlearn": "results/unlearn",
    "score": "results/score",
    "measure": "results/measure",
    "compare": "results/compare",
    "report": "results/report",
}
IN_STUDY = "{run}/seed{seed}"  # of a run in the folder of its study
PLACES = dict.fromkeys(ROOTS, f"/{{study}}/{IN_STUDY}") | {  # stage -> of a job in that folder
    "prepare": "/{study}",
    "forget": "/{study}/seed{seed}",
    "compare": "/{study}",
    "report": "",
}
FOLDERS = {stage: root + PLACES[stage] for stage, root in ROOTS.items()}
SHARED = ("base", "original")  # made for the first study of a sequence, or of a list of forget sets, for all


def folder_of(stage: str, study: str = "", run: str = "", seed: int | str = "") -> str:
    """Folder of what a job makes."""
    return FOLDERS[stage].format(study=study, run=run, seed=seed)


def of_study(stage: str) -> str:
    """Pattern of the folder that holds the outputs of all runs of a study."""
    return FOLDERS[stage].removesuffix(f"/{IN_STUDY}")


def in_study(run: str, seed: int) -> str:
    """Place of a run in that folder."""
    return IN_STUDY.format(run=run, seed=seed)


def beside(top: str, stage: str, ending: str = "") -> str:
    """Pattern of what is kept of a job below another folder, such as `logs/train/{study}/{run}/seed{seed}.log`."""
    return f"{top}/{stage}{PLACES[stage]}{ending}"


def trains_shared(study: Study) -> bool:
    """Does the study train base and original itself? Those of another study, or request, are there."""
    return study.forget.of is None and study.shares is None and (study.forget.request or 1) == 1


def model_folder(params: Params, study: str, run: str, seed: int) -> str:
    """Folder beside the model of a run, in every study and seed.

    A variant of a run, RUN+VARIANT, is made from the model of the run. All seeds of a study share one base, under the
    first seed; all requests of a sequence, and all forget sets of a list, share base and original, deletion requests
    with the study they are of.
    """
    run = run.split(VARIANT)[0]
    if run in SHARED:
        study = params.first_of(study)
    if run == "base":
        seed = params.studies[study].seeds[0]
    return folder_of("train" if is_reference(run) else "unlearn", study, run, seed)


def given_start(study: Study) -> GivenModel | None:
    """The model that exists from which methods of the study start; None where that is made."""
    return study.given("original") if (study.forget.request or 1) == 1 else None


def start_folder(params: Params, study: str, run: str, seed: int) -> str:
    """The same of the model that a method must let forget: the original, or what was made in the request before.

    In a sequence a method goes on with its own model, a deletion request with the version before it.
    """
    before = (params.studies[study].forget.request or 1) - 1
    if before == 0:
        return model_folder(params, study, "original", seed)
    previous = params.at_request(study, before)
    return model_folder(params, previous, params.studies[previous].version or run, seed)


def is_reference(run: str) -> bool:
    return run in (*REFERENCES, SHADOW) or RETRAIN.fullmatch(run) is not None
