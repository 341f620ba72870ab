"""What can be claimed of a run beside models that never saw the forget set: near, far, or open.

A method aims at the models that retraining makes, which differ among themselves. Seeds s = 1…S choose the forget set;
each has one model of the run, with the number y_s, and R_s ≥ 1 retrained ones, z_s1 … z_sR. Under the model

    y_s = m_s + gap + e_s,    z_sr = m_s + e_sr,    e of variance sigma² (training noise), all independent,

the estimate of the gap is the mean over seeds of y_s − mean_r z_sr, of variance sigma² sum_s (1 + 1/R_s) / S², and
sigma² is estimated within the seeds from the retrained models alone: a run that is unsteady is told from retraining
the sooner for it, none is excused by its own noise. What varies between seeds cancels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from lethe.metrics.common.statistics import finite

Verdict = Literal["near", "far", "open"]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Gap:
    """Mean gap of a run to retrained models.

    gap: in the unit of the number; error: its standard error, ≥ 0; degrees: of freedom of the error, > 0.
    """

    gap: float
    error: float
    degrees: float

    def at_least(self, error: float) -> Gap:
        """The gap with a standard error of at least so much.

        That of the examples: two models of one recipe may agree by chance in every text, which is no spread of 0.
        """
        return replace(self, error=max(self.error, error))

    def half(self, confidence: float) -> float:
        """Half the width of the Student-t interval of the gap at a level in (0, 1)."""
        return float(special.stdtrit(self.degrees, (1 + confidence) / 2)) * self.error

    def interval(self, confidence: float) -> tuple[float, float]:
        half = self.half(confidence)
        return self.gap - half, self.gap + half

    def p_value(self) -> float:
        """Of "the gap is 0", two-sided; 1 for no gap without any spread, 0 for another one."""
        if self.error == 0:
            return float(self.gap == 0)
        return float(2 * special.stdtr(self.degrees, -abs(self.gap) / self.error))


def error_of_examples(differences: Sequence[np.ndarray]) -> float:
    """Standard error that a mean gap has by the examples of its seeds alone; 0 where a seed has fewer than two.

    Args: differences: of each seed, a value for each example: of the run less that of a retrained model.
    """
    if not differences or any(len(of) < 2 for of in differences):
        return 0.0
    return float(np.sqrt(sum(of.var(ddof=1) / len(of) for of in differences)) / len(differences))


def gap_to_retrained(run: ArrayLike, retrained: Sequence[ArrayLike]) -> Gap | None:
    """The gap of a run to retrained models of the same seeds.

    Args:
        run: (S,) one number per seed.
        retrained: S groups, the numbers of the R_s retrained models of each seed.
    Returns:
        None where no seed has two retrained models: their spread is then unknown (see `paired_gap`).
    Raises:
        ValueError: groups and seeds do not agree in number, one is empty, or a value is not finite.
    """
    values, groups = finite(run), [finite(group) for group in retrained]
    if len(values) != len(groups):
        raise ValueError(
            f"{len(values)} seeds of the run, {len(groups)} of retrained models; they must agree"
        )
    degrees = sum(len(group) - 1 for group in groups)
    if degrees == 0:
        return None
    variance = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / degrees
    gap = float(np.mean([value - group.mean() for value, group in zip(values, groups, strict=True)]))
    weight = sum(1 + 1 / len(group) for group in groups) / len(groups) ** 2
    return Gap(gap, float(np.sqrt(variance * weight)), degrees)


def gap_to_fixed(run: ArrayLike, retrained: ArrayLike) -> Gap | None:
    """The gap of S runs to R retrained models that are the same for all of them, such as published ones.

    The mean of the runs minus that of the retrained models, of variance sigma² (1/S + 1/R), sigma² estimated from the
    retrained models alone (R − 1 degrees of freedom): more runs are no further look at how retraining varies.

    Args:
        run: (S,) numbers of the runs; retrained: (R,).
    Returns:
        None for a single retrained model, whose spread is unknown.
    """
    values, reference = finite(run), finite(retrained)
    if len(reference) < 2:
        return None
    weight = 1 / len(values) + 1 / len(reference)
    error = float(np.sqrt(reference.var(ddof=1) * weight))
    return Gap(float(values.mean() - reference.mean()), error, len(reference) - 1)


def paired_gaps(runs: Mapping[str, ArrayLike], retrained: ArrayLike) -> dict[str, Gap]:
    """Gaps of several runs where each seed has a single retrained model.

    The differences y_ms − z_s of all M runs hold the same z_s, so they are no M·(S − 1) independent looks at the
    noise. Their variance within runs is split in two: what the runs share, that of the retrained model, between the
    seeds (S − 1 degrees), and what is their own, the residue ((M − 1)(S − 1) degrees). The variance of one difference
    is a sum of the two with degrees of freedom after Satterthwaite (Biometrics 1946). With one run it is the paired t.

    Args:
        runs: name -> (S,) numbers of the same S ≥ 2 seeds; retrained: (S,).
    Returns:
        name -> Gap; empty for a single seed, which knows no noise.
    """
    reference = finite(retrained)
    seeds = len(reference)
    if seeds < 2 or not runs:
        return {}
    differences = np.stack([finite(values) - reference for values in runs.values()])  # (M, S)
    count = len(differences)
    centred = differences - differences.mean(axis=1, keepdims=True)
    between = count * float((centred.mean(axis=0) ** 2).sum()) / (seeds - 1)  # own + M · shared
    if count == 1:
        variance, degrees = between, float(seeds - 1)
    else:
        residue = float(((centred - centred.mean(axis=0)) ** 2).sum()) / ((count - 1) * (seeds - 1))
        parts = np.array([between / count, residue * (count - 1) / count])
        variance = float(parts.sum())
        freedom = np.array([seeds - 1, (count - 1) * (seeds - 1)])
        degrees = variance**2 / float((parts**2 / freedom).sum()) if variance else float(seeds - 1)
    error = float(np.sqrt(variance / seeds))
    return {name: Gap(float(d.mean()), error, degrees) for name, d in zip(runs, differences, strict=True)}


def verdict(gap: Gap, margin: float, confidence: float = 0.9) -> Verdict:
    """Two one-sided tests (Schuirmann, 1987) of whether a run is as near to retraining as was declared to be near.

    Args:
        margin: > 0, declared before the run; a gap of at most so much counts as none.
        confidence: of the interval; 0.9 is a test at 5 % on each side.
    Returns:
        "near": the whole interval lies inside ± margin; "far": wholly outside; "open": the data say neither.
    """
    low, high = gap.interval(confidence)
    if -margin <= low and high <= margin:
        return "near"
    return "far" if low > margin or high < -margin else "open"


def holm(p_values: Mapping[K, float], level: float = 0.05) -> set[K]:
    """Names of the hypotheses that are rejected at a familywise error of at most `level` (Holm, 1979)."""
    rejected: set[K] = set()
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > level / (len(p_values) - place):
            break
        rejected.add(name)
    return rejected
