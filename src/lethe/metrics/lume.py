"""LUME's score, of SemEval-2025 task 4 (Ramakrishna et al., 2025, arXiv:2502.15097).

    task = harmonic mean of 12: {continuation, answer} x 3 kinds of text x {retain, 1 - forget}
    mia = 1 - 2 * |AUC - 1/2|, final = mean(task, mia, accuracy in MMLU)

A continuation is worth its recall of ROUGE-L, an answer 1 if it is the true one, else 0. One zero of the twelve makes
`task` 0: on the task's own page so for 8 of 20 entries. The twelve stand beside it as numbers of their sets.
"""

from __future__ import annotations

import numpy as np

from lethe.metrics import answer_match, rouge
from lethe.metrics.common.attacks import auc
from lethe.metrics.loss import token_loss
from lethe.metrics.model_utility import harmonic_mean

NEEDS = ("logprob", "answered", "answer_match", "rouge_l_recall")
KINDS = {"continuation": "rouge_l_recall", "answer": "answer_match"}  # what a set is of -> its measure
SETS = [f"{side}_task{n}_{kind}" for side in ("forget", "retain") for n in (1, 2, 3) for kind in KINDS]


def values(scores, settings):
    return {}


def aggregate(scores, values, settings, seed):
    """`lume_task`, where all twelve sets are there; `lume_mia` and `lume_final`, where forget, test and MMLU are.

    The sets are probes named forget_task1_continuation, forget_task1_answer, … retain_task3_answer.
    """
    found = numbers(scores, settings, seed)
    if len(found) < len(SETS):
        return {}
    kept = [1 - value if name.startswith("forget") else value for name, value in found.items()]
    result = {"lume_task": harmonic_mean(kept)}
    forget, test = (of_set(scores, name) for name in ("forget", "test"))
    if len(forget) and len(test):
        result["lume_mia"] = 1 - 2 * abs(auc(forget, test) - 0.5)
    tasks = dict(zip(scores.get("downstream_names", ()), scores.get("downstream_values", ()), strict=True))
    if "lume_mia" in result and "mmlu_acc" in tasks:
        result["lume_final"] = float(np.mean([*result.values(), tasks["mmlu_acc"]]))
    return result


def numbers(scores, settings, seed) -> dict[str, float]:
    """Set -> its measure, of those of the twelve that are there."""
    means: dict[str, float] = {}
    for metric in (rouge, answer_match):
        means |= metric.aggregate(scores, metric.values(scores, settings), settings, seed)
    measured = {name: f"{KINDS[name.rpartition('_')[2]]}_{name}" for name in SETS}
    return {name: means[key] for name, key in measured.items() if key in means}


def of_set(scores, name: str) -> np.ndarray:
    """Losses of the examples of a set."""
    own = scores["sets"] == name
    return token_loss(scores["logprob"][own], scores["mask"][own])
