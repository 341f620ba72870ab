"""Judge any model on one's own texts, as a run of a study is judged; nothing is trained, no params.yaml is needed."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ValidationError

from lethe import models, score
from lethe.data.encoding import Encoded, check_read
from lethe.data.texts import load as load_texts
from lethe.data.texts import whole_texts
from lethe.data.windows import windowed
from lethe.evaluation.bootstrap import intervals
from lethe.evaluation.comparable import same_classes, same_settings, same_texts
from lethe.evaluation.comparing import beside_retrain, truth_ratios
from lethe.evaluation.downstream import downstream
from lethe.evaluation.headline import main_attack
from lethe.evaluation.numbers import modules, numbers_of, with_match
from lethe.evaluation.open_unlearning import beside_log, exported
from lethe.evaluation.overlaps import overlaps
from lethe.evaluation.scores import check_finite, load
from lethe.measure import write
from lethe.metrics.blind import blind
from lethe.metrics.loss_tests import loss_ks, loss_paired
from lethe.params.data import Source
from lethe.params.faults import one_line
from lethe.params.measure import Measure
from lethe.params.names import SETS as RESERVED
from lethe.params.prompting import Prompting
from lethe.params.score import Score
from lethe.params.sources import HUB_ID, kind
from lethe.report.descriptions import digits
from lethe.report.tables import Table, number, plain
from lethe.suites import frames_of, suite
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.files import write_json
from lethe.system.quoting import quoted

log = logging.getLogger("lethe.judge")
SETS = ("forget", "holdout", "test", "retain")
PROBE = re.compile(r"[a-z0-9][a-z0-9_-]*")
FEWEST_TEXTS = 8  # of a forget set that may be called pushed beyond retraining


@dataclass(frozen=True)
class Texts:
    """One's own texts.

    files: set -> a .csv, .jsonl, .json or .parquet file, a folder or a Hub id, both also as SOURCE:CONFIG:SPLIT; retain
    may be absent. Sets of other names, probes, are scored beside these.
    text, prompt, label, id, subject: names of columns; None for what there is not. A prompt is asked before the text,
    or of a classifier is the first text of a pair.
    """

    files: dict[str, str]
    text: str = "text"
    prompt: str | None = None
    label: str | None = None
    id: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class JudgeRequest:
    """What is judged, beside what, and how.

    model, retrain, reference: folder, Hub id or ID@REVISION; the last two also a scores.npz of an earlier judgement.
    prompting: how what is asked is put.
    long: of texts longer than max_length all windows are judged, or they are cut; None: windows, in generation.
    cfg: {"score": …, "measure": …}, each as in a study.
    export: open-unlearning: numbers under its names, too, in open_unlearning.json.
    """

    task: str
    model: str
    retrain: str | None = None
    reference: str | None = None
    revision: str = "main"
    max_length: int = 512
    prompting: Prompting = field(default_factory=Prompting)
    cfg: dict[str, Any] = field(default_factory=dict)
    export: str | None = None
    long: Literal["windows", "cut"] | None = None

    @property
    def log(self) -> Path | None:
        """A log of open-unlearning in place of the retrained model."""
        return Path(self.retrain) if self.retrain and self.retrain.endswith(".json") else None


def judge(request: JudgeRequest, texts: Texts, seed: int, out: Path | None) -> str:
    """`judged` by one's own texts."""
    check_sources(texts.files)
    order = [name for name in SETS if name in texts.files] + [
        name for name in texts.files if name not in SETS
    ]
    settings_of(request)  # whose faults are told before texts are read
    return judged(request, {name: frame_of(name, texts, request.task) for name in order}, seed, out)


def judge_by_suite(
    name: str, request: JudgeRequest, data: str | None, files: dict[str, str], seed: int, out: Path | None
) -> str:
    """`judged` by the texts and settings of a suite; what `request.cfg` says goes before these."""
    study = suite(name, data, {n: place(f, n) for n, f in files.items()})
    own = study.model_dump(mode="json", include={"score", "measure"})
    cfg = {key: given | request.cfg.get(key, {}) for key, given in own.items()}
    prompting = Prompting(**{key: getattr(study.dataset, key) for key in Prompting.model_fields})
    cfg |= {key: given for key, given in request.cfg.items() if key not in own}
    changed = replace(
        request, task=study.task, cfg=cfg, max_length=study.model.max_length, prompting=prompting,
        long=study.dataset.long,
    )  # fmt: skip
    settings_of(changed)
    return judged(changed, frames_of(study), seed, out)


def judged(request: JudgeRequest, frames: dict[str, pd.DataFrame], seed: int, out: Path | None) -> str:
    """The table of numbers with their intervals; `out` gets scores.npz, metrics.json, metrics.parquet, table.json.

    Raises:
        InputError: a file, a column, a label or a model cannot be used, or a number is not defined; one line.
    """
    settings = settings_of(request)
    measure_settings: Measure = settings["measure"]
    check_twice(frames)
    shared = say_overlaps(frames)
    arrays, frames = arrays_of(
        request.model, "--model", request, frames, settings["score"], windows=request.long != "cut"
    )
    arrays = with_match(arrays, measure_settings)
    compared = [arrays]
    if request.retrain is not None and request.log is None:
        compared.append(with_match(beside(request, frames, settings["score"], arrays), measure_settings))
    if request.reference is not None:
        reference, _ = arrays_of(request.reference, "--reference", request, frames, Score(extract=[]))
        for found in compared:
            found["reference_logprob"] = same_texts(reference, found, f"--reference: {request.reference}")[
                "logprob"
            ]
    models_judged = [(found, values_of(found, measure_settings)) for found in compared]
    try:
        column, control = blind(*texts_and_groups(frames, arrays), arrays, measure_settings, seed)
        numbers = numbers_of(*models_judged[0], measure_settings, seed) | control | shared
        table = intervals(models_judged, measure_settings, seed)
        if len(models_judged) > 1:
            own, retrain = (per_example(*one) for one in models_judged)
            numbers |= loss_tests(own, retrain) | beside_retrain(own, retrain, measure_settings, seed)
        if request.log is not None:
            numbers |= beside_log(truth_ratios(per_example(*models_judged[0])), numbers, request.log)
    except ValueError as error:
        raise InputError(f"{request.model}: {error}") from None
    bounded = {"value": "", "low": "_low", "high": "_high"}
    if control:
        table["blind_auc"] = {key: control[f"blind_auc{ending}"] for key, ending in bounded.items()}
    if out is not None:
        score.write(
            out / "scores.npz", {k: v for k, v in arrays.items() if k not in ("matched", "reference_logprob")}
        )
        columns = {k: v for found in models_judged[0][1].values() for k, v in found.items()}
        write(out, arrays, columns | {"blind": column}, numbers)
        write_json(out / "table.json", table)
        if request.export is not None:
            write_json(out / "open_unlearning.json", exported(numbers))
    texts_to_forget = int((arrays["sets"] == "forget").sum())
    return shown(table) + said(numbers, table, request.task, texts_to_forget)


def per_example(arrays, values) -> dict[str, np.ndarray]:
    """Values per example beside their sets, as two models are compared by."""
    marks = {name: arrays[name] for name in ("sets", "matched") if name in arrays}
    return marks | {name: column for found in values.values() for name, column in found.items()}


def loss_tests(own: dict[str, np.ndarray], retrain: dict[str, np.ndarray]) -> dict[str, float]:
    """p-values of the losses on the forget set being alike under both models."""
    ours, theirs = (values["loss"][values["sets"] == "forget"] for values in (own, retrain))
    return {"loss_ks": loss_ks(ours, theirs), "loss_paired": loss_paired(ours, theirs)}


def settings_of(request: JudgeRequest) -> dict[str, Any]:
    """Settings of scoring and measuring; what `cfg` does not say is as in a study."""
    if request.max_length < 2:
        raise InputError(f"--max-length: {request.max_length}; allowed are 2 tokens or more")
    if request.long == "windows" and not plugins.gives(request.task, "text"):
        raise InputError(f"--long: windows; allowed with --task {request.task}: cut")
    if request.reference is not None and not plugins.gives(request.task, "text"):
        able = ", ".join(task for task in plugins.names_in("tasks") if plugins.gives(task, "text"))
        raise InputError(f"--reference: {request.reference}; allowed with --task {able} only")
    kinds: dict[str, type[BaseModel]] = {"score": Score, "measure": Measure}
    if unknown := sorted(set(request.cfg) - set(kinds)):
        raise InputError(f"--cfg: {unknown[0]}: unknown key; allowed are {', '.join(kinds)}")
    try:
        return {name: kind.model_validate(request.cfg.get(name, {})) for name, kind in kinds.items()}
    except ValidationError as error:
        raise InputError(f"--cfg: {error.title.lower()}.{one_line(error)}") from None


def prompting_of(**given: Any) -> Prompting:
    """How what is asked is put, by the arguments of the command line."""
    try:
        return Prompting(**given)
    except ValidationError as error:
        raise InputError(f"--{one_line(error)}") from None


def probes(given: list[str]) -> dict[str, str]:
    """Name -> source of what the command line gives as NAME=SOURCE.

    Raises:
        InputError: it is not so, or a name is that of a set or given twice.
    """
    found: dict[str, str] = {}
    for each in given:
        name, equals, source = each.partition("=")
        if not (equals and source and PROBE.fullmatch(name)):
            raise InputError(f"--probe: {each}; allowed is NAME=SOURCE, with a name of a-z, 0-9, _ and -")
        if name in (*RESERVED, *found):
            raise InputError(f"--probe: {name}: is the name of another set; any other is allowed")
        found[name] = source
    return found


def frame_of(name: str, texts: Texts, task: str) -> pd.DataFrame:
    """Examples of a set: id (`set/id`), text, label, subject, split."""
    labelled = plugins.part("tasks", task, "LABELS")
    label = texts.label or "label" if labelled else None
    if texts.prompt is not None and labelled == "words":
        able = [
            name for name in plugins.names_in("tasks") if plugins.part("tasks", name, "LABELS") != "words"
        ]
        raise InputError(f"--prompt: {texts.prompt}; allowed with --task {' and '.join(able)}")
    columns: dict[str, Any] = {"text": texts.text, "prompt": texts.prompt, "label": label, "id": texts.id}
    try:
        source = Source(**place(texts.files[name], name), **columns, subject=texts.subject)
    except ValidationError as error:
        raise InputError(f"--{name}: {one_line(error)}") from None
    frame, _, _ = load_texts(source, 0, f"--{name}", tagged=labelled == "words")
    if frame.empty:
        raise InputError(f"--{name}: {texts.files[name]} holds no text; at least one is needed")
    return frame.assign(id=f"{name}/" + frame["id"], split=name)


def place(given: str, name: str) -> dict[str, Any]:
    """Source of a set, and where it is written SOURCE:CONFIG or SOURCE:CONFIG:SPLIT these, as fields of `Source`."""
    source, *more = given.split(":")
    if not more or os.path.exists(given) or kind(source) not in ("folder", "hub"):
        return {"source": given}
    if len(more) > 2 or not all(more):
        raise InputError(f"--{name}: {given}; allowed are SOURCE, SOURCE:CONFIG and SOURCE:CONFIG:SPLIT")
    return {"source": source} | dict(zip(("config", "split"), more, strict=False))


def check_sources(files: dict[str, str]) -> None:
    """Raise InputError if two sets are one place, such as the default configuration of one data set of the Hub."""
    for one, other in combinations(files, 2):
        if files[one] == files[other]:
            what = f"--{other}: {files[other]}: is --{one}, too; sets must be of different texts"
            several = kind(files[one]) in ("folder", "hub")
            raise InputError(what + "; allowed are SOURCE:CONFIG and SOURCE:CONFIG:SPLIT" * several)


def check_twice(frames: dict[str, pd.DataFrame]) -> None:
    """Raise InputError if a text of the forget set is one of those that no model saw, too."""
    keys = {name: pd.Series(whole_texts(frame), frame["id"]) for name, frame in frames.items()}
    for name in [name for name in ("holdout", "test") if name in keys]:
        both = keys[name][keys[name].isin(keys["forget"])]
        if len(both):
            record = quoted(both.index[0])
            raise InputError(
                f"--{name}: {len(both)} of {len(keys[name])} texts are in --forget, too, first {record};"
                " needed are texts that no model saw"
            )


def say_overlaps(frames: dict[str, pd.DataFrame]) -> dict[str, float]:
    """Numbers of texts that stand in two sets; one warning says so, as each spoils what is compared."""
    found = overlaps({name: frame.assign(text=whole_texts(frame)) for name, frame in frames.items()})
    if found:
        said = ", ".join(
            f"{n} of {len(frames[one])} of {one} in {other}" for (one, other), n in found.items()
        )
        log.warning(
            "sets overlap, word for word or nearly, so that they cannot be told apart by them: %s", said
        )
    return {f"near_duplicates_{one}_{other}": float(count) for (one, other), count in found.items()}


def arrays_of(
    source: str,
    key: str,
    request: JudgeRequest,
    frames: dict[str, pd.DataFrame],
    settings: Score,
    ours: list[str] | None = None,
    windows: bool = False,
):
    """Arrays of a model, or of an earlier judgement, and the examples, with windows in place of long texts.

    Args:
        ours: the classes of the model that it stands beside.
        windows: of long texts windows are made; else the examples are taken as they are.
    """
    if source.endswith(".npz"):
        arrays = load(Path(source))
        if str(arrays["task"]) != request.task:
            raise InputError(f"{key}: {source} is of a {arrays['task']} model, not of a {request.task} one")
        return arrays, frames
    labels: list[str] = []
    named = frames
    try:
        name = models.located(source)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    of_hub = HUB_ID.fullmatch(name) and not os.path.isdir(name)
    folder = models.folder_of(f"{name}@{request.revision}" if of_hub else name, key)
    try:
        model, tokenizer = models.load(folder, request.task, request.revision)
        if plugins.gives(request.task, "classes"):
            labels = classes(model)
            named = with_classes(request.task, frames, labels, ours or labels)
        most = min(request.max_length, models.context(model) or request.max_length)
        if windows and plugins.gives(request.task, "text"):
            named = frames = {name: windowed(frame, tokenizer, most) for name, frame in frames.items()}
        rows = plugins.part("tasks", request.task, "rows")
        how = {"max_length": most, "labels": labels, "prompting": request.prompting}
        encoding = partial(read_by, rows, tokenizer=tokenizer, **how)
        arrays = score.scored(request.task, model, tokenizer, named, labels, encoding, settings)
        if key == "--model":
            arrays |= downstream(model, tokenizer, settings.tasks, settings.batch_size)
        check_finite(arrays, Path(source))
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    identity = json.dumps(models.identity(source.partition("@")[0], folder))
    return arrays | {"model": np.array(identity)}, frames


def read_by(rows: Callable[..., Encoded], frame: pd.DataFrame, tokenizer, **how: Any) -> Encoded:
    """Rows of texts of which the tokenizer reads something, each."""
    encoded = rows(frame, tokenizer, **how)
    check_read(encoded, tokenizer)
    return encoded


def beside(request: JudgeRequest, frames: dict[str, pd.DataFrame], settings: Score, arrays):
    """Arrays of the retrained model, of the same texts, tokens, settings and classes."""
    assert request.retrain is not None
    ours = arrays["classes"].tolist() if "classes" in arrays else None
    source = f"--retrain: {request.retrain}"
    found, _ = arrays_of(request.retrain, "--retrain", request, frames, settings, ours)
    other = same_texts(found, arrays, source)
    same_settings(other, arrays, source)
    return other if ours is None else same_classes(other, arrays, source)


def classes(model) -> list[str]:
    """Names of a classifier's classes in the order of their indices.

    Raises:
        InputError: an index has no name, or two have one: labels would not say which.
    """
    names = {int(index): str(name) for index, name in model.config.id2label.items()}
    if sorted(names) != list(range(model.config.num_labels)):
        raise InputError(
            f"config.json: id2label names the classes {sorted(names)}; needed are 0 to {len(names) - 1}"
        )
    found = [names[index] for index in sorted(names)]
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise InputError(
            f"config.json: id2label gives several classes the name {twice[0]}; names must differ"
        )
    return found


def with_classes(
    task: str, frames: dict[str, pd.DataFrame], theirs: list[str], ours: list[str]
) -> dict[str, pd.DataFrame]:
    """The frames with labels as the judged model names them (`ours`), for a model whose classes are `theirs`.

    Data give names or indices, all sets the same; where both readings fit, it is names.

    Raises:
        InputError: a label is neither, or the models' classes differ, or their order does where data give indices.
    """
    labels_of, renamed = (plugins.part("tasks", task, name) for name in ("labels", "renamed"))
    given = {name: labels_of(frame).astype(str) for name, frame in frames.items()}
    by_name = {name: name for name in ours}
    by_index = {str(index): name for index, name in enumerate(ours)}
    by_index |= {
        f"{index}.0": name for index, name in enumerate(ours)
    }  # a column with a gap, as pandas writes it
    unknown = {
        kind: {k: ~v.isin([*names]) for k, v in given.items()}
        for kind, names in enumerate((by_name, by_index))
    }
    fits = [not any(u.any() for u in of.values()) for of in unknown.values()]
    if all(fits) and by_name != {name: by_index.get(name) for name in by_name}:
        log.warning("labels are read as names of classes; as indices they would mean other classes")
    kind = min(unknown, key=lambda kind: sum(int(u.sum()) for u in unknown[kind].values()))
    for key, wrong in unknown[kind].items():
        if wrong.any():  # the record is named, not the label, which may be a text by mistake
            allowed = ", ".join(ours[:20]) + (", …" if len(ours) > 20 else "")
            first = quoted(frames[key]["id"][given[key].index[wrong][0]])
            raise InputError(
                f"--{key}: {int(wrong.sum())} labels are no class of the model, first that of record {first};"
                f" allowed: {allowed}, or their indices in all sets"
            )
    if sorted(theirs) != sorted(ours):
        raise InputError(f"its classes are {', '.join(theirs[:20])}, those of --model {', '.join(ours[:20])}")
    if kind == 1 and theirs != ours:
        raise InputError(
            f"its classes have another order than those of --model ({', '.join(theirs[:20])}): labels given as indices"
            " would mean other classes; give names"
        )
    names = (by_name, by_index)[kind]
    return {name: renamed(frame, names) for name, frame in frames.items()}


def values_of(arrays, settings: Measure):
    """Values per example of every metric whose arrays are there."""
    try:
        return {metric: metric.values(arrays, settings) for metric in modules(arrays)}
    except ValueError as error:
        raise InputError(str(error)) from None


def texts_and_groups(frames: dict[str, pd.DataFrame], arrays) -> tuple[list[str], np.ndarray]:
    """Texts of the scored examples, as far as the model reads them, and whose they are: the subject, or its own."""
    table = pd.concat(frames.values()).set_index("id").loc[arrays["ids"].tolist()]
    texts = [text[:count] for text, count in zip(whole_texts(table), arrays["characters"], strict=True)]
    return texts, table["subject"].fillna(table.index.to_series()).to_numpy(str)


def shown(table: dict[str, dict[str, float]]) -> str:
    """The numbers in columns."""
    beside = any("gap" in entry for entry in table.values())
    rows = []
    for name in sorted(table):
        entry, places = table[name], digits(name)
        cells = [name, number(entry["value"], places), bounds(entry["low"], entry["high"], places)]
        if beside and "gap" in entry:
            cells += [number(entry["retrain"], places), number(entry["gap"], places)]
            cells += [bounds(entry["gap_low"], entry["gap_high"], places)]
        rows.append(cells + [""] * (6 * beside - len(cells)))
    head = ["metric", "model", "interval"] + ["retrain", "model − retrain", "interval"] * beside
    return plain(Table(head, rows))


def said(numbers: dict[str, float], table: dict[str, dict[str, float]], task: str, texts: int) -> str:
    """What stands beside a retrained model, in words; nothing without one. texts: of the forget set."""
    text = "\n" if {"loss_ks", "forget_quality", "privacy_leak"} & {*numbers} else ""
    if "loss_ks" in numbers:
        text += (
            "Intervals are over these texts. Where one of a difference leaves out 0 the model differs from this"
            " retrained model on them; another retrained model may differ from it, too.\n"
            f"losses on forget: p = {numbers['loss_paired']:.2g} by a paired test of the same texts,"
            f" {numbers['loss_ks']:.2g} by Kolmogorov-Smirnov; near 0 these two models differ, and a high value does"
            " not show that they do not\n"
        )
    if "forget_quality" in numbers:
        text += (
            f"forget quality (n = {numbers['forget_quality_n']:g}) {numbers['forget_quality']:.2g}: p-value of the"
            " truth ratios on forget being as under retrain; near 0 they are not, and a high value does not show that"
            " they are\n"
        )
    if "privacy_leak" in numbers:
        ends = [
            f"{numbers[name]:.1f}" for name in ("privacy_leak_low", "privacy_leak_high") if name in numbers
        ]
        interval = f" [{', '.join(ends)}]" if ends else ""
        text += f"privacy leak {numbers['privacy_leak']:.1f}%{interval}: 0 is like retrain\n"
    tasks = [
        f"{name.removeprefix('downstream_')} {value:.3f}"
        for name, value in numbers.items()
        if is_of_task(name)
    ]
    if tasks:
        text += f"\ntasks: {', '.join(tasks)}\n"
    attack = main_attack(task)
    auc = table.get(f"{attack}_auc", {})
    if texts >= FEWEST_TEXTS and auc.get("gap_high", 0) < 0:
        text += f"pushed beyond this model: the AUC of {attack} lies below that on it\n"
    return text


def is_of_task(name: str) -> bool:
    return name.startswith("downstream_")


def bounds(low: float, high: float, places: int) -> str:
    return f"[{number(low, places)}, {number(high, places)}]"
