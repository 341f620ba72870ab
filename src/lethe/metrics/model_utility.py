"""Model utility: what a model still knows of what it should, in one number (TOFU, arXiv:2401.06121)."""

from __future__ import annotations

import numpy as np

from lethe.metrics import probability, rouge, truth_ratio

NEEDS = ("logprob", "answered", "rouge_l_recall")


def harmonic_mean(numbers) -> float:
    """Of numbers ≥ 0; 0 if one of them is."""
    array = np.asarray(numbers, dtype=np.float64)
    return float(len(array) / (1 / array).sum()) if (array > 0).all() else 0.0


def components(scores, settings, seed) -> dict[str, float]:
    """Probability, ROUGE-L recall and truth ratio of each of `measure.utility_sets`, as far as there are any.

    Of a set whose answers have no other wording, the probability is that of the true one among the options.
    """
    found: dict[str, float] = {}
    for metric in (probability, rouge, truth_ratio):
        found |= metric.aggregate(scores, metric.values(scores, settings), settings, seed)
    wanted = []
    for name in settings.utility_sets:
        paraphrased = np.isfinite(scores["paraphrase_loss"][scores["sets"] == name]).any()
        kind = "probability" if paraphrased else "probability_with_options"
        wanted += [f"{key}_{name}" for key in (kind, "rouge_l_recall", "truth_ratio")]
    return {name: found[name] for name in wanted if name in found}


def values(scores, settings):
    return {}


def aggregate(scores, values, settings, seed):
    """The harmonic mean of all components: nine, of three sets. Absent where one is."""
    found = components(scores, settings, seed)
    if len(found) < 3 * len(settings.utility_sets):
        return {}
    return {"model_utility": harmonic_mean([*found.values()])}
