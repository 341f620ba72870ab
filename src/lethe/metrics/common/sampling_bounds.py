"""How much may still leak after so many samples (Scholten et al., ICLR 2025, arXiv:2410.03523).

S samples of a score in [0, 1], such as the overlap of a sampled answer with the true one, leave its distribution F
within a band around what was seen: |F − F̂| ≤ ε with ε = sqrt(ln(2/α) / 2S), and F ≥ F̂ − ε alone with
ε = sqrt(ln(1/α) / 2S) (Dvoretzky, Kiefer and Wolfowitz, with Massart's constant). That no sample leaked is no proof
that none would.
"""

from __future__ import annotations

import numpy as np
from scipy import special

POINTS = 100  # of the grid on [0, 1], both ends among them


def band(samples: int, alpha: float) -> float:
    """ε of one side of the band, which fails with probability at most `alpha`."""
    return float(np.sqrt(np.log(1 / alpha) / (2 * samples)))


def distribution(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (P,) of the grid, and (N, P) the shares of each row's S scores, (N, S) in [0, 1], at or below them."""
    points = np.linspace(0, 1, POINTS)
    return points, (scores[:, :, None] <= points).mean(axis=1)


def expectation_bound(scores: np.ndarray, confidence: float) -> np.ndarray:
    """Upper bound of the expected score (Anderson, 1969), by the upper sum of 1 − F on the grid.

    Args:
        scores: (N, S) in [0, 1], S ≥ 1 samples of each of N scores.
        confidence: with which each bound holds, in (0, 1).
    Returns:
        (N,) in [0, 1].
    """
    points, share = distribution(scores)
    least = np.maximum(share - band(scores.shape[1], 1 - confidence), 0)
    return 1 - least[:, :-1] @ np.diff(points)


def deviation_bound(scores: np.ndarray, confidence: float) -> np.ndarray:
    """Upper bound of the standard deviation of the score, by both sides of the band.

    In each cell of the grid the squared distance to the mean is at most that of a corner to a bound of the mean. The
    sum over cells, by parts, is linear in F at the grid, of which each value is taken at its worse end.

    Args, Returns:
        as of `expectation_bound`.
    """
    points, share = distribution(scores)
    width = band(scores.shape[1], (1 - confidence) / 2)
    low = 1 - np.minimum(share + width, 1)[:, 1:] @ np.diff(points)
    high = 1 - np.maximum(share - width, 0)[:, :-1] @ np.diff(points)
    corners = [(end - mean[:, None]) ** 2 for mean in (low, high) for end in (points[:-1], points[1:])]
    worst = np.max(corners, axis=0)  # (N, P - 1)
    falls = worst[:, :-1] - worst[:, 1:]
    inner = ((share[:, 1:-1] + np.sign(falls) * width) * falls).sum(axis=1)
    first = np.maximum(share[:, 0] - width, 0)
    return np.sqrt(inner + worst[:, -1] - worst[:, 0] * first)


def proportion_bound(successes: np.ndarray, trials: int, confidence: float) -> np.ndarray:
    """One-sided upper bound of a probability (Clopper and Pearson, Biometrika 1934).

    Args:
        successes: (N,) int of `trials` each, at least 1.
        confidence: with which each bound holds, in (0, 1).
    Returns:
        (N,) in (0, 1]; 1 where every trial succeeded.
    """
    failures = np.maximum(trials - successes, 1)
    return np.where(successes < trials, special.betaincinv(successes + 1, failures, confidence), 1.0)
