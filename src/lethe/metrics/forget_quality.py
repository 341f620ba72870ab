"""Forget quality: can the values of the forget set come from the retrained model?"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.statistics import finite

NEEDS = None  # not run by `measure`, which has one model: `compare` and `judge` have two


def forget_quality(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """p-value of the two-sample Kolmogorov-Smirnov test (Maini et al. 2024, TOFU, arXiv:2401.06121).

    Args:
        unlearned: (N,) a value per forget example under the unlearned model, such as its loss.
        retrained: (M,) the same under the retrained model.
    Returns:
        In [0, 1]; near 0: the two models differ. A high value is no proof that they are alike.
    Raises:
        ValueError: a group is empty or holds a value that is not finite.
    """
    from scipy.stats import ks_2samp

    return float(ks_2samp(finite(unlearned), finite(retrained)).pvalue)
