"""From the arrays of a run to its metrics: one value per example, then numbers of the whole run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lethe.evaluation.comparable import same_texts
from lethe.evaluation.numbers import metrics, with_match
from lethe.evaluation.scores import load
from lethe.evaluation.shadows import gathered, unlearned
from lethe.metrics.blind import blind
from lethe.metrics.deep_unlearning import known
from lethe.params.measure import Measure
from lethe.params.shadow import Shadow
from lethe.params.ulira import ULira
from lethe.system.errors import InputError
from lethe.system.files import replacing, write_json
from lethe.system.quoting import quoted

log = logging.getLogger("lethe.measure")


def measure(
    cfg: dict,
    seed: int,
    scores: Path,
    out: Path,
    reference: Path | None = None,
    shadows: Sequence[Path] = (),
    original: Path | None = None,
    unlearned_by: Sequence[Path] = (),
) -> None:
    """Write metrics.json and metrics.parquet of a run.

    Args:
        cfg: {"measure": settings}, with a folder of shadow models {"shadow": settings}, with models that were unlearned
            {"ulira": settings}.
        seed: of the random streams (bootstrap).
        scores: file scores.npz of the run.
        out: folder of the two files.
        reference: file scores.npz of a model of the same examples, for `reference_loss`.
        original: the same of the model that was to forget, for what it knew, where texts say facts.
        shadows: files scores.npz of shadow models, for LiRA and RMIA; or the one folder in which they lie.
        unlearned_by: folders of the scores of methods whose models attack the run, for U-LiRA.
    Raises:
        InputError: an array or a set is missing, shapes disagree, or a value is not finite.
    """
    settings = Measure.model_validate(cfg.get("measure", {}))
    arrays = load(scores)
    if reference is not None:
        arrays["reference_logprob"] = same_texts(load(reference), arrays, reference)["logprob"]
    if original is not None:
        before = same_texts(load(original), arrays, original)
        arrays["known_before"] = known(before["correct"], before["mask"])
    if shadows:
        arrays |= gathered(shadow_files(shadows, cfg.get("shadow")), arrays["ids"], arrays["checksum"])
    if unlearned_by:
        seeds = ULira.model_validate(cfg["ulira"]).seeds
        arrays |= unlearned(unlearned_by, seeds, arrays["ids"], arrays["checksum"])
        if any(Path(scores).is_relative_to(folder) for folder in unlearned_by):
            arrays["ulira_own"] = np.array(True)
    columns, numbers = metrics(arrays, settings, seed)
    write(out, arrays, columns, numbers)


def shadow_files(given: Sequence[Path], shadow: dict | None) -> Sequence[Path]:
    """Files of scores in the order of the seeds, where a folder stands for them: SHADOW/seedN/scores.npz."""
    if len(given) > 1 or not given[0].is_dir():
        return given
    if shadow is None:
        raise InputError(f"--shadow: {given[0]}: a folder; needed in --cfg is shadow, which tells the seeds")
    return [given[0] / f"seed{seed}" / "scores.npz" for seed in Shadow.model_validate(shadow).seeds]


def measure_texts(cfg: dict, seed: int, prepared: Path, scores: Path, out: Path) -> None:
    """Write metrics.json and metrics.parquet of the blind control: what an attack finds that sees no model.

    It sees as much of each text as models read, of the examples that were scored.

    Args:
        cfg: {"measure": settings}.
        seed: of the random streams.
        prepared: folder of `lethe prepare`.
        scores: file scores.npz of any run of the seed; it says which texts are read, and how far.
        out: folder of the two files.
    """
    from lethe.data.parquet import read_table
    from lethe.data.splits import groups
    from lethe.data.texts import whole_texts

    settings = Measure.model_validate(cfg.get("measure", {}))
    arrays = load(scores)
    examples = read_table(Path(prepared) / "examples.parquet").set_index("id")
    absent = [name for name in arrays["ids"] if name not in examples.index]
    if absent:
        raise InputError(f"{scores}: {len(absent)} examples are not in {prepared}, first {quoted(absent[0])}")
    examples = examples.assign(group=groups(examples["cluster"].to_numpy(), examples["subject"]))
    examples = examples.loc[arrays["ids"].tolist()]
    texts = [text[:count] for text, count in zip(whole_texts(examples), arrays["characters"], strict=True)]
    group = examples["group"].to_numpy()
    column, numbers = blind(texts, group, with_match(arrays, settings), settings, seed)
    write(out, arrays, {"blind": column}, numbers)


def write(out: Path, arrays: dict[str, np.ndarray], columns: dict[str, np.ndarray], numbers: dict) -> None:
    """Write metrics.json and metrics.parquet."""
    write_json(Path(out) / "metrics.json", numbers)
    write_parquet(Path(out) / "metrics.parquet", arrays, columns)
    log.info("%d numbers, %d columns of %d examples", len(numbers), len(columns), len(arrays["ids"]))


def write_parquet(path: Path, scores: dict[str, np.ndarray], columns: dict[str, np.ndarray]) -> None:
    """One row per example: id, set, and a column per value; masked entries are null."""
    import pyarrow
    from pyarrow import parquet

    table = {"id": pyarrow.array(scores["ids"].astype(str)), "set": pyarrow.array(scores["sets"].astype(str))}
    for name, values in columns.items():
        table[name] = pyarrow.array(np.ma.getdata(values), mask=np.ma.getmaskarray(values))
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(table), temporary)
