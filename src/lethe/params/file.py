"""The whole of params.yaml: read, checked, a fault in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from lethe.params.data import named
from lethe.params.faults import UNKNOWN, allowed_keys, one_line
from lethe.params.forget import MOST_REQUESTS
from lethe.params.names import FOLDER, VARIANT, Name
from lethe.params.report import Report
from lethe.params.strict_model import StrictModel
from lethe.params.study import Study
from lethe.params.tree import DEPTH, VALUES, check_tree
from lethe.system import plugins
from lethe.system.errors import InputError

LONGEST = 1200  # characters of a line that names a fault
MOST_STUDIES = 1000


class Params(StrictModel):
    """The whole of params.yaml."""

    plugins: list[str] = []
    """Folders beside this file with plug-ins of one's own: `FOLDER/objectives/NAME.py`, `FOLDER/metrics/NAME.py`, …"""
    report: Report = Report()
    """Settings of the report over all studies."""
    studies: Annotated[dict[Name, Study], Field(min_length=1)]
    """Name -> study, 1000 at most."""

    @model_validator(mode="before")
    @classmethod
    def sequences(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("studies"), dict):
            return value
        if (count := len(value["studies"])) > MOST_STUDIES:
            raise ValueError(f"studies: {count} of them; allowed are {MOST_STUDIES}")
        studies: dict[Any, Any] = {}
        for name, study in value["studies"].items():
            parts = of_list(name, study)
            what = "set" if parts else "request"
            for part, content in (parts or in_sequence(name, study)).items():
                if part in studies or (part != name and part in value["studies"]):
                    raise ValueError(
                        f"studies.{part}: is the name of a {what} of {name}; any other name is allowed"
                    )
                studies[part] = content
        return {**value, "studies": studies}

    @model_validator(mode="after")
    def add_requests(self) -> Self:
        """The studies of the deletion requests that were served, each of which goes on with the version before it."""
        added: dict[str, Study] = {}
        for name, study in self.studies.items():
            for step, content in served_in(name, study).items():
                there = self.studies.get(step)
                if there is not None and there.forget.of != name:
                    raise ValueError(
                        f"studies.{step}: is the name of a deletion request of {name}; any other name is allowed"
                    )
                added[step] = there or Study.model_validate(content)
        return self.model_copy(update={"studies": self.studies | added}) if added else self

    @model_validator(mode="after")
    def check_sequences(self) -> Self:
        for name, study in self.studies.items():
            request = study.forget.request or 0
            steps = [self.at_request(name, k + 1) for k in range(request)]
            if (
                (study.forget.of is None and request > study.forget.requests)
                or not {*steps} <= {*self.studies}
                or steps[-1:] not in ([], [name])
            ):
                raise ValueError(
                    f"studies.{name}.forget.request: follows from requests; allowed: leave it out"
                )
        return self

    @model_validator(mode="after")
    def check_shares(self) -> Self:
        for name, study in self.studies.items():
            first = self.studies.get(study.shares or name)
            if first is None or first.shares is not None or first.forget_sets != study.forget_sets:
                raise ValueError(
                    f"studies.{name}.shares: follows from a list of forget sets; allowed: leave it out"
                )
        return self

    @model_validator(mode="after")
    def check_lengths(self) -> Self:
        for name, study in self.studies.items():
            ends = ["", *(f"{VARIANT}{variant}" for variant in study.variants)]
            run, end = max(study.runs, key=len), max(ends, key=len)
            seeds = [*study.seeds, *(study.ulira.seeds if study.ulira else [])]
            longest = f"{name}_{run}{end}_{max(seeds)}"
            if len(longest) > FOLDER:
                raise ValueError(
                    f"studies.{name}: names of study, run and variant make a name of a folder of {len(longest)}"
                    f" characters, {longest[:40]}…; allowed are {FOLDER}"
                )
        return self

    def at_request(self, name: str, request: int) -> str:
        """Name of the study of another request of the same sequence; a study of one request is its own."""
        own = self.studies[name].forget.request
        return name if own is None else f"{name.removesuffix(f'-{own}')}-{request}"

    def first_of(self, name: str) -> str:
        """Name of the study that trains the base and the original of a study."""
        study = self.studies[name]
        return study.shares or study.forget.of or self.at_request(name, 1)


def of_list(name: str, study: Any) -> dict[str, Any]:
    """A study with a list of forget sets as studies NAME-SET, each with the other sets beside; {} without a list.

    All learn the same texts, so that they have one base and one original, which the first of them trains. With as many
    requests as sets these are asked for one after the other: studies NAME-1 … NAME-K, as `in_sequence` has them.
    """
    dataset = study.get("dataset") if isinstance(study, dict) else None
    splits = dataset.get("splits") if isinstance(dataset, dict) else None
    members = splits.get("forget") if isinstance(splits, dict) else None
    if not isinstance(dataset, dict) or not isinstance(splits, dict) or not isinstance(members, list):
        return {}
    forget, labels = study.get("forget"), [label_of(member) for member in members]
    if len(set(labels)) < len(labels):  # splits of one configuration
        labels = [label_of(member, "split", "config") for member in members]
    count = forget.get("requests", 1) if isinstance(forget, dict) else 1
    if count not in (1, len(members)) or isinstance(count, bool):
        raise ValueError(
            f"studies.{name}.forget.requests: {count}: of a list of forget sets; allowed are 1, a study of each, and"
            f" {len(members)}, one after the other"
        )
    if len(set(labels)) < len(labels) or "" in labels:
        raise ValueError(
            f"studies.{name}.dataset.splits.forget: {', '.join(labels)}: each set of a list needs a name of its own,"
            " that of its configuration, split or file"
        )
    if count != 1:
        return one_by_one(name, study, dict(zip(labels, members, strict=True)))
    found = {}
    for label, member in zip(labels, members, strict=True):
        others = {key: other for key, other in zip(labels, members, strict=True) if key != label}
        own = {**dataset, "splits": {**splits, "forget": member, "others": others}}
        shares = {} if label == labels[0] else {"shares": f"{name}-{labels[0]}"}
        found[f"{name}-{label}"] = {**study, "dataset": own, **shares}
    return found


def one_by_one(name: str, study: dict[str, Any], sets: dict[str, Any]) -> dict[str, Any]:
    """Studies NAME-1 … NAME-K, of which each forgets a set and goes on with the models of the one before."""
    found, dataset, labels = {}, study["dataset"], [*sets]
    for k, label in enumerate(labels, 1):
        beside = {"earlier": labels[: k - 1], "later": labels[k:]}
        others = {kind: {key: sets[key] for key in keys} for kind, keys in beside.items()}
        own = {**dataset, "splits": {**dataset["splits"], "forget": sets[label], **others}}
        forget = {**study["forget"], "request": k, "listed": True}
        found[f"{name}-{k}"] = {**study, "dataset": own, "forget": forget}
    return found


def label_of(member: Any, first: str = "config", then: str = "split") -> str:
    """Name of a set of a list: of its configuration, its split or its file; as a part of the name of a study."""
    if isinstance(member, str):
        member = named(member)
    if not isinstance(member, dict):
        return ""
    text = member.get(first) or member.get(then) or Path(str(member.get("source", ""))).stem
    return re.sub(r"[^a-z0-9_-]+", "-", str(text).lower()).strip("-")


def in_sequence(name: str, study: Any) -> dict[str, Any]:
    """A study with K requests as K studies NAME-1 … NAME-K, each of which goes on with the models of the one before."""
    forget = study.get("forget") if isinstance(study, dict) else None
    if not isinstance(forget, dict) or forget.get("request") is not None:
        return {name: study}
    count = forget.get("requests", 1)
    if not isinstance(count, int) or not 1 < count <= MOST_REQUESTS:
        return {name: study}
    return {f"{name}-{k}": {**study, "forget": {**forget, "request": k}} for k in range(1, count + 1)}


def served_in(name: str, study: Study) -> dict[str, dict[str, Any]]:
    """The deletion requests of a study as studies NAME-request-1, … of one seed and of what served them."""
    if study.requests is None or study.forget.of is not None:
        return {}
    requests, found = study.requests, {}
    whole = study.model_dump(mode="json", exclude={"tune", "shadow", "ulira", "robustness"})
    for k, one in enumerate(requests.served, 1):
        parts = [earlier.records for earlier in requests.served[:k]]
        keeps = one.method if one.method in study.methods else next(iter(study.methods))
        found[request_name(name, k)] = whole | {
            "seeds": [study.serving_seed],
            "split_seed": study.first_seed,
            "forget": {"strategy": "ids", "of": name, "parts": parts, "request": k}
            | {"pairing": whole["forget"]["pairing"]},
            "train": whole["train"] and whole["train"] | {"retrains": max(1, requests.retrains)},
            "references": whole["references"] and whole["references"] | {"retrain": []},
            "requests": whole["requests"] | {"method": one.method, "served": []},
            "methods": {keeps: whole["methods"][keeps]},
        }
    return found


def request_name(study: str, number: int) -> str:
    """Name of the study of a deletion request, counted from 1."""
    return f"{study}-request-{number}"


def check_params(value: Any, file: str) -> Params:
    """Parameters from the parsed content of `file`.

    Raises:
        InputError: one line naming the file, the key, the value and what is allowed.
    """
    plugins.use_those_of(value, file)
    try:
        check_tree(value)
    except ValueError as error:
        raise InputError(f"{file}: {error}") from None
    try:
        return Params.model_validate(value)
    except ValidationError as error:
        line = one_line(error)
        if line.endswith(UNKNOWN):
            line += allowed_keys(error, Params)
        raise InputError(shorten(f"{file}: {' '.join(line.split())}")) from None


def shorten(line: str) -> str:
    """The line without its middle, if a value makes it very long."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


def load_params(path: str | Path) -> Params:
    """Read and check a parameter file.

    Raises:
        InputError: the file cannot be read, is not YAML, or holds a fault; one line names it.
    """
    return check_params(read_params(path), str(path))


def read_params(path: str | Path) -> dict[str, Any]:
    """Read a parameter file, as DVC reads it: YAML 1.2, in which `on` is a word, and no key is given twice.

    Raises:
        InputError: the file cannot be read, or is not YAML; one line names it.
    """
    try:
        value = parsed(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; it holds the studies") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no keys; needed is `studies`")
    return value


class ShallowComposer(Composer):
    """Refuses deep nesting where it begins, on which the scanner would spend seconds, and then the stack."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEPTH:
            mark = self.loader.parser.peek_event().start_mark
            raise MarkedYAMLError(problem=f"more than {DEPTH} levels", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class NamingConstructor(SafeConstructor):
    """Names the line and the value of what looks like a date or a number and is none, such as 2001-99-99."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError):
            what = f"{str(node.value)[:40]!r} looks like a date or a number and is none; quote it, if it is a text"
            raise MarkedYAMLError(problem=what, problem_mark=node.start_mark) from None

    def flatten_mapping(self, node: Any) -> Any:
        found = super().flatten_mapping(node)
        if len(node.value) > VALUES:  # of merges of merges, each of which may double them
            raise MarkedYAMLError(problem=f"more than {VALUES} keys are merged", problem_mark=node.start_mark)
        return found


def parsed(text: str) -> Any:
    """Content of a YAML text; ValueError, which names the line where it is known, if it is none."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor = ShallowComposer, NamingConstructor
    try:
        return yaml.load(text)
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        if mark is None:
            raise ValueError(str(error)) from None
        raise ValueError(f"line {mark.line + 1}: {getattr(error, 'problem', error)}") from None
    except RecursionError:
        raise ValueError("an anchor stands inside itself") from None
