"""Forget quality: can the truth ratios of the forget set come from the retrained model? (TOFU, arXiv:2401.06121)"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.statistics import ks_p_value

NEEDS = None  # not run by `measure`, which has one model: `compare` and `judge` have two


def forget_quality(unlearned: np.ndarray, retrained: np.ndarray) -> dict[str, float]:
    """p-value of the two-sample Kolmogorov-Smirnov test of truth ratios, and how many there are.

    The power of the test grows with their number: compare values of one n only.

    Args:
        unlearned: (N,) truth ratio of each forget example under the unlearned model, or its logarithm: the test is of
            ranks.
        retrained: (M,) the same under the retrained model.
    Returns:
        {"forget_quality": in [0, 1], "forget_quality_n": N}; near 0: the two models differ. A high value is no proof
        that they are alike.
    Raises:
        ValueError: a group is empty or holds a value that is not finite.
    """
    return {"forget_quality": ks_p_value(unlearned, retrained), "forget_quality_n": float(len(unlearned))}
