"""Suites: studies of `presets/`, by which a model is judged with nothing but ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lethe.params.file import check_params, read_params
from lethe.params.study import Study
from lethe.prepare import for_task, gathered
from lethe.system.errors import InputError

PRESETS = Path(__file__).parent / "presets"
FIRST = {"tofu": "tofu-forget10", "muse": "muse-news", "wmdp": "wmdp-bio"}  # short names of suites


def suites() -> dict[str, dict[str, Any]]:
    """Name of a study -> its content, of presets whose original and one forget set are given."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(PRESETS.glob("*.yaml")):
        studies = read_params(file)["studies"]
        found |= {
            name: content
            for name, content in studies.items()
            if content.get("references") and asks_once(content)
        }
    return found


def asks_once(content: dict[str, Any]) -> bool:
    """Is there one forget set, which is given and asked for at once?"""
    splits = content["dataset"].get("splits", {"forget": []})
    return not isinstance(splits["forget"], list) and content["forget"].get("requests", 1) == 1


def suite(name: str, data: str | None, sources: dict[str, dict[str, Any]]) -> Study:
    """The study of a preset, its texts perhaps from elsewhere.

    Args:
        name: a short name, or that of a study.
        data: Hub id or folder in place of the data set, or, of a suite of tasks, of their data; None: the preset's.
        sources: set -> its source, config and split in place of the preset's.
    Raises:
        InputError: there is no such suite, or what is given cannot be read in place of its own.
    """
    known = suites()
    if name not in {*FIRST, *known}:
        raise InputError(f"--suite: {name}; allowed are {', '.join([*FIRST, *known])}")
    given = dict(known[FIRST.get(name, name)])
    if data is not None:
        given = with_data(given, data)
    dataset = dict(given["dataset"])
    for role, source in sources.items():
        if role not in dataset["splits"]:
            allowed = ", ".join(dataset["splits"])
            raise InputError(f"--{role}: {source['source']}; the suite has no such set; allowed: {allowed}")
        dataset["splits"] = dataset["splits"] | {role: {"config": None, "split": "train"} | source}
    return check_params({"studies": {"suite": given | {"dataset": dataset}}}, "--suite").studies["suite"]


def with_data(given: dict[str, Any], data: str) -> dict[str, Any]:
    """The content of a study whose data lie elsewhere."""
    score, dataset = given["score"], given["dataset"]
    if any(isinstance(task, dict) and task.get("forget") for task in score.get("tasks", [])):
        tasks = [
            task | {"data": data} if isinstance(task, dict) and task.get("forget") else task
            for task in score["tasks"]
        ]
        return given | {"score": score | {"tasks": tasks}}
    return given | {"dataset": dataset | {"source": data}}


def frames_of(study: Study) -> dict[str, pd.DataFrame]:
    """Examples of each set of a suite; long texts are whole."""
    dataset = for_task(study.dataset, study.task)
    table, _ = gathered(dataset, study.first_seed, tagged=False)
    return dict(list(table.groupby("split", sort=False)))
