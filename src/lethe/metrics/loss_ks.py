"""Loss KS: can the losses of the forget set come from the retrained model?"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.statistics import ks_p_value

NEEDS = None  # not run by `measure`, which has one model: `compare` and `judge` have two


def loss_ks(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """p-value of the two-sample Kolmogorov-Smirnov test of losses.

    Args:
        unlearned: (N,) loss of each forget example under the unlearned model.
        retrained: (M,) the same under the retrained model.
    Returns:
        In [0, 1]; near 0: the two models differ. A high value is no proof that they are alike.
    Raises:
        ValueError: a group is empty or holds a value that is not finite.
    """
    return ks_p_value(unlearned, retrained)
