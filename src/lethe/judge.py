"""Judge any model on one's own texts, as a run of a study is judged; nothing is trained, no params.yaml is needed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ValidationError

from lethe import models, score
from lethe.data.encoding import encode
from lethe.data.texts import labels_of
from lethe.data.texts import load as load_texts
from lethe.evaluation.bootstrap import intervals
from lethe.measure import aligned_logprob, check_finite, load, modules, numbers_of, task_of, with_match, write
from lethe.metrics.blind import blind
from lethe.params.data import Source
from lethe.params.faults import one_line
from lethe.params.measure import Measure
from lethe.params.score import Score
from lethe.report.descriptions import digits
from lethe.report.tables import MARK, Table, number, plain
from lethe.system.errors import InputError
from lethe.system.files import write_json

log = logging.getLogger("lethe.judge")
SETS = ("forget", "holdout", "test", "retain")


@dataclass(frozen=True)
class Texts:
    """One's own texts.

    files: set -> a .csv, .jsonl, .json or .parquet file, or a Hub id; retain may be absent.
    text, label, id, subject: names of columns; label of classified or tagged texts only; None for what there is not.
    """

    files: dict[str, str]
    text: str = "text"
    label: str | None = None
    id: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Judged:
    """What is judged, beside what, and how.

    model, retrain, reference: folder or Hub id; the last two also a scores.npz of an earlier judgement, or None.
    cfg: {"score": …, "measure": …}, each as in a study.
    """

    task: str
    model: str
    retrain: str | None = None
    reference: str | None = None
    revision: str = "main"
    max_length: int = 512
    cfg: dict[str, Any] = field(default_factory=dict)


def judge(wish: Judged, texts: Texts, seed: int, out: Path | None) -> str:
    """The table of numbers with their intervals; `out` gets scores.npz, metrics.json, metrics.parquet, table.json.

    Raises:
        InputError: a file, a column, a label or a model cannot be used, or a number is not defined; one line.
    """
    wished = settings_of(wish)
    measure_settings: Measure = wished["measure"]
    frames = {name: frame_of(name, texts, wish.task) for name in SETS if name in texts.files}
    arrays = with_match(arrays_of(wish.model, "--model", wish, frames, wished["score"]), measure_settings)
    compared = [arrays]
    if wish.retrain is not None:
        other = arrays_of(wish.retrain, "--retrain", wish, frames, wished["score"])
        compared.append(with_match(same_examples(other, arrays, wish.retrain), measure_settings))
    if wish.reference is not None and wish.task == "generation":
        reference = arrays_of(wish.reference, "--reference", wish, frames, Score(extract=[]))
        for found in compared:
            found["reference_logprob"] = aligned_logprob(found, reference, Path(wish.reference))
    judged = [(found, values_of(found, measure_settings)) for found in compared]
    try:
        column, control = blind(*texts_and_groups(frames, arrays), arrays, measure_settings, seed)
        numbers = numbers_of(*judged[0], measure_settings, seed) | control
        table = intervals(judged, measure_settings, seed)
    except ValueError as error:
        raise InputError(f"{wish.model}: {error}") from None
    bounded = {"value": "", "low": "_low", "high": "_high"}
    if control:
        table["blind_auc"] = {key: control[f"blind_auc{ending}"] for key, ending in bounded.items()}
    if out is not None:
        score.write(
            out / "scores.npz", {k: v for k, v in arrays.items() if k not in ("matched", "reference_logprob")}
        )
        columns = {k: v for found in judged[0][1].values() for k, v in found.items()}
        write(out, arrays, columns | {"blind": column}, numbers)
        write_json(out / "table.json", table)
    return shown(table)


def settings_of(wish: Judged) -> dict[str, Any]:
    """Settings of scoring and measuring; what `cfg` does not say is as in a study."""
    kinds: dict[str, type[BaseModel]] = {"score": Score, "measure": Measure}
    if unknown := sorted(set(wish.cfg) - set(kinds)):
        raise InputError(f"--cfg: {unknown[0]}: unknown key; allowed are {', '.join(kinds)}")
    if wish.cfg.get("score", {}).get("tasks"):
        raise InputError("--cfg: score.tasks: allowed are []; `lm_eval run` takes the same model")
    try:
        return {name: kind.model_validate(wish.cfg.get(name, {})) for name, kind in kinds.items()}
    except ValidationError as error:
        raise InputError(f"--cfg: {error.title.lower()}.{one_line(error)}") from None


def frame_of(name: str, texts: Texts, task: str) -> pd.DataFrame:
    """Examples of a set: id (`set/id`), text, label, subject, split."""
    label = None if task == "generation" else texts.label or "label"
    try:
        source = Source(
            source=texts.files[name], text=texts.text, label=label, id=texts.id, subject=texts.subject
        )
    except ValidationError as error:
        raise InputError(f"--{name}: {one_line(error)}") from None
    frame, _, _ = load_texts(source, 0, f"--{name}", tagged=task == "tagging")
    if frame.empty:
        raise InputError(f"--{name}: {texts.files[name]} holds no text; at least one is needed")
    return frame.assign(id=f"{name}/" + frame["id"], split=name)


def arrays_of(source: str, key: str, wish: Judged, frames: dict[str, pd.DataFrame], settings: Score):
    """Arrays of a model, or of an earlier judgement."""
    if source.endswith(".npz"):
        arrays = load(Path(source))
        if task_of(arrays) != wish.task:
            raise InputError(f"{key}: {source} is of a {task_of(arrays)} model, not of a {wish.task} one")
        return arrays
    try:
        model, tokenizer = models.load(models.located(source), wish.task, wish.revision)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    labels = [] if wish.task == "generation" else classes(model)
    if labels:
        frames = {name: with_classes(frame, labels, f"--{name}") for name, frame in frames.items()}
    most = min(wish.max_length, models.context(model) or wish.max_length)
    encoding = partial(encode, tokenizer=tokenizer, max_length=most, labels=labels)
    arrays = score.scored(model, frames, labels, encoding, settings)
    check_finite(arrays, Path(source))
    return arrays


def classes(model) -> list[str]:
    """Names of a classifier's classes in the order of their indices."""
    return [str(model.config.id2label[index]) for index in range(model.config.num_labels)]


def with_classes(frame: pd.DataFrame, labels: list[str], key: str) -> pd.DataFrame:
    """The frame with labels as the model names them; data may also give their indices, but of tags."""
    by_name = {name: name for name in labels}
    by_index = {str(index): name for index, name in enumerate(labels)}
    given = labels_of(frame)
    names = by_name if set(given) <= set(by_name) else by_index
    unknown = ~given.isin(list(names))
    if unknown.any():  # the record is named, not the label, which may be a text by mistake
        allowed = ", ".join(labels[:20]) + (", …" if len(labels) > 20 else "")
        raise InputError(
            f"{key}: {int(unknown.sum())} labels are no class of the model, first that of record"
            f" {frame['id'][given.index[unknown][0]]}; allowed: {allowed}"
        )
    return frame if "tags" in frame else frame.assign(label=given.map(names))


def same_examples(other, arrays, source: str):
    """The other model's arrays in the order of these."""
    place = {name: row for row, name in enumerate(other["ids"])}
    absent = [name for name in arrays["ids"] if name not in place]
    if absent:
        raise InputError(f"--retrain: {source} lacks {len(absent)} of the examples, first {absent[0]}")
    order = np.array([place[name] for name in arrays["ids"]])
    differ = np.flatnonzero(other["characters"][order] != arrays["characters"])
    if len(differ):
        what = f"{len(differ)} texts of another length, first {arrays['ids'][differ[0]]}"
        raise InputError(f"--retrain: {source} is of other texts: {what}; score it on the same files")
    return {name: a if name in ("classes", "n") else a[order] for name, a in other.items()}


def values_of(arrays, settings: Measure):
    """Values per example of every metric of the task."""
    try:
        return {metric: metric.values(arrays, settings) for metric in modules(task_of(arrays))}
    except ValueError as error:
        raise InputError(str(error)) from None


def texts_and_groups(frames: dict[str, pd.DataFrame], arrays) -> tuple[list[str], np.ndarray]:
    """Texts of the scored examples, and whose they are: the subject, or each its own."""
    table = pd.concat(frames.values()).set_index("id").loc[arrays["ids"].tolist()]
    return table["text"].tolist(), table["subject"].fillna(table.index.to_series()).to_numpy(str)


def shown(table: dict[str, dict[str, float]]) -> str:
    """The numbers in columns; a mark where the interval of the gap excludes zero."""
    beside = any("gap" in entry for entry in table.values())
    rows = []
    for name in sorted(table):
        entry, places = table[name], digits(name)
        cells = [name, number(entry["value"], places), bounds(entry["low"], entry["high"], places)]
        if beside and "gap" in entry:
            differs = not entry["gap_low"] <= 0 <= entry["gap_high"]
            cells += [number(entry["retrain"], places), number(entry["gap"], places)]
            cells += [bounds(entry["gap_low"], entry["gap_high"], places) + MARK * differs]
        rows.append(cells + [""] * (6 * beside - len(cells)))
    head = ["metric", "model", "interval"] + ["retrain", "model − retrain", "interval"] * beside
    return plain(Table(head, rows))


def bounds(low: float, high: float, places: int) -> str:
    return f"[{number(low, places)}, {number(high, places)}]"
