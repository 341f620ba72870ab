"""Task vectors, negated (Ilharco et al., ICLR 2023, arXiv:2212.04089).

    theta = theta0 - alpha * (theta_f - theta0)

theta_f is the original, trained further on the forget set by the method's `training`; the difference is what that
teaches, and is stepped the other way. At alpha 0 it is the original, at -1 it would be theta_f.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lethe.params.fields import NonNegative

NEEDS = ()
SPACE = {"alpha": {"low": 0.1, "high": 5.0, "log": True}}


@dataclass(frozen=True)
class Hyper:
    alpha: NonNegative = 1.0  # how far it steps, in lengths of the vector


def unlearn(hyper: Hyper, run):
    model = run.original()
    learnt = run.fit("learnt", run.original(), run.rows("forget"))
    with torch.no_grad():
        for own, other in zip(model.parameters(), learnt.parameters(), strict=True):
            own.sub_(hyper.alpha * (other - own))
    return model
