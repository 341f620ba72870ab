"""Numbers under the names that open-unlearning's logs have, and what its logs of a retrained model tell (MIT, Dorna et
al., 2025, arXiv:2506.12618).

A log is a JSON object: metric -> {agg_value, value_by_index: {row: {…}}}, such as saves/eval/NAME/TOFU_EVAL.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lethe.metrics.forget_quality import forget_quality
from lethe.metrics.privacy_leak import privacy_leak
from lethe.system.errors import InputError
from lethe.system.quoting import reason

Numbers = dict[str, float]
NAMES = {  # theirs -> ours
    "forget_Q_A_Prob": "probability_forget",
    "forget_Q_A_ROUGE": "rouge_l_recall_forget",
    "forget_truth_ratio": "truth_ratio_forget",
    "exact_memorization": "exact_memorization_forget",
    "extraction_strength": "extraction_strength_open_unlearning_forget",
    "mia_min_k": "min_k_40_auc",
    "mia_loss": "loss_auc",
    "mia_zlib": "loss_zlib_auc",
    "privleak": "privacy_leak",
    "forget_quality": "forget_quality",
    "model_utility": "model_utility",
    "retain_Q_A_Prob": "probability_retain",
    "retain_Q_A_ROUGE": "rouge_l_recall_retain",
    "retain_Truth_Ratio": "truth_ratio_retain",
    "ra_Q_A_Prob_normalised": "probability_with_options_real_authors",
    "ra_Q_A_ROUGE": "rouge_l_recall_real_authors",
    "ra_Truth_Ratio": "truth_ratio_real_authors",
    "wf_Q_A_Prob_normalised": "probability_with_options_world_facts",
    "wf_Q_A_ROUGE": "rouge_l_recall_world_facts",
    "wf_Truth_Ratio": "truth_ratio_world_facts",
}


def exported(numbers: Numbers) -> dict[str, dict[str, float]]:
    """Numbers of a model as a log of open-unlearning has them, as far as there are any.

    Those of a probe that is a set with other wordings, such as `forget_perturbed`, stand for those of the set.
    """
    found = {theirs: numbers.get(ours, numbers.get(f"{ours}_perturbed")) for theirs, ours in NAMES.items()}
    return {theirs: {"agg_value": value} for theirs, value in found.items() if value is not None}


def beside_log(log_ratios: np.ndarray, numbers: Numbers, file: Path) -> Numbers:
    """Forget quality and privacy leak beside a retrained model of which there is a log alone.

    Args:
        log_ratios: (N,) logarithms of the truth ratios of the forget set.
        numbers: of the model, `min_k_40_auc` among them.
        file: the log.
    Raises:
        InputError: it is no such log, has neither number, or is of another number of examples.
    """
    log = read(file)
    found: Numbers = {}
    try:
        if "forget_truth_ratio" in log and len(log_ratios):
            ratios = [float(row["score"]) for row in log["forget_truth_ratio"]["value_by_index"].values()]
            if len(ratios) != len(log_ratios):
                raise InputError(
                    f"--retrain: {file}: has truth ratios of {len(ratios)} examples, here there are"
                    f" {len(log_ratios)}; needed are the same"
                )
            found |= forget_quality(np.exp(log_ratios), np.array(ratios))
        if "mia_min_k" in log and "min_k_40_auc" in numbers:
            area = privacy_leak(numbers["min_k_40_auc"], float(log["mia_min_k"]["agg_value"]))
            found |= {"privacy_leak": float(area)} if np.isfinite(area) else {}
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"--retrain: {file}: is no log of open-unlearning") from None
    if not found:
        raise InputError(
            f"--retrain: {file}: holds neither forget_truth_ratio nor mia_min_k, or the model has nothing beside it"
        )
    return found


def read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--retrain: {file}: cannot be read ({reason(error)})") from None
    if not isinstance(content, dict):
        raise InputError(f"--retrain: {file}: is no log of open-unlearning")
    return content
