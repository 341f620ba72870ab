"""What serving a request would cost by each method, from what the study measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from lethe.params.addresses import folder_of, model_folder
from lethe.params.file import Params
from lethe.params.plug_ins import check_hyper
from lethe.params.requests import RETRAIN
from lethe.params.study import Study
from lethe.system import plugins
from lethe.system.records import FORGOTTEN, TIMES, read_record_if_there


@dataclass(frozen=True)
class Pool:
    """Ids of the examples that the model in use knows, of a long text its windows, and of those to be forgotten."""

    known: Sequence[str]
    asked: Sequence[str]

    @property
    def left(self) -> int:
        return len(self.known) - len(self.asked)


@dataclass(frozen=True)
class Expected:
    """Seconds: measured in the study, expected of the request, and expected of what comes before it; None: not known.

    Before it, SISA trains its shards on all that is known, for slices are not kept, and an offset its pair.
    """

    measured: float | None = None
    request: float | None = None
    beforehand: float | None = None


def expected(params: Params, name: str, pool: Pool) -> dict[str, Expected]:
    """Of each method that a study declares and of retraining.

    In proportion to the examples that an epoch passes over: those to be forgotten, or those that are left; retraining
    with as many steps as the original takes what it took. A method that says by itself how many examples it passes
    (`work`) is taken at its word. All else is as it was measured.
    """
    study = params.studies[name]
    return {run: expected_of(params, name, study, run, pool) for run in [*study.methods, RETRAIN]}


def expected_of(params: Params, name: str, study: Study, run: str, pool: Pool) -> Expected:
    measured = mean_cost(params, name, run, "wall_seconds")
    before = mean_cost(params, name, run, "beforehand_seconds")
    counts = read_record_if_there(
        Path(folder_of("forget", name, seed=study.seeds[0]), "forget.json"), FORGOTTEN
    ).get("counts", {})
    passed = {"forget": len(pool.asked), "retain": pool.left}
    role = first_role(study, run)
    if measured is None or role not in passed or not counts.get(role):
        return Expected(measured, measured, before)
    if run in study.methods and "work" in plugins.functions_in("objectives", study.methods[run].objective):
        return by_work(study, run, pool, counts["forget"] + counts["retain"], measured, before)
    return Expected(measured, measured * passed[role] / counts[role], before)


def first_role(study: Study, run: str) -> str | None:
    """What an epoch passes over; None for a run whose length depends on no texts."""
    if run == RETRAIN:
        return "retain" if study.train and study.train.match == "epochs" else None
    terms = plugins.constants_in("objectives", study.methods[run].objective).get("TERMS", {})
    return next(iter(terms.values()), None)


def by_work(
    study: Study, run: str, pool: Pool, trained: int, measured: float, before: float | None
) -> Expected:
    """From the time that the study's run took for an example beforehand; of all `trained` examples of the study."""
    method = study.methods[run]
    file = plugins.imported("objectives", method.objective)
    hyper = file.Hyper(**check_hyper(f"methods.{run}", method, study.task))
    deletion, beforehand = file.work(
        hyper, pool.known, pool.asked, study.serving_seed, method.training.epochs
    )
    if not before or not beforehand:
        return Expected(measured, None, before)
    second = before * len(pool.known) / trained / beforehand  # for an example
    return Expected(measured, second * deletion, second * beforehand)


def mean_cost(params: Params, name: str, run: str, cost: str) -> float | None:
    """Mean over the seeds that were run; None if none was, or none had such a cost."""
    files = [Path(model_folder(params, name, run, seed), "cost.json") for seed in params.studies[name].seeds]
    found = [read_record_if_there(file, TIMES).get(cost) for file in files]
    known = [value for value in found if value is not None]
    return mean(known) if known else None
