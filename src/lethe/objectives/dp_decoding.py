"""Differentially private decoding (Majmudar et al., 2022, arXiv:2205.13621): nothing is trained.

    p'(v) = share * p(v) + (1 - share) / V

At every position the model's distribution over the V tokens is mixed with the uniform one. Applied to every example,
not to the forget set; at `share` 0 the model says nothing, at 1 it is the original. No token's log-probability falls
below log((1 - share) / V). The most likely token stays the same, so what greedy decoding extracts does not change:
only likelihoods, and what is drawn by sampling, do.

The run's model is composed of the original, whose files it has, and of that mixture (`lethe.models.composed`).
"""

from __future__ import annotations

from dataclasses import dataclass

from lethe.models.composed import Composed, Mixture
from lethe.params.fields import Fraction

NEEDS = ("text",)
SPACE = {"share": {"low": 0.1, "high": 1.0}}


@dataclass(frozen=True)
class Hyper:
    share: Fraction = 0.9  # lambda, of the model's own distribution; the paper varies it


def unlearn(hyper: Hyper, run):
    """The original, told how it is to be decoded."""
    return Composed({"original": run.original()}, Mixture(1 - hyper.share))
