"""What a method reaches at equal damage: the front of forgetting against utility over the epochs of a run.

An epoch is on the front if no other of the run keeps as much and has forgotten more, or has forgotten as much and keeps
more. Between two neighbours on the front, what is reached at a utility is interpolated linearly. Where a run never lost
so much utility, it is what the last point of its front has reached: nobody knows what would follow. Epoch 0, the
original at utility 1, is a point of every run, so that there is something at every utility.
"""

from __future__ import annotations

import numpy as np


def front(utility: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Indices of the epochs on the front, the most useful first.

    Args:
        utility: (E,) what each epoch keeps; more is better.
        left: (E,) how far each is from having forgotten; less is better.
    Returns:
        (F,) int, of falling utility and falling `left`, both strictly; the first of equal epochs.
    """
    found: list[int] = []
    for index in np.lexsort((np.arange(len(left)), left, -utility)):
        if not found or left[index] < left[found[-1]]:
            found.append(int(index))
    return np.array(found)


def reached(utility: np.ndarray, left: np.ndarray, at: float) -> float:
    """What is left at a utility, on the front; NaN where no epoch keeps as much."""
    on = front(utility, left)
    if at > utility[on[0]]:
        return float("nan")
    return float(np.interp(at, utility[on][::-1], left[on][::-1]))
