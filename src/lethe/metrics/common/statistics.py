"""Uncertainty: intervals over seeds, bootstrap percentiles, exact binomial bounds.

Everything here is a closed form or a quantile; scipy supplies the distributions. What cannot be estimated (a
spread from one value) is None or absent, never NaN and never 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


def summary(values: ArrayLike) -> dict[str, float | int]:
    """Mean, sample standard deviation and number of values.

    Args:
        values: (n,) one value per seed.
    Returns:
        {"mean", "sd", "n"}; `sd` (n − 1 in the denominator) is absent for a single value.
    Raises:
        ValueError: there is no value, or one is not finite.
    """
    array = finite(values)
    result: dict[str, float | int] = {"mean": float(array.mean()), "n": len(array)}
    if len(array) > 1:
        result["sd"] = float(array.std(ddof=1))
    return result


def mean_interval(values: ArrayLike, confidence: float) -> tuple[float, float] | None:
    """Student-t interval of the mean of independent values.

    Args:
        values: (n,) one value per seed, or one paired difference per seed.
        confidence: level in (0, 1).
    Returns:
        (low, high), or None for a single value. Values without any spread give an interval of width 0.
    Raises:
        ValueError: there is no value, or one is not finite.
    """
    array = finite(values)
    if len(array) < 2:
        return None
    half = half_width(len(array), confidence) * float(array.std(ddof=1))
    return float(array.mean()) - half, float(array.mean()) + half


def half_width(values: int, confidence: float) -> float:
    """Half the width of the interval of a mean of so many values, at least 2, in units of their standard deviation.

    Student's quantile over the root of their number: 9.0 for 2 values at 95%, 2.5 for 3, 1.2 for 5.
    """
    return student_quantile(values - 1, confidence) / float(np.sqrt(values))


def student_quantile(degrees: int, confidence: float) -> float:
    """Student's t that is exceeded to either side with probability 1 - confidence."""
    # scipy.stats has it too but takes half a second to import
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def gap_band(groups: Sequence[ArrayLike], confidence: float) -> dict[str, float | int] | None:
    """How far a further model of one recipe comes to lie by chance from the mean of the others, over n groups.

    A prediction interval: the spread within groups is estimated from models of one recipe, and a further model per
    group has, with this probability, a mean gap of at most `half`. Groups of one value each are taken as one sample,
    whose spread then holds that between groups, too; the band is the wider for it.

    Args:
        groups: n groups, one per seed, of the values of R models each.
        confidence: level in (0, 1).
    Returns:
        {"half": half its width, "degrees": of freedom of the spread}, or None if it cannot be estimated (one value).
    Raises:
        ValueError: a group is empty or a value is not finite.
    """
    samples = [finite(group) for group in groups]
    single = all(len(sample) == 1 for sample in samples)
    pooled = [np.concatenate(samples)] if single else samples
    degrees = sum(len(sample) - 1 for sample in pooled)
    if degrees == 0:
        return None
    variance = sum(float(((sample - sample.mean()) ** 2).sum()) for sample in pooled) / degrees
    weight = sum(1 + 1 / len(sample) for sample in samples) / len(samples) ** 2
    return {
        "half": student_quantile(degrees, confidence) * float(np.sqrt(variance * weight)),
        "degrees": degrees,
    }


def binomial_bounds(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Exact (Clopper-Pearson, Biometrika 1934) bounds of a proportion.

    Args:
        successes: 0 to `trials`.
        trials: number of independent trials, at least 1.
        confidence: level in (0, 1); the true proportion lies within the bounds at least this often.
    Returns:
        (low, high) in [0, 1]; low is 0 without a success, high is 1 without a failure.
    Raises:
        ValueError: no trial, or successes outside 0..trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(
            f"{successes} successes of {trials} trials; at least 1 trial, 0 to {trials} successes"
        )
    tail = (1 - confidence) / 2
    low = special.betaincinv(successes, trials - successes + 1, tail) if successes else 0.0
    high = special.betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return float(low), float(high)


def percentile_interval(draws: ArrayLike, confidence: float) -> tuple[float, float]:
    """Percentile interval of a bootstrap distribution (Efron, 1979).

    Args:
        draws: (B,) the statistic on each resample.
        confidence: level in (0, 1).
    Returns:
        (low, high), quantiles (1 ± confidence)/2 of the draws.
    Raises:
        ValueError: there is no draw, or one is not finite.
    """
    low, high = np.quantile(finite(draws), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def ks_p_value(values: ArrayLike, others: ArrayLike) -> float:
    """p-value in [0, 1] of the two-sample Kolmogorov-Smirnov test, two-sided; ValueError as `finite`."""
    from scipy.stats import ks_2samp

    return float(ks_2samp(finite(values), finite(others)).pvalue)


def finite(values: ArrayLike) -> np.ndarray:
    """The values as (n,) float64; ValueError if there is none or one is NaN or infinite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"an array of shape {array.shape}; a list of at least one number is needed")
    if not np.isfinite(array).all():
        raise ValueError(f"{int((~np.isfinite(array)).sum())} of {array.size} values are not finite")
    return array
