"""Do the losses of the forget set differ between two models? p-values of texts, not of trainings.

Both tests ask about these two models on these texts. Another training by the same recipe would shift all losses a
little, which neither knows: a study asks instead whether a run's mean loss is further from the retrained models' than
they are from each other (`lethe.evaluation.verdicts.loss_tests`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from lethe.metrics.common.statistics import finite, ks_p_value

NEEDS = None  # not run by `measure`, which has one model: `compare` and `judge` have two
SMALLEST = 1e-300  # a smaller p-value counts as this one, so that it has a logarithm


def loss_ks(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """p-value of the two-sample Kolmogorov-Smirnov test of a value per forget example, such as its loss.

    The values of both models are of the same texts, and move together, which this test does not know: it rejects a
    true null in far fewer than its level of cases (0.1 % of 5 %), and finds little.

    Args:
        unlearned: (N,) under the unlearned model; retrained: (M,) under the retrained model.
    Returns:
        In [0, 1]; near 0: the two models differ. A high value is no proof that they are alike.
    Raises:
        ValueError: a group is empty or holds a value that is not finite.
    """
    return ks_p_value(unlearned, retrained)


def loss_paired(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """p-value of the paired t-test of the same texts' values: 1 where no text differs or there is only one.

    Args:
        unlearned, retrained: (N,) values of the same N forget examples.
    Returns:
        In [0, 1]; near 0: the mean of these texts differs between these two models.
    Raises:
        ValueError: there is no example, the numbers of them differ, or a value is not finite.
    """
    difference = finite(np.asarray(unlearned, np.float64) - np.asarray(retrained, np.float64))
    count = len(difference)
    if count < 2 or not difference.any():
        return 1.0
    error = difference.std(ddof=1) / np.sqrt(count)
    if error == 0:
        return 0.0
    return float(2 * special.stdtr(count - 1, -abs(difference.mean()) / error))


def combined(p_values: Sequence[float]) -> float:
    """p-value of several independent tests of one hypothesis together (Fisher, 1925): -2 sum log p is chi-squared.

    More seeds reject more, where a mean of p-values would reject less.

    Raises:
        ValueError: there is no p-value, or one is not finite.
    """
    p = np.clip(finite(p_values), SMALLEST, 1)
    return float(special.chdtrc(2 * len(p), -2 * np.log(p).sum()))
