"""Values of every forget example under every run and seed, for heat maps of the page. Record ids only, never texts."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from lethe.report.collect import Results
from lethe.report.figures.examples import forgotten, titles, values_of

MOST = 400  # examples of a seed: those that the original remembers best
LEVELS, MISSING = 254, 255  # a byte for each value
OTHERS = {"confidence": "confidence", "correct": "correct", "loss": "loss"}  # shown beside shares of a text


def heat(results: Results) -> dict[str, Any] | None:
    """What the page's heat maps show; None where no value of an example is known.

    Returns:
        runs; references, those of them that are no method; metrics [{key, title, low, high}]; all, forget examples of
        the first seed; seeds: seed -> {ids, values: metric -> bytes in base64, run after run, each an example after
        another}, of which 0 to 254 are even steps from low to high, and 255 stands for a value that is not there.
    """
    known = set(results.columns_of("original", results.seeds[0]))
    wanted = titles(known) | {key: title for key, title in OTHERS.items() if key in known}
    if not wanted:
        return None
    tables = {seed: tables_of(results, seed, list(wanted)) for seed in results.seeds}
    metrics = [limits(key, title, tables) for key, title in wanted.items()]
    return {
        "runs": results.runs,
        "references": [run for run in results.runs if run not in results.methods],
        "metrics": metrics,
        "all": len(tables[results.seeds[0]]["original"]["id"]),
        "seeds": {str(seed): of_seed(results, found, metrics) for seed, found in tables.items()},
    }


def tables_of(results: Results, seed: int, columns: list[str]) -> dict[str, dict[str, np.ndarray]]:
    return {run: forgotten(results.examples(run, seed, "id", "set", *columns)) for run in results.runs}


def limits(key: str, title: str, tables: dict[int, dict[str, dict[str, np.ndarray]]]) -> dict[str, Any]:
    """Shares reach from 0 to 1, anything else as far as its values."""
    if key != "loss":
        return {"key": key, "title": title, "low": 0, "high": 1}
    found = [table[key].astype(float) for of in tables.values() for table in of.values() if key in table]
    values = np.concatenate(found)
    low, high = (float(np.round(f(values), 2)) for f in (np.nanmin, np.nanmax))
    return {"key": key, "title": f"{title}, nats", "low": low, "high": max(high, low + 0.01)}


def of_seed(
    results: Results, tables: dict[str, dict[str, np.ndarray]], metrics: list[dict[str, Any]]
) -> dict[str, Any]:
    """Examples in the order in which the original remembers them, by the first metric."""
    original, first = tables["original"], metrics[0]["key"]
    sign = 1 if first == "loss" else -1
    order = np.lexsort((original["id"], sign * np.nan_to_num(original[first].astype(float))))[:MOST]
    ids = original["id"][order]
    packed = {}
    for metric in metrics:
        values = np.stack([values_of(tables[run], metric["key"], ids) for run in results.runs])
        share = (values - metric["low"]) / (metric["high"] - metric["low"])
        levels = np.clip(np.round(share * LEVELS), 0, LEVELS)
        levels = np.where(np.isnan(levels), MISSING, levels).astype(np.uint8)
        packed[metric["key"]] = base64.b64encode(levels.tobytes()).decode()
    return {"ids": ids.tolist(), "values": packed}
