"""Whether the end token of answers counts, metric by metric, by hand."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from lethe.evaluation.numbers import metrics
from lethe.params.file import check_params
from lethe.params.measure import Measure
from lethe.system.errors import InputError


def scores():
    """A text without an end, and two answers: of three tokens and an end, and of an end alone."""
    mask = np.array(
        [[False, True, True, True, True], [False, True, True, True, True], [False, False, False, False, True]]
    )
    correct = np.array(
        [[False, True, False, True, True], [False, False, False, False, True], [False] * 4 + [True]]
    )
    logprob = np.array([[0, -1, -2, -3, -4], [0, -1, -2, -3, -8.0], [0, 0, 0, 0, -5]])
    more = {"mu": np.full((3, 5), -1.0), "sigma": np.ones((3, 5)), "zlib_bytes": np.full(3, 10)}
    facts = {
        "answered": np.array([False, True, True]), "ends": np.array([False, True, True]),
        "sets": np.array(["forget"] * 3), "ids": np.array(["a", "b", "c"]), "alternative_loss": np.full((3, 1), np.nan),
        "paraphrase_loss": np.full(3, np.nan),
    }  # fmt: skip
    return {"correct": correct, "logprob": logprob, "mask": mask} | more | facts


def columns(**end_token):
    return metrics(scores(), Measure(bootstrap=100, min_k=1.0, end_token=end_token), 0)[0]


def test_by_hand():
    """A text keeps its last token, which is no end, and so does an answer that is nothing else."""
    assert columns()["memorization_accuracy"].tolist() == [0.75, 0.25, 1]
    assert columns(memorization_accuracy=False)["memorization_accuracy"].tolist() == [0.75, 0, 1]
    assert columns()["min_k"].tolist() == [2.5, 3.5, 5]
    assert columns(min_k=False)["min_k"].tolist() == [2.5, 2, 5]
    assert columns(min_k_plus=False)["min_k_plus"].tolist() == [1.5, 1, 4]
    assert columns(min_k=False)["min_k_plus"].tolist() == columns()["min_k_plus"].tolist() == [1.5, 2.5, 4]
    assert columns()["exact_memorization"].tolist() == [None, 0, 1]
    assert columns(exact_memorization=True)["exact_memorization"].tolist() == [None, 0.25, 1]
    assert columns(extraction_strength=False)["extraction_strength"].tolist()[1] == 0
    assert columns()["extraction_strength"].tolist()[1] == pytest.approx(1 / 5)


def test_what_is_said_by_default_changes_nothing():
    said = {"exact_memorization": False, "privacy_leak": False, "min_k": True, "memorization_accuracy": True}
    for name, column in columns().items():
        np.testing.assert_array_equal(np.ma.filled(column, -1), np.ma.filled(columns(**said)[name], -1))


def test_a_metric_of_other_wordings_ends_in_one_line():
    content = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    content["studies"]["records"]["measure"] = {"end_token": {"truth_ratio": False}}
    with pytest.raises(InputError, match=r"records.measure.end_token.truth_ratio.*exact_memorization.*min_k"):
        check_params(content, "params.yaml")
