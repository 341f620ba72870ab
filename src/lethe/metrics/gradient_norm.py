"""Gradient norm: how far one step on a text would move the model, as a membership score."""

from __future__ import annotations

from lethe.metrics.common.attacks import membership

NEEDS = ("gradient_norm",)


def values(scores, settings):
    """Length of the gradient of a text's loss in all weights: near 0 where the model has settled on the text.

    An attack by one who has the model itself (Nasr, Shokri and Houmansadr, IEEE S&P 2019, arXiv:1812.00910; of language
    models Wang et al. 2024, arXiv:2402.17012). Computed by `lethe score` where `score.gradient_norm` asks for it.
    """
    return {"gradient_norm": scores["gradient_norm"]}


def aggregate(scores, values, settings, seed):
    return membership("gradient_norm", values["gradient_norm"], scores, settings)
