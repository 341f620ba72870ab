"""Values of published code on small inputs, of metrics whose own tests do not read them; skipped where there are none.

`made` in each file says which code at which commit, and how it was called.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from lethe.decoding import similarity
from lethe.metrics import confidence, epsilon, lira, loss_zlib, min_k, min_k_plus, modified_entropy, rmia
from lethe.metrics import verbatim_completion as completion
from lethe.metrics.calibration_error import calibration_error
from lethe.metrics.common.attacks import auc, roc
from lethe.metrics.common.statistics import ks_p_value
from lethe.metrics.entity_f1 import entity_counts, entity_f1
from lethe.metrics.entropy import entropy
from lethe.metrics.loss import label_loss, token_loss
from lethe.metrics.macro_f1 import macro_f1
from lethe.metrics.margin import margin
from lethe.metrics.reference_loss import reference_loss

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden values lie beside the repository")


def cases(name: str) -> list[dict]:
    found = json.loads((GOLDEN / f"{name}.json").read_text())["cases"]
    assert found
    return [{key: arrays(value) for key, value in case.items()} for case in found]


def arrays(value):
    return (
        np.array(value)
        if (isinstance(value, list) and not isinstance(value[0], list | str)) or is_matrix(value)
        else value
    )


def is_matrix(value) -> bool:
    return isinstance(value, list) and isinstance(value[0], list) and not isinstance(value[0][0], str)


def near(found, published, tolerance=1e-9):
    np.testing.assert_allclose(found, np.asarray(published, float), rtol=tolerance, atol=tolerance)


def test_curves_of_attacks():
    for case in cases("metrics/attack_curves"):
        members, others = case["members"], case["others"]
        near(auc(members, others), case["auc_sklearn"])
        false, true = roc(members, others)
        kept = np.isin(np.round(false, 12), np.round(case["fpr"], 12))
        assert kept.any() and {*zip(*np.round((case["fpr"], case["tpr"]), 9), strict=True)} <= {
            *zip(*np.round((false, true), 9), strict=True)
        }
        near(true[false < 0.01].max(), case["tpr_at_1pct_fpr_lira"])
        near(ks_p_value(members, others), case["ks_pvalue"])


def test_aggregates_of_classifiers():
    for case in cases("metrics/classifier_aggregates"):
        logits, labels = case["logits"].astype(np.float32), case["labels"]
        predicted = logits.argmax(1)
        near(macro_f1(predicted, labels), case["macro_f1_sklearn"])
        near((predicted == labels).mean(), case["accuracy"])
        found = calibration_error(confidence.confidence(logits), predicted == labels, 15)
        near(found, case["calibration_error_15_bins_torchmetrics"], 1e-6)


def test_scores_of_classifiers():
    for case in cases("metrics/classifier_scores"):
        logits, labels = case["logits"], case["labels"]
        near(entropy(logits), case["entropy"], 1e-6)
        near(modified_entropy.modified_entropy(logits, labels), case["modified_entropy"], 1e-6)
        near(lira.logit_confidence(logits, labels), case["logit_confidence_eth"], 1e-6)
        near(margin(logits, labels), case["margin_eth"])
        near(label_loss(logits, labels), case["cross_entropy_torch"], 1e-6)


def test_entities():
    for case in cases("metrics/entities_seqeval"):
        right, true, predicted = entity_counts(case["true"], case["predicted"]).sum(axis=0)
        near(entity_f1(right, true, predicted), case["f1"])
        near(right / predicted if predicted else 0, case["precision"])
        near(right / true if true else 0, case["recall"])


def test_scores_of_language_models():
    """Min-K of mimir takes no token where the share is less than one; both codes differ there, and ours takes one."""
    for case in cases("metrics/language_model_scores"):
        log_p = log_softmax(case["logits"].astype(np.float32), axis=1).astype(np.float64)
        p = np.exp(log_p)
        logprob = log_p[np.arange(len(log_p)), case["tokens"]][None]
        mu = (p * log_p).sum(1)[None]
        sigma = np.sqrt((p * log_p**2).sum(1)[None] - mu**2)
        mask = np.ones_like(logprob, bool)
        near(token_loss(logprob, mask)[0], case["loss"], 1e-6)
        found = loss_zlib.loss_zlib(logprob, mask, np.array([case["zlib_bytes"]]))[0]
        near(found, case["zlib_open_unlearning"], 1e-6)
        reference = case["reference_logprob"][None]
        near(reference_loss(logprob, reference, mask)[0], case["reference_open_unlearning"], 1e-6)
        for name in [name for name in case if name.startswith("min_k_")]:
            share, published = float(name.rsplit("_", 1)[1]), case[name]
            if published is None:
                assert "mimir" in name and share * logprob.shape[1] < 1
                continue
            own = (
                min_k_plus.min_k_plus(logprob, mask, mu, sigma, share)
                if name.startswith("min_k_plus")
                else min_k.min_k(logprob, mask, share)
            )
            near(own[0], published, 2e-5)


def test_lira():
    """Of the codes that agree with the paper: eth's online ratio, and the offline tail."""
    for case in cases("metrics/lira"):
        target, shadow, member = case["target"], case["shadow"], case["member"]
        near(-lira.lira_online(target, shadow, member), case["eth_log_in_minus_log_out"], 1e-7)
        near(lira.lira_offline(target, shadow, member), case["paper_offline_log_sf_mean_sd_ddof1"], 1e-7)


def test_offline_rmia():
    """Published z is a mean over the larger half of all models, in none of which the population is.

    With a single pair of models the published code takes means over both, also of the one with the example: not ours.
    """
    several = [case for case in cases("metrics/rmia_offline") if case["reference"].shape[1] > 2]
    assert len(several) >= 3
    for case in several:
        reference, member = case["reference"], case["member"]
        largest = np.sort(case["population_reference"], axis=1)[:, reference.shape[1] // 2 :].mean(axis=1)
        for slope in (0.0, 0.3, 0.5, 1.0):
            own = rmia.mean_probability_offline(reference, member, slope)
            ratio = case["target"] / own
            others = case["population_target"] / rmia.offline_mean(largest, slope)
            beaten = (ratio[:, None] / others > 1).mean(axis=1)
            near(beaten, case[f"score_a_{slope}"])


def test_similarity_of_texts():
    for case in cases("metrics/text_similarity"):
        ours, true = case["candidate"].tolist(), case["reference"].tolist()
        near(completion.rouge_l(ours, true), case["rouge_l"]["f"])
        near(completion.bleu(ours, true), case["bleu_exp_effective_order"], 1e-9)
        near(similarity.bleu(ours, true, smooth=False), case["bleu_unsmoothed"])


def test_forget_score_of_the_challenge():
    """The grid of the published code is coarser than all thresholds: it finds as much, or less by one model at most."""
    found = json.loads((GOLDEN / "benchmarks/forget_score.json").read_text())
    scaled = found["logit_scaled_confidence"]
    logits, labels = np.array(scaled["logits"]), np.array(scaled["targets"])
    near(lira.logit_confidence(logits, labels), scaled["confidence"], 1e-5)
    near(softmax(logits, axis=1)[np.arange(3), labels], scaled["probability"], 1e-6)
    near(expit(lira.logit_confidence(logits, labels)), scaled["probability"], 1e-6)
    for case in found["cases"]:
        models = [np.array(case[name]) for name in ("unlearned", "retrained")]
        own = np.array([epsilon.epsilon(*columns) for columns in zip(*(of.T for of in models), strict=True)])
        published = np.array(case["epsilons"])
        assert (own > published - 1e-4).all() and (own < published + 0.1).all()
        assert epsilon.forget_score(published, len(models[0])) == case["forget_score"]
