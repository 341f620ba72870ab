"""With which settings the methods ran, and with what all was made: from run.json beside each model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from lethe.params.plug_ins import from_base, read_fields
from lethe.params.training import Method
from lethe.report.collect import Results
from lethe.report.tables import BARE, Table

Settings = dict[str, Any]  # name with dots between its keys -> value; null and lists are values


def settings_table(results: Results, differing: bool = False) -> Table:
    """A row per setting, a column per method; in brackets the default, where the value is another.

    The defaults of the training are those of the study, those of the objective stand in its `Hyper`.

    Args:
        differing: only the settings in which a method differs from its defaults.
    """
    used = {run: settings(seeds) for run, seeds in results.records.items() if run in results.methods}
    usual = {run: defaults(results, run) for run in used}
    names = dict.fromkeys(name for of in used.values() for name in of)
    rows = [["objective", *(results.study.methods[run].objective for run in used)]]
    for name in sorted(names):
        cells = [cell(of, usual[run], name) for run, of in used.items()]
        if not differing or any(" [" in text for text in cells):
            rows.append([name, *cells])
    return Table(["setting", *used], rows)


def settings(seeds: Mapping[int, dict[str, Any]]) -> Settings:
    """Of a method, from its record of the first seed; they are the same in all."""
    method = next(iter(seeds.values()))["settings"]["method"]
    return flat(method["training"]) | flat(method["hyper"], "hyper")


def defaults(results: Results, run: str) -> Settings:
    """The settings that the method has where params.yaml says nothing about it."""
    study, method = results.study, results.study.methods[run]
    training = study.train.finetune if study.train and from_base(method.objective) else study.unlearn
    return flat(training.model_dump(mode="json")) | flat(hyper_defaults(run, method), "hyper")


def hyper_defaults(run: str, method: Method) -> dict[str, Any]:
    """Defaults of the fields of `Hyper`, of those that have one."""
    fields = dataclasses.fields(
        read_fields(f"methods.{run}.hyper", "objectives", method.objective, "Hyper", method.hyper)
    )
    made = {f.name: f.default_factory() for f in fields if f.default_factory is not dataclasses.MISSING}
    plain = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    return to_jsonable_python(made | plain)


def flat(block: Mapping[str, Any], name: str = "") -> Settings:
    """Values of nested blocks under names with dots between."""
    found: Settings = {}
    for key, value in block.items():
        here = f"{name}.{key}" if name else key
        found |= flat(value, here) if isinstance(value, dict) and value else {here: value}
    return found


def cell(used: Settings, usual: Settings, name: str) -> str:
    if name not in used:
        return BARE
    if name in usual and usual[name] == used[name]:
        return text(used[name])
    return f"{text(used[name])} [{text(usual[name]) if name in usual else BARE}]"


def text(value: Any) -> str:
    """As in params.yaml, on one line."""
    plain = isinstance(value, str) and value.isprintable()
    return value if plain else json.dumps(value)


def made_with(studies: Sequence[Results]) -> Table:
    """Commit, versions, hardware and data of all models; where they are not the same in all, how many have which."""
    counts: dict[str, dict[str, int]] = {}
    for results in studies:
        records = [record for seeds in results.records.values() for record in seeds.values()]
        for record in records:
            for name, value in facts(record, results.name).items():
                counts.setdefault(name, {})
                counts[name][value] = counts[name].get(value, 0) + 1
    rows = [
        [f"{run}, {results.name}", existing_model(of)]
        for results in studies
        for run, of in results.identities.items()
    ]
    for name, values in counts.items():
        several = len(values) > 1
        shown = (f"{value} ({count} models)" if several else value for value, count in values.items())
        rows.append([name, ", ".join(shown)])
    return Table(["", "all models"], rows)


def existing_model(identity: dict[str, Any]) -> str:
    """A model that was not made here, by what does not change."""
    revision = f"@{identity['revision']}" if identity["revision"] else ""
    return f"{identity['source']}{revision}, SHA-256 {identity['sha256'][:16]}"


def facts(record: dict[str, Any], study: str) -> dict[str, str]:
    """What the record of a model says of what it was made with."""
    commit = record["commit"] or "not in git"
    changed = ", with changes since" if record["modified"] else ""
    versions = {name: version or "from its sources" for name, version in sorted(record["versions"].items())}
    hardware = {"device": f"{record['device']}, {record['threads']} threads"}
    data = {f"prepared data, {study}": record["data"]["prepared"][:16]}
    return {"commit": commit + changed, "code": record["code"][:16]} | versions | hardware | data
