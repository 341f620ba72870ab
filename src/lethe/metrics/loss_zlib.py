"""Loss relative to how compressible the text is, as a membership score."""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.attacks import membership
from lethe.metrics.loss import token_loss

NEEDS = ("logprob", "zlib_bytes")


def loss_zlib(logprob: np.ndarray, mask: np.ndarray, zlib_bytes: np.ndarray) -> np.ndarray:
    """Mean token loss divided by the zlib-compressed length (Carlini et al., USENIX Security 2021, arXiv:2012.07805).

    A repetitive text is likely under any model; its small compressed length makes up for that.

    Args:
        logprob: (N, T) log-probability of each token given those before it, nats; any number where not scored.
        mask: (N, T) bool, the token is scored.
        zlib_bytes: (N,) int, bytes of the compressed text, > 0.
    Returns:
        (N,) float64, nats per token and byte, ≥ 0; lower = more likely a member.
    Raises:
        ValueError: a sequence has no scored token or no compressed length.
    """
    if not (zlib_bytes > 0).all():
        raise ValueError(f"{int((zlib_bytes <= 0).sum())} compressed lengths are not positive")
    return token_loss(logprob, mask) / zlib_bytes


def values(scores, settings):
    return {"loss_zlib": loss_zlib(scores["logprob"], scores["mask"], scores["zlib_bytes"])}


def aggregate(scores, values, settings, seed):
    return membership("loss_zlib", values["loss_zlib"], scores, settings)
