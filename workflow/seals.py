"""What the workflow writes into seals and reads from them."""

from __future__ import annotations

import json

from plan import Job, canonical
from state import State

from lethe.system.seals import SEALS, SHAPE, Seal, Seals


def params_of(seal: Seal) -> list[str]:
    """Parameters of the sealed job as Snakemake records them."""
    return sorted([*map(repr, (canonical(seal.cfg), canonical(seal.sources))), *seal.others])


def params_of_job(job: Job) -> set[str]:
    """Those of a job of the plan that decide what it makes."""
    return set(map(repr, (job.cfg, job.sources)))


def file_of(stage: str) -> State[Seals]:
    return State(SEALS / f"{stage}.json", SHAPE)


def seal(
    rule: str, job: Job, params: list[str], inputs: dict[str, str | None], outputs: dict[str, str]
) -> Seal:
    others = sorted(set(params) - params_of_job(job))
    return Seal(rule, json.loads(job.cfg), json.loads(job.sources), others, inputs, outputs)
