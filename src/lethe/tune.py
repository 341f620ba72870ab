"""Seeded random search: the same number of trials for every method of a study, through the same DAG.

The trials of a study are runs of a study of their own, in a folder of its own, in which Snakemake runs as it always
does: a search that was stopped goes on where it was, and every trial is trained, scored and measured as what is
reported. Its seeds, so its forget sets, are none of the study's; its splits are the same, with the validation split
in place of the test split. What is chosen, by a rule that params.yaml declares, has thus seen no forget set and no test
text that is reported; training and hold-out texts are the same, so that some examples are forgotten here and there.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import TypeAdapter

from lethe.compare import values_of
from lethe.evaluation.verdicts import with_transfer
from lethe.params.addresses import beside, folder_of, in_study, is_reference, of_study
from lethe.params.file import Params, check_params, load_params
from lethe.params.sources import local_names
from lethe.params.study import Study
from lethe.params.training import Method
from lethe.params.tune import Range, Space, Tune, is_transfer
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.files import replacing, write_json
from lethe.system.records import COST, NUMBERS, read_record
from lethe.system.streams import stream

Entry = dict[str, Any]
AGAIN = "the same command goes on with the search"


def tune(file: Path, names: list[str], folder: Path, log: Path, arguments: list[str]) -> None:
    """Search for settings and write the log of every study, LOG/STUDY.json, and what was chosen, LOG/STUDY.yaml.

    Args:
        file: the parameter file.
        names: studies to search; none: all that have a block `tune`.
        folder: holds a working folder for every study.
        log: folder of the logs.
        arguments: more arguments for Snakemake.
    Raises:
        InputError: there is nothing to search, the search was stopped, or the rule names an unknown metric.
    """
    for search in searches(load_params(file), names, file, folder):
        search.declare()
        run_trials(search.folder, arguments)
        found = search.found()
        best = {run: search.selected(entries) for run, entries in found.items()}
        rule = search.rule.model_dump(mode="json")
        write_json(log / f"{search.name}.json", {"tune": rule, "chosen": best, "trials": found})
        chosen = {run: search.trials[run][k] for run, k in best.items() if k is not None}
        write_yaml(log / f"{search.name}.yaml", {"methods": chosen})
        for run, k in best.items():
            print(f"{search.name}: {run}: {'none fits' if k is None else f'trial {k}'}")


def searches(parameters: Params, names: list[str], file: Path, folder: Path) -> list[Search]:
    own = [str(Path(folder).resolve()) for folder in parameters.plugins]
    able = {
        name: Search(name, study, study.tune, folder / name, trials_of(study, study.tune), own)
        for name, study in parameters.studies.items()
        if study.tune and study.forget.request in (None, 1)
    }
    allowed = ", ".join(able) or "none, as no study has a block `tune`"
    for name in names or ([] if able else ["*"]):
        if name not in able:
            raise InputError(f"{file}: studies.{name}: has nothing to tune; allowed are {allowed}")
    return [able[name] for name in names or able]


def trials_of(study: Study, rule: Tune) -> dict[str, list[dict[str, Any]]]:
    """Settings of all trials, by method."""
    return {
        run: [drawn(run, method, rule, trial) for trial in range(rule.trials)]
        for run, method in study.methods.items()
    }


def drawn(run: str, method: Method, rule: Tune, trial: int) -> dict[str, Any]:
    """Settings of a trial; neither another trial nor another parameter changes a value."""
    declared = method.model_dump(mode="json")
    if trial == 0:
        return declared
    space = plugins.constants_in("objectives", method.objective).get("SPACE", {})
    hyper: Space = TypeAdapter(Space).validate_python(space)
    draw = partial(stream, rule.seeds[0], "tune", run, trial)
    training = {key: value_from(choice, draw("training", key)) for key, choice in rule.space.items()}
    weights = {key: value_from(choice, draw("hyper", key)) for key, choice in hyper.items()}
    changed = {"training": declared["training"] | training, "hyper": declared["hyper"] | weights}
    return declared | changed


def value_from(choice: Range | list, draw: np.random.Generator) -> Any:
    """A value of a range, to three digits or whole, or of a list."""
    if not isinstance(choice, Range):
        return choice[int(draw.integers(len(choice)))]
    low, high = choice.low, choice.high
    whole = isinstance(low, int) and isinstance(high, int)
    if choice.log:
        value = np.exp(draw.uniform(np.log(low), np.log(high)))
    else:
        value = draw.integers(int(low), int(high) + 1) if whole else draw.uniform(low, high)
    return round(float(value)) if whole else float(f"{value:.3g}")


@dataclass(frozen=True)
class Search:
    """The search of one study. trials: method -> the settings of each trial; plugins: folders of plug-ins."""

    name: str
    study: Study
    rule: Tune
    folder: Path
    trials: dict[str, list[dict[str, Any]]]
    plugins: list[str]

    def declare(self) -> None:
        """Write the parameter file of the study whose runs are the trials."""
        content = self.study.model_dump(mode="json", exclude={"tune", "unlearn", "requests"})
        forget = self.rule.forget or self.study.forget
        content |= {
            "seeds": self.rule.seeds,
            "shadow": None,
            "ulira": None,
            "train": content["train"] | {"retrains": 1},
            "split_seed": self.study.first_seed,
            "forget": forget.model_dump(mode="json"),
            "score": content["score"] | {"test": "validation"},
            "methods": {named(run, k): t for run, ts in self.trials.items() for k, t in enumerate(ts)},
        }
        whole = {"plugins": self.plugins, "studies": {self.name: absolute(content)}}
        check_params(whole, f"studies.{self.name}.tune")
        write_yaml(self.folder / "params.yaml", whole)

    def found(self) -> dict[str, list[Entry]]:
        """By method what is known of every trial: settings; by seed metrics and cost, or what went wrong; distance."""
        return {run: [self.entry(run, k) for k in range(len(ts))] for run, ts in self.trials.items()}

    def entry(self, run: str, trial: int) -> Entry:
        seeds = {str(seed): self.outcome(named(run, trial), seed) for seed in self.rule.seeds}
        found: Entry = {"settings": self.trials[run][trial], "seeds": seeds}
        if all("metrics" in outcome for outcome in seeds.values()):
            judged = [self.judged(seeds[str(seed)], seed) for seed in self.rule.seeds]
            found["gaps"] = {
                metric: float(np.mean([gaps[metric] for gaps, _ in judged])) for metric in judged[0][0]
            }
            found["distance"] = sum(
                w * found["gaps"][metric] for metric, w in self.rule.select.metrics.items()
            )
            found["tokens"] = float(np.mean([tokens for _, tokens in judged]))
        return found

    def outcome(self, run: str, seed: int) -> Entry:
        """Metrics and cost of a run, or the line with which its last job ended."""
        where: dict[str, Any] = {"study": self.name, "run": run, "seed": seed}
        metrics = self.folder / folder_of("measure", **where) / "metrics.json"
        if metrics.exists():
            stage = "train" if is_reference(run) else "unlearn"
            return {
                "metrics": read_record(metrics, NUMBERS, AGAIN) | self.transfer(run).get(seed, {}),
                "cost": read_record(self.folder / folder_of(stage, **where) / "cost.json", COST, AGAIN),
            }
        return {"failed": failure(self.folder, where)}

    def transfer(self, run: str) -> dict[int, dict[str, float]]:
        """What the transfer attack finds in a run's models, by tuning seed; nothing where the rule does not ask."""
        if not any(map(is_transfer, (*self.rule.select.metrics, *self.rule.select.within))):
            return {}
        measured = self.folder / of_study("measure").format(study=self.name)
        done = [
            seed for seed in self.rule.seeds if (measured / in_study(run, seed) / "metrics.parquet").exists()
        ]
        blank: dict[int, dict[str, float]] = {seed: {} for seed in done}
        level = self.study.measure.confidence
        return with_transfer({run: blank}, partial(values_of, measured), self.study.task, level)[run]

    def judged(self, outcome: Entry, seed: int) -> tuple[dict[str, float], float]:
        """Distance to retrain of the same seed in every metric of the rule, and tokens read as a share of retrain's.

        Raises:
            InputError: a metric of the rule is not measured, or retrain could not be made.
        """
        retrain = self.outcome("retrain", seed)
        if "failed" in retrain:
            raise InputError(retrain["failed"])
        gaps = {}
        for key in ("metrics", "within"):
            for metric in getattr(self.rule.select, key):
                if metric not in retrain["metrics"]:
                    where = f"studies.{self.name}.tune.select.{key}.{metric}"
                    raise InputError(
                        f"{where}: is not measured; allowed are {', '.join(sorted(retrain['metrics']))}"
                    )
                gaps[metric] = abs(outcome["metrics"][metric] - retrain["metrics"][metric])
        return gaps, outcome["cost"].get("tokens", 0) / (retrain["cost"].get("tokens") or 1)

    def selected(self, entries: list[Entry]) -> int | None:
        """Of the trials that may be taken and forget, the nearest, the first of equals; None if there is none."""
        rule = self.rule.select
        fit = [
            k for k, e in enumerate(entries)
            if "distance" in e and (rule.tokens is None or e["tokens"] <= rule.tokens)
        ]  # fmt: skip
        forgets = [k for k in fit if all(entries[k]["gaps"][m] <= most for m, most in rule.within.items())]
        return min(forgets or fit, key=lambda k: entries[k]["distance"], default=None)


def named(run: str, trial: int) -> str:
    return f"{run}-trial{trial}"


def absolute(value: Any) -> Any:
    """The same, with the names of existing local files valid in any folder."""
    if not isinstance(value, dict):
        return value
    names = local_names(value)
    found = {k: str(Path(v).resolve()) for k, v in names.items() if os.path.exists(v)}
    return {k: found.get(k, absolute(v)) for k, v in value.items()}


def run_trials(folder: Path, arguments: list[str]) -> None:
    """Make and measure all runs; a trial that fails, such as one that diverges, stops no other."""
    command = ["snakemake", "--directory", str(folder), "--keep-going", *arguments, "measure"]
    try:
        subprocess.run(command, check=False)
    except FileNotFoundError:
        raise InputError("snakemake: not found; activate the environment") from None


def failure(top: Path, where: dict[str, Any]) -> str:
    """The line with which the last job of a run ended.

    Raises:
        InputError: it did not end by itself.
    """
    for stage in ("measure", "score", "unlearn", "train"):
        log = top / beside("logs", stage, ".log").format(**where)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        if lines and lines[-1].startswith(f"lethe {stage}: "):
            return lines[-1]
    raise InputError(f"{where['study']}/{in_study(where['run'], where['seed'])}: has not ended; {AGAIN}")


def write_yaml(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
