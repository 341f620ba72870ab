"""Load, check, deduplicate and split the text of a study."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from lethe import models
from lethe.data.given_sets import load_sets
from lethe.data.near_duplicates import clusters
from lethe.data.splits import TRAINED, UNUSED, assign, groups
from lethe.data.texts import check_classes, load, whole_texts
from lethe.data.windows import text_ids, tokenizer_texts, windowed
from lethe.params.data import Dataset
from lethe.params.model import Model
from lethe.params.prompting import Prompting
from lethe.system import files, plugins
from lethe.system.errors import InputError
from lethe.system.quoting import class_name, quoted
from lethe.system.streams import stream

log = logging.getLogger("lethe.prepare")
UNCUT = 2**30  # tokens
FEW = 64  # texts that are padded to one length
SPLITS = ("train", "validation", "holdout", "test")
TEXT = pa.string()
MESSAGES = pa.list_(pa.struct({"role": TEXT, "content": TEXT}))
SOME = {  # columns that some sources have
    "tokens": pa.list_(pa.int32()),
    "window": pa.list_(pa.int32()),
    "tags": pa.list_(TEXT),
    "prompt": MESSAGES,
    "paraphrase": TEXT,
    "alternatives": pa.list_(TEXT),
    "fact": pa.list_(TEXT),
}
SCHEMA = {"id": TEXT, "text": TEXT, "label": TEXT, "subject": TEXT, "split": TEXT, "cluster": pa.int64()}


def prepare(cfg: dict[str, Any], out: str | Path) -> None:
    """Write examples.parquet and prepared.json of a study to the folder `out`.

    Args:
        cfg: {"task": one of `params.Task`, "dataset": fields of `Dataset`, "seed": int}, and "model", `Model.reading`,
            by which long texts become windows and tokens are counted.
        out: folder, replaced as a whole.
    Raises:
        InputError: parameters or data that cannot be used; one line names key, value and what is allowed.
    """
    task, seed = cfg["task"], cfg["seed"]
    dataset = for_task(Dataset.model_validate(cfg["dataset"]), task)
    labelled, of_classes = plugins.part("tasks", task, "LABELS"), plugins.gives(task, "classes")
    table, facts = gathered(dataset, seed, tagged=labelled == "words")
    table = clustered(table, dataset, facts["dropped"])
    labels_of = plugins.part("tasks", task, "labels")
    labels = labels_of(table) if labels_of else None
    if of_classes:
        check_classes(table, labels)
    table["split"] = split_names(table, dataset, seed)
    facts["dropped"]["left_over"] = int((table["split"] == UNUSED).sum())
    table = table[table["split"] != UNUSED]
    key = "dataset.sizes.train" if dataset.splits is None else "dataset.splits.retain"
    labels = classes(table, labels_of, key) if of_classes else []
    facts |= {"task": task, "seed": seed, "labels": labels}
    if "prompt" in table:
        facts["prompting"] = {name: getattr(dataset, name) for name in Prompting.model_fields}
    if "model" in cfg:
        model = Model.model_validate(cfg["model"])
        table, facts["tokens"] = read_by(model, table, dataset, task, facts["labels"])
    facts["counts"] = {name: int(count) for name, count in table["split"].value_counts().items()}
    with files.replacing(out) as folder:
        folder.mkdir()
        write_examples(table, folder / "examples.parquet")
        facts["sha256"] = files.digest(folder / "examples.parquet")
        files.write_json(folder / "prepared.json", facts)


def read_by(
    model: Model, table: pd.DataFrame, dataset: Dataset, task: str, labels: list[str]
) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
    """The examples, long texts of the study's own as windows, and of each split its tokens and those that are kept."""
    tokenizer = models.base_tokenizer(model, tokenizer_texts(dict(list(table.groupby("split")))))
    if plugins.gives(task, "text") and dataset.long != "cut":
        general = table["split"].isin(("general", "general_test"))
        own = windowed(table[~general].reset_index(drop=True), tokenizer, model.max_length)
        if "window" in own:
            cut = own[own["window"].notna()]
            log.info("%d long texts are %d windows", text_ids(cut).nunique(), len(cut))
            table = pd.concat([own, table[general]], ignore_index=True)
    prompting = Prompting(**{name: getattr(dataset, name) for name in Prompting.model_fields})
    rows = partial(
        plugins.part("tasks", task, "rows"),
        tokenizer=tokenizer,
        max_length=UNCUT,
        labels=labels,
        prompting=prompting,
    )
    found = {}
    for split, frame in table.groupby("split"):
        parts = [frame.iloc[begin : begin + FEW] for begin in range(0, len(frame), FEW)]
        there = np.concatenate([rows(part).rows.lengths for part in parts])
        kept = there if split == "general" else np.minimum(there, model.max_length)  # which is packed
        found[str(split)] = {"there": int(there.sum()), "kept": int(kept.sum())}
    return table, found


def for_task(dataset: Dataset, task: str) -> Dataset:
    """Labels are in the column `label` if none is named; what has labels has no use for general text."""
    if plugins.gives(task, "text"):
        return dataset
    answers = ("messages", "paraphrase", "alternatives")  # a class may be that of a pair of texts
    pairs = plugins.part("tasks", task, "LABELS") == "texts"
    for field in answers if pairs else ("prompt", *answers):
        if getattr(dataset, field) is not None:
            raise InputError(
                f"dataset.{field}: prompts and answers are for generation; allowed in {task}: null"
            )
    if dataset.general is not None:
        raise InputError(f"dataset.general: other text is for generation; allowed in {task}: null")
    return dataset.model_copy(update={"label": dataset.label or "label"})


def gathered(dataset: Dataset, seed: int, tagged: bool) -> tuple[pd.DataFrame, dict[str, Any]]:
    """All examples, those of general text marked in the column `general`; and what is known of their sources."""
    if dataset.splits is None:
        table, origin, empty = load(dataset, seed, tagged=tagged)
    else:
        table, origin, empty = load_sets(dataset, dataset.splits, seed, tagged)
    table["general"] = False
    facts: dict[str, Any] = {"source": dataset.source, "origin": origin, "dropped": {"empty": empty}}
    if dataset.general is not None:
        other, origin, empty = load(dataset.general, seed, "dataset.general")
        other = other.assign(id="general/" + other["id"], general=True)
        if both := sorted({*table["id"]} & {*other["id"]}):
            raise InputError(
                f"dataset.id: {quoted(both[0])} is the id of a general text, too; allowed: others"
            )
        table = pd.concat([table, other], ignore_index=True)
        facts["general"] = {"source": dataset.general.source, "origin": origin}
        facts["dropped"]["general_empty"] = empty
    return table, facts


def clustered(table: pd.DataFrame, dataset: Dataset, dropped: dict[str, int]) -> pd.DataFrame:
    """The examples to keep, with their cluster of near-duplicates; what goes is counted in `dropped`.

    General text that repeats the data set always goes: it would be trained on, or tested on, twice. Of given sets all
    stay.
    """
    table = table.assign(cluster=clusters(whole_texts(table), dataset.ngram, dataset.similarity))
    own = set(table["cluster"][~table["general"]])
    repeated = table["general"] & table["cluster"].isin(own)
    if dataset.deduplicate and dataset.splits is None:
        repeated |= table["cluster"].duplicated()
    dropped["near_duplicates"] = int((repeated & ~table["general"]).sum())
    if dataset.general is not None:
        dropped["general_near_duplicates"] = int((repeated & table["general"]).sum())
    return table[~repeated].reset_index(drop=True)


def split_names(table: pd.DataFrame, dataset: Dataset, seed: int) -> np.ndarray:
    """(N,) str name of the split of every example: as given, or so that the sizes are met exactly."""
    group = groups(table["cluster"].to_numpy(), table["subject"])
    names = np.full(len(table), UNUSED, dtype=object)
    own = ~table["general"].to_numpy()
    if dataset.splits is None:
        sizes = {name: getattr(dataset.sizes, name) for name in SPLITS}
        names[own] = assign(group[own], table["label"][own], sizes, stream(seed, "splits"))
        check_sizes(names[own], sizes, "dataset.sizes")
    else:
        names[own] = table["split"][own]
    if dataset.general is not None:
        test = dataset.general.test
        sizes = {"general_test": test, "general": dataset.general.size or max(1, int((~own).sum()) - test)}
        names[~own] = assign(group[~own], table["label"][~own], sizes, stream(seed, "splits", "general"))
        check_sizes(names[~own], sizes, "dataset.general")
    return names


def check_sizes(names: np.ndarray, sizes: dict[str, int], key: str) -> None:
    """Raise InputError unless every split has its size."""
    found = {name: int((names == name).sum()) for name in sizes}
    if found != sizes:
        wanted = " + ".join(f"{name} {size}" for name, size in sizes.items())
        message = f"{wanted} = {sum(sizes.values())} examples, but {len(names)} are left after deduplication"
        if len(names) >= sum(sizes.values()):
            message += " and whole groups (near-duplicates, one subject) cannot be put together so"
        raise InputError(f"{key}: {message}; allowed: sizes that fit")


def classes(table: pd.DataFrame, labels_of: Callable[[pd.DataFrame], pd.Series], key: str) -> list[str]:
    """Sorted names of the classes; each must occur among what is trained on, which `key` enlarges."""
    labels = labels_of(table[~table["general"]])
    known = set(labels_of(table[table["split"].isin(TRAINED)]))
    names = sorted(labels.unique())
    for name in names:
        if name not in known:
            count = int((labels == name).sum())
            raise InputError(
                f"{key}: class {class_name(name)} ({count} examples in all) has none in train; enlarge it"
            )
    return names


def write_examples(table: pd.DataFrame, path: Path) -> None:
    """Parquet with a fixed schema: the same examples are the same bytes."""
    schema = dict(SCHEMA)
    for name, kind in SOME.items():
        if name in table:
            schema[name] = kind
            table = table.assign(**{name: table[name].where(table[name].notna(), None)})
    content = {
        name: pa.array(table[name].tolist(), type=kind, from_pandas=True) for name, kind in schema.items()
    }
    parquet.write_table(pa.table(content, schema=pa.schema(schema)), path, compression="zstd")
