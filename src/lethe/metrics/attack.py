"""Membership inference by a fitted attack model, from several scores at once: the main test of a classifier."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import labelled, per_example
from lethe.metrics.common.attacks import membership
from lethe.metrics.confidence import confidence
from lethe.metrics.entropy import entropy
from lethe.metrics.loss import label_loss, token_loss
from lethe.metrics.loss_zlib import loss_zlib
from lethe.metrics.margin import margin
from lethe.metrics.min_k import min_k
from lethe.metrics.min_k_plus import min_k_plus

NEEDS = ()


def attack_features(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Loss, confidence, entropy and margin side by side.

    Args:
        logits: (N, C).
        labels: (N,) int, the true class.
    Returns:
        (N, 4) float64.
    """
    columns = [label_loss(logits, labels), confidence(logits), entropy(logits), margin(logits, labels)]
    return np.stack(columns, axis=1)


def text_features(scores: dict[str, np.ndarray], share: float) -> np.ndarray:
    """(N, 4) float64: loss, loss per compressed byte, Min-K% and Min-K%++ of texts, `share` being the k of both."""
    logprob, mask, mu, sigma = (scores[name] for name in ("logprob", "mask", "mu", "sigma"))
    columns = [token_loss(logprob, mask), loss_zlib(logprob, mask, scores["zlib_bytes"])]
    columns += [min_k(logprob, mask, share), min_k_plus(logprob, mask, mu, sigma, share)]
    return np.stack(columns, axis=1)


def attack_score(features: np.ndarray, sets: np.ndarray, penalty: float) -> np.ndarray:
    """Log-odds of being a non-member, by a logistic regression fitted on retain (members) against holdout.

    The attacker knows what the model was surely trained on and what it surely never saw, and judges the rest.
    Features are standardised by their mean and deviation on those two sets; the classes weigh the same
    however many examples they have, so 0 is an even guess.

    Args:
        features: (N, F) finite.
        sets: (N,) names; retain and holdout are fitted on, every example gets a score.
        penalty: L2 penalty on the weights, > 0.
    Returns:
        (N,) float64; lower = more likely a member; below 0 the attack says "member". On retain and holdout
        the score is in-sample: judge the attack on forget against test.
    Raises:
        ValueError: retain or holdout is empty, or the fit did not converge.
    """
    from sklearn.linear_model import LogisticRegression

    known = (sets == "retain") | (sets == "holdout")
    centre, scale = features[known].mean(axis=0), features[known].std(axis=0)
    standard = (features - centre) / np.where(scale > 0, scale, 1.0)
    model = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=10_000, tol=1e-8)
    model.fit(standard[known], sets[known] == "holdout")
    if model.n_iter_[0] >= model.max_iter:
        raise ValueError(f"the attack's logistic regression did not converge in {model.max_iter} iterations")
    return model.decision_function(standard)


def values(scores, settings):
    if not {"retain", "holdout"} <= {*scores["sets"]}:  # known members and non-members to learn from
        return {}
    if "logits" in scores:
        features = per_example(attack_features(*labelled(scores)), scores)
    elif "logprob" in scores:
        features = text_features(scores, settings.min_k)
    else:  # a single score has a threshold, and nothing to be fitted
        return {}
    return {"attack": attack_score(features, scores["sets"], settings.attack_penalty)}


def aggregate(scores, values, settings, seed):
    if not values:
        return {}
    return membership("attack", values["attack"], scores, settings, threshold=0.0)
