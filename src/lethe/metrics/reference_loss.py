"""Loss relative to a reference model's, as a membership score. Needs the scores of a second model."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.attacks import membership
from lethe.metrics.loss import token_loss

NEEDS = ("logprob", "reference_logprob")


def reference_loss(logprob: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean token loss minus that of a reference model (Carlini et al., USENIX Security 2021, arXiv:2012.07805).

    Args:
        logprob: (N, T) log-probability of each token given those before it, nats; any number where not scored.
        reference: (N, T) the same under a model that was not trained on the set in question.
        mask: (N, T) bool, the token is scored.
    Returns:
        (N,) float64, nats per token; lower = more likely a member.
    Raises:
        ValueError: a sequence has no scored token.
    """
    return token_loss(logprob, mask) - token_loss(reference, mask)


def values(scores, settings):
    return {"reference_loss": reference_loss(scores["logprob"], scores["reference_logprob"], scores["mask"])}


def aggregate(scores, values, settings, seed):
    return membership("reference_loss", values["reference_loss"], scores, settings)
