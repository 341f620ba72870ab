"""Which training examples are to be forgotten, and what each is paired with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from lethe.data.facts import targets, with_minimal_sets
from lethe.data.id_files import requested, values_by_id
from lethe.data.pairing import pairs
from lethe.data.parquet import read_table
from lethe.data.splits import TRAINED, groups
from lethe.data.windows import text_ids
from lethe.params.forget import Forget
from lethe.params.names import SHADOW
from lethe.system import files
from lethe.system.errors import InputError
from lethe.system.quoting import class_name, quoted
from lethe.system.streams import stream

PAIRS = {"id": pa.string(), "analogue": pa.string(), "rank": pa.int64(), "similarity": pa.float64()}


def forget(cfg: dict[str, Any], seed: int, prepared: str | Path, out: str | Path) -> None:
    """Write sets.parquet, pairs.parquet (id, analogue, rank, similarity) and forget.json to `out`.

    The first holds id and set and, with strategy deep, target: whether the example itself was asked for.

    Args:
        cfg: {"forget": fields of `Forget`, "task": …}; {"strategy": "shadow"} draws the half that a shadow model
            is not trained on. With {"audited": S}, for U-LiRA, the forget set is half of what the study's seed S is
            audited by.
        seed: chooses the forget set and its pairs.
        prepared: folder of `lethe prepare`.
        out: folder, replaced as a whole.
    Raises:
        InputError: the forget set cannot be chosen so; one line names key, value and what is allowed.
    """
    examples = read_table(Path(prepared) / "examples.parquet")
    if cfg["forget"] == {"strategy": SHADOW}:
        examples["set"] = shadow_sets(examples, seed)
        facts = {"strategy": SHADOW, "seed": seed, "counts": counts(examples["set"])}
        write_sets(Path(out), examples, pd.DataFrame(columns=list(PAIRS)), facts)
        return
    wish = Forget.model_validate(cfg["forget"])
    trained = examples["split"].isin(TRAINED)
    pool = examples[trained].reset_index(drop=True)
    texts, audited = text_ids(pool), cfg.get("audited")
    chosen = chosen_ids(wish, pool.assign(text_id=texts), seed if audited is None else audited)
    chosen = set(pool["id"][pool["id"].isin(chosen) | texts.isin(chosen)])  # all windows of a text, or none
    if wish.strategy == "deep":
        examples["target"] = examples["id"].isin(chosen)
        chosen = with_minimal_sets(chosen, pool, seed)
    if wish.closed:
        chosen = closure(chosen, pool)
    if not 0 < len(chosen) < len(pool):
        added = " with their near-duplicates" if wish.closed else ""
        what = f"{len(chosen)} examples{added} of the {len(pool)} that are trained on"
        raise InputError(f"forget: strategy {wish.strategy} chooses {what}; allowed: 1 to {len(pool) - 1}")
    *earlier, now = in_requests(chosen, pool, wish, seed)[: wish.request or 1]
    examples["set"] = examples["split"].mask(trained, "retain")
    examples.loc[examples["id"].isin(set().union(*earlier)), "set"] = "forgotten"
    examples.loc[examples["id"].isin(now), "set"] = "forget"
    if audited is not None:
        examples["set"] = audit_sets(examples, audited, seed)
    forgotten = examples[examples["set"] == "forget"].reset_index(drop=True)
    others = examples[examples["set"].isin(("retain", "general"))].reset_index(drop=True)
    if wish.pairing.deduplicate:  # an analogue teaches nothing again that was forgotten before
        before = set(examples["cluster"][examples["set"] == "forgotten"])
        others = others[~others["cluster"].isin(before)].reset_index(drop=True)
    paired, found = pairs(wish.pairing, forgotten, others, seed)
    facts = {"strategy": wish.strategy, "seed": seed, "pairing": found, "counts": counts(examples["set"])}
    facts["subjects"] = int(forgotten["subject"].nunique())
    write_sets(Path(out), examples, paired, facts)


def shadow_sets(examples: pd.DataFrame, seed: int) -> pd.Series:
    """Sets for a shadow model: of the texts that any run may know or be judged on, half is forgotten.

    Shadow models come in complementary pairs, an even seed and the odd one after it: what one of them is trained on
    the other is not. So each text is in exactly half of the shadow models, and more pairs may be added without
    changing the first. Near-duplicates and the texts of one subject are on one side.
    """
    divided = examples["split"].isin((*TRAINED, "holdout", "test"))
    pool = examples[divided]
    group = groups(pool["cluster"].to_numpy(), pool["subject"])
    names, position = np.unique(group, return_inverse=True)
    order = stream(seed - seed % 2, SHADOW).permutation(len(names))
    inside = (order < len(names) / 2)[position] == (seed % 2 == 0)
    sets = examples["split"].copy()
    sets[divided] = np.where(inside, "retain", "forget")
    return sets


def audit_sets(examples: pd.DataFrame, audited: int, seed: int) -> pd.Series:
    """Sets for a model of U-LiRA: of the forget set and as many test texts, half is to be forgotten, half never seen.

    Models come in complementary pairs, as shadow models do, so that each of these texts is forgotten by exactly half of
    them and unknown to the others. Near-duplicates and the texts of one subject are on one side. All other training
    texts are retained by all.

    Args:
        examples: with their sets at the study's seed `audited`, which also draws the test texts.
        seed: of the model.
    Raises:
        InputError: the half is empty.
    """
    sets = examples["set"].copy()
    group = groups(examples["cluster"].to_numpy(), examples["subject"])
    members, tests = (np.flatnonzero(sets == name) for name in ("forget", "test"))
    chosen = stream(audited, "audit").permutation(tests)[: len(members)]
    for kind, rows in (("forget", members), ("test", chosen)):
        names, position = np.unique(group[rows], return_inverse=True)
        order = stream(seed - seed % 2, "audit", kind).permutation(len(names))
        inside = (order < len(names) / 2)[position] == (seed % 2 == 0)
        sets.iloc[rows] = np.where(inside, "forget", "test")
    if not (sets == "forget").any():
        raise InputError(
            "ulira: the forget set is a single group of texts; needed are two that can be divided"
        )
    return sets


def write_sets(out: Path, examples: pd.DataFrame, paired: pd.DataFrame, facts: dict[str, Any]) -> None:
    """Write sets.parquet, pairs.parquet and forget.json."""
    schema = {"id": pa.string(), "set": pa.string()} | (
        {"target": pa.bool_()} if "target" in examples else {}
    )
    with files.replacing(out) as folder:
        folder.mkdir()
        write(examples[[*schema]], schema, folder / "sets.parquet")
        write(paired, PAIRS, folder / "pairs.parquet")
        files.write_json(folder / "forget.json", facts)


def chosen_ids(wish: Forget, pool: pd.DataFrame, seed: int) -> set[str]:
    """Ids of the training examples that the strategy chooses, or of the texts that they are windows of."""
    draw = stream(seed, "forget", wish.strategy)
    match wish.strategy:
        case "random":
            return sample(pool["text_id"].drop_duplicates(), wish.size, draw)
        case "subject":
            return of_some_subjects(pool, wish.size or len(pool), draw)
        case "label":
            classes = wish.label if isinstance(wish.label, list) else [wish.label]
            return set().union(*(of_a_class(pool, str(name), wish.size, draw) for name in classes))
        case "ids":
            if wish.parts is None:
                return requested(Path(wish.file or ""), {*pool["id"], *pool["text_id"]})
            return in_pool(set().union(*wish.parts), pool)
        case "memorised":
            return most_memorised(Path(wish.file or ""), pool, wish.size or len(pool))
        case "given":
            return set(pool["id"][pool["split"].isin(("forget", "forgotten"))])
        case "superficial" | "deep":
            return targets(pool, wish.size or len(pool), seed)


def in_pool(ids: set[str], pool: pd.DataFrame) -> set[str]:
    """The ids themselves; InputError if one is not trained on."""
    unknown = sorted(ids - {*pool["id"], *pool["text_id"]})
    if unknown:
        what = f"{quoted(unknown[0])} is none of the examples that are trained on ({len(unknown)} such ids)"
        raise InputError(f"requests.served: {what}; were texts added or removed since?")
    return ids


def sample(ids: pd.Series, size: int | None, draw: np.random.Generator) -> set[str]:
    """So many of the ids at random, or all."""
    return set(ids.iloc[draw.permutation(len(ids))[:size]])


def of_some_subjects(pool: pd.DataFrame, size: int, draw: np.random.Generator) -> set[str]:
    """All records of people, drawn one after the other, until there are at least `size` records."""
    records = pool.groupby("subject")["id"].agg(list).sort_index()
    if records.empty:
        raise InputError("forget.strategy: subject needs subjects; name their column as dataset.subject")
    chosen: set[str] = set()
    for index in draw.permutation(len(records)):
        if len(chosen) >= size:
            break
        chosen.update(records.iloc[index])
    if len(chosen) < size:
        raise InputError(
            f"forget.size: {size} records wanted, subjects have {len(chosen)} in train; allowed: fewer"
        )
    return chosen


def of_a_class(pool: pd.DataFrame, label: str, size: int | None, draw: np.random.Generator) -> set[str]:
    """Examples of a class: so many at random, or all."""
    members = pool["id"][pool["label"] == label]
    if members.empty:
        counts = pool["label"].value_counts()
        classes = sorted(counts.index[counts > 1])  # what occurs once may be a text
        allowed = ", ".join(map(class_name, classes[:20])) or "none, as no label has several"
        raise InputError(f"forget.label: no training example has label {label!r}; allowed: {allowed}")
    if size is not None and size > len(members):
        raise InputError(f"forget.size: {size} of label {label!r} wanted, train has {len(members)}")
    return sample(members, size, draw)


def most_memorised(path: Path, pool: pd.DataFrame, size: int) -> set[str]:
    """The examples with the highest values; ties go to the first id."""
    values = values_by_id(path)
    known = values[values.index.isin(pool["id"])]
    if len(known) < size:
        raise InputError(
            f"forget.size: {size} wanted, but {path} has values of {len(known)} training examples"
        )
    ranked = known.rename_axis("id").reset_index(name="value")
    ranked = ranked.sort_values(["value", "id"], ascending=[False, True])
    return set(ranked["id"].head(size))


def closure(chosen: set[str], pool: pd.DataFrame) -> set[str]:
    """The chosen and all their near-duplicates in the training set."""
    clusters = set(pool["cluster"][pool["id"].isin(chosen)])
    return set(pool["id"][pool["cluster"].isin(clusters)])


def in_requests(chosen: set[str], pool: pd.DataFrame, wish: Forget, seed: int) -> list[set[str]]:
    """The chosen examples in parts of about the same size, in the order in which they are asked for.

    All records of a subject that is forgotten come in one part, and with `closed` all near-duplicates. Parts that are
    classes come in the order of the list. Sets of a list that came before are one part.

    Raises:
        InputError: there are more requests than what can be asked for on its own.
    """
    if wish.listed:
        before = {*pool["id"][pool["split"] == "forgotten"]}
        return [before, chosen - before] if before else [chosen]
    if wish.parts is not None:
        texts = text_ids(pool)  # all windows of a text, or none
        return [{*pool["id"][pool["id"].isin(part) | texts.isin(part)]} for part in wish.parts]
    if isinstance(wish.label, list):
        return [chosen & {*pool["id"][pool["label"] == name]} for name in wish.label]
    members = pool[pool["id"].isin(chosen)].reset_index(drop=True)
    alone = pd.Series([None] * len(members), dtype=object)
    cluster = members["cluster"].to_numpy() if wish.closed else pd.factorize(text_ids(members))[0]
    group = groups(cluster, members["subject"] if wish.strategy == "subject" else alone)
    order = stream(seed, "requests").permutation(int(group.max()) + 1)
    parts: list[set[str]] = [set() for _ in range(wish.requests)]
    begun = 0
    for number in order:
        ids = set(members["id"][group == number])
        parts[begun * wish.requests // len(members)] |= ids
        begun += len(ids)
    if not all(parts):
        what = (
            f"{wish.requests}, but {len(members)} examples in {len(order)} groups do not fill so many parts"
        )
        raise InputError(f"forget.requests: {what}; allowed: fewer")
    return parts


def counts(names: pd.Series) -> dict[str, int]:
    return {name: int(count) for name, count in names.value_counts().sort_index().items()}


def write(table: pd.DataFrame, schema: dict[str, pa.DataType], path: Path) -> None:
    content = {name: pa.array(table[name].tolist(), type=kind) for name, kind in schema.items()}
    parquet.write_table(pa.table(content, schema=pa.schema(schema)), path, compression="zstd")
