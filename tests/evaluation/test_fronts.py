"""Fronts and what is reached on them, worked by hand."""

import numpy as np
import pytest

from lethe.evaluation.fronts import front, reached

UTILITY = np.array([1.0, 0.9, 0.95, 0.7, 0.9, 0.6])
LEFT = np.array([0.8, 0.4, 0.6, 0.5, 0.3, 0.3])


def test_the_front_by_hand():
    """Epoch 1 is beaten by 4, which keeps as much; 3 by both; 5 has forgotten no more than 4 and keeps less."""
    assert front(UTILITY, LEFT).tolist() == [0, 2, 4]
    assert front(np.ones(3), np.array([0.5, 0.2, 0.2])).tolist() == [1]
    assert front(np.ones(1), np.ones(1)).tolist() == [0]


def test_no_epoch_beats_one_on_the_front():
    """Against a slow reference: every pair of epochs."""
    draw = np.random.default_rng(0)
    utility, left = draw.integers(0, 6, (2, 200)) / 5
    on = front(utility, left)
    for k in range(200):
        beaten = (
            (utility >= utility[k]) & (left <= left[k]) & ((utility > utility[k]) | (left < left[k]))
        ).any()
        same = [j for j in on if (utility[j], left[j]) == (utility[k], left[k])]
        assert (len(same) == 0) is bool(beaten)
        assert k not in on or same == [k]


def test_what_is_reached_by_hand():
    """Between (1, .8) and (.95, .6), and (.95, .6) and (.9, .3); below the last point nothing more is known."""
    for at, expected in ((1.0, 0.8), (0.975, 0.7), (0.95, 0.6), (0.92, 0.42), (0.9, 0.3), (0.5, 0.3)):
        assert reached(UTILITY, LEFT, at) == pytest.approx(expected)
    assert np.isnan(reached(np.array([0.9]), np.array([0.1]), 0.95))
