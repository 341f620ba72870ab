"""What is not comparable: runs whose scores are of other tokens, studies of other texts or definitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from lethe.params.study import Study
from lethe.report.collect import Results
from lethe.system import plugins


def within(results: Results) -> list[str]:
    """Sentences about runs of a study: other tokens, other settings, fewer seeds, other machines."""
    return [*other_tokens(results), *fewer_seeds(results), *other_machines(results)]


def other_tokens(results: Results) -> list[str]:
    """Runs that were scored on other tokens than the original, as models with another tokenizer are, or otherwise."""
    seed, said = results.seeds[0], []
    names = ("ids", "checksum", "settings")
    ids, tokens, settings = results.scores("original", seed, *names)
    for run in [run for run in results.runs if run != "original"]:
        own_ids, own_tokens, own_settings = results.scores(run, seed, *names)
        place = dict(zip(ids.tolist(), tokens.tolist(), strict=True))
        both = [
            (place[name], one)
            for name, one in zip(own_ids.tolist(), own_tokens.tolist(), strict=True)
            if name in place
        ]
        unlike, absent = sum(a != b for a, b in both), len(ids) - len(both)
        reasons = [
            f"{unlike} of {len(both)} texts were read as other tokens (tokenizer, length or text)"
        ] * bool(unlike)
        reasons += [f"{absent} of {len(ids)} texts were not scored"] * bool(absent)
        reasons += unlike_settings("score", json.loads(str(settings)), json.loads(str(own_settings)))
        if reasons:
            said.append(f"{run} is not comparable with original because {'; '.join(reasons)}.")
    return said


def fewer_seeds(results: Results) -> list[str]:
    """Columns of the main table that a run has of some seeds alone."""
    said = []
    for column in results.columns:
        counts = {
            run: results.summaries[run][column.key]["n"]
            for run in results.compared
            if column.key in results.summaries[run]
        }
        few = [f"{run} ({count})" for run, count in counts.items() if count < max(counts.values())]
        if few:
            most = max(counts.values())
            said.append(
                f"{column.label}: not comparable because it is known of fewer than {most} seeds of {', '.join(few)}."
            )
    return said


def other_machines(results: Results) -> list[str]:
    """Times of runs that were made on different devices."""
    kinds: dict[str, list[str]] = {}
    for run, seeds in results.records.items():
        for record in seeds.values():
            kinds.setdefault(f"{record['device']}, {record['threads']} threads", []).append(run)
    if len(kinds) < 2:
        return []
    where = "; ".join(f"{kind}: {', '.join(dict.fromkeys(runs))}" for kind, runs in kinds.items())
    return [f"Times and memory are not comparable because runs were made on different hardware ({where})."]


def between(studies: Sequence[Results]) -> list[str]:
    """A sentence for each pair of studies of one task whose numbers are of different things."""
    said = []
    for one, other in combinations(studies, 2):
        if one.study.task != other.study.task:
            continue
        found = differences(one.study, other.study)
        if found:
            said.append(f"{one.name} and {other.name} are not comparable because {'; '.join(found)}.")
    tasks = {results.study.task for results in studies}
    if len(tasks) > 1:
        said.append(
            f"Studies of different tasks ({', '.join(sorted(tasks))}) share no metric but the attacks on members."
        )
    return said


def differences(one: Study, other: Study) -> list[str]:
    """What the numbers of two studies are of, where it is not the same."""
    found = []
    blocks: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        name: (getattr(one, name).model_dump(mode="json"), getattr(other, name).model_dump(mode="json"))
        for name in ("dataset", "model", "score", "measure", "claims")
    }
    texts, models = blocks["dataset"], blocks["model"]
    if texts[0] != texts[1]:
        sources = " and ".join(dict.fromkeys(str(block["source"]) for block in texts))
        found.append(f"texts differ ({sources})")
    if models[0]["source"] != models[1]["source"]:
        found.append(f"tokenizers differ ({models[0]['source']}, {models[1]['source']})")
    elif texts[0] != texts[1] and built_in(one):
        found.append(f"tokenizers differ (each {models[0]['source']} has one of its own texts)")
    if models[0].get("max_length") != models[1].get("max_length"):
        lengths = f"{models[0].get('max_length')}, {models[1].get('max_length')}"
        found.append(f"lengths differ (model.max_length: {lengths})")
    asked = plugins.part("tasks", one.task, "SETTINGS") or ("most", "test")
    of_task = tuple({name: block[name] for name in asked if name in block} for block in blocks["score"])
    for name, pair in (("score", of_task), ("measure", blocks["measure"]), ("claims", blocks["claims"])):
        found += unlike_settings(name, *pair)
    return found


def built_in(study: Study) -> bool:
    """A tiny model, whose tokenizer is made from the texts of its study."""
    return study.model.source in (plugins.part("tasks", study.task, "TINY") or ())


def unlike_settings(block: str, one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Settings by which numbers of the same name mean something else."""
    names = [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
    return [
        f"definitions differ ({block}.{name}: {json.dumps(one.get(name))}, {json.dumps(other.get(name))})"
        for name in names
    ]
