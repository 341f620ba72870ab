"""The numbers of a certificate, from scores.npz of the new version and of the models beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lethe.deletion.certificate import Number, verdict_of
from lethe.evaluation.bootstrap import Arrays, Values, intervals
from lethe.evaluation.comparable import same_texts
from lethe.evaluation.comparing import FEW_DRAWS
from lethe.evaluation.headline import columns
from lethe.evaluation.numbers import modules, numbers_of, with_match
from lethe.evaluation.scores import load
from lethe.metrics.common.statistics import gap_band
from lethe.params.measure import Measure
from lethe.params.requests import Threshold
from lethe.system.errors import InputError


def numbers(
    version: Path,
    original: Path,
    retrained: Sequence[Path],
    reference: Path | None,
    settings: Measure,
    thresholds: Mapping[str, Threshold],
    seed: int,
) -> list[Number]:
    """The metrics that tell most of the task, and those with a threshold, in the order of their names.

    Args:
        version, original, retrained, reference: files scores.npz of the same examples; `retrained` may be empty, and
            hold the version itself, where retraining served the request.
    Raises:
        InputError: a metric with a threshold is not measured.
    """
    of = settings.model_copy(update={"bootstrap": min(settings.bootstrap, FEW_DRAWS)})
    own, values = scored(version, reference, of, seed)
    plain = [scored(file, reference, of, seed)[1] for file in (original, *retrained)]
    beside = [file for file in retrained if file != version][:1]
    table = intervals([own, *(scored(file, reference, of, seed)[0] for file in beside)], of, seed)
    wanted = sorted({*thresholds, *(column.key for column in columns(str(own[0]["task"]), values))})
    if missing := [name for name in wanted if name not in values]:
        raise InputError(
            f"requests.thresholds.{missing[0]}: is not measured; allowed are {', '.join(sorted(values))}"
        )
    return [
        number(name, values[name], table.get(name, {}), plain, thresholds.get(name), of) for name in wanted
    ]


def scored(
    file: Path, reference: Path | None, settings: Measure, seed: int
) -> tuple[tuple[Arrays, Values], dict[str, float]]:
    """Arrays and values per example of a model, and its numbers."""
    arrays = load(file)
    if reference is not None:
        arrays["reference_logprob"] = same_texts(load(reference), arrays, reference)["logprob"]
    arrays = with_match(arrays, settings)
    values = {metric: metric.values(arrays, settings) for metric in modules(arrays)}
    return (arrays, values), numbers_of(arrays, values, settings, seed)


def number(
    name: str,
    value: float,
    bounds: Mapping[str, float],
    plain: Sequence[Mapping[str, float]],
    threshold: Threshold | None,
    settings: Measure,
) -> Number:
    """Args: plain: numbers of the original and of the retrained models."""
    original, *retrained = (of.get(name) for of in plain)
    known = [one for one in retrained if one is not None]
    band = gap_band([np.array(known)], settings.confidence) if known else None
    least, most = (threshold.least, threshold.most) if threshold else (None, None)
    low, high = bounds.get("low"), bounds.get("high")
    return Number(
        metric=name,
        value=value,
        low=low,
        high=high,
        original=original,
        retrain=known[0] if known else None,
        gap_low=bounds.get("gap_low"),
        gap_high=bounds.get("gap_high"),
        band=band["half"] if band else None,
        least=least,
        most=most,
        verdict=verdict_of(value, low, high, least, most),
    )
