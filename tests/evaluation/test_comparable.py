"""What another model scored, at the places where this one has it."""

import numpy as np
import pytest

from lethe.evaluation.comparable import same_texts
from lethe.system.errors import InputError


def scores(ids, masks, first):
    """Scores of texts whose tokens have the log-probabilities first, first - 1, …, where they are scored."""
    mask = np.array(masks, bool)
    values = np.where(mask, first + 1 - mask.cumsum(1), 0.0)
    per_token = dict.fromkeys(("logprob", "mu", "sigma"), values) | {"correct": mask, "mask": mask}
    return per_token | {"ids": np.array(ids), "checksum": np.arange(len(ids))}


def test_tokens_after_a_longer_prompt_are_those_of_the_shorter():
    told = scores(["a", "b"], [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]], -1.0)
    plain = scores(["a", "b"], [[0, 1, 1, 0], [1, 1, 1, 0]], -5.0)
    found = same_texts(plain, told, "plain.npz")
    assert found["logprob"].tolist() == [[0, 0, 0, -5, -6], [0, 0, -5, -6, -7]]
    assert (found["mask"] == told["mask"]).all() and (found["correct"] == told["mask"]).all()
    back = same_texts(told, plain, "told.npz")
    assert back["logprob"].tolist() == [[0, -1, -2, 0], [-1, -2, -3, 0]]


def test_another_number_of_scored_tokens_is_refused():
    told = scores(["a", "b"], [[0, 0, 1, 1], [0, 1, 1, 1]], -1.0)
    other = scores(["a", "b"], [[0, 0, 1, 1], [0, 0, 1, 1]], -1.0)
    with pytest.raises(InputError, match=r"other.npz: other tokens are scored in 1 texts, first .*b"):
        same_texts(other, told, "other.npz")
