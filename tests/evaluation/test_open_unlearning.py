"""Logs of open-unlearning, written and read."""

import json

import numpy as np
import pytest
from scipy.stats import ks_2samp

from lethe.evaluation.open_unlearning import beside_log, exported
from lethe.system.errors import InputError

RATIOS = [0.5, 1.0, 2.0, 4.0]


def log(tmp_path, **content):
    file = tmp_path / "TOFU_EVAL.json"
    file.write_text(json.dumps(content))
    return file


def truth(values):
    return {"agg_value": 0.3, "value_by_index": {str(i): {"score": v} for i, v in enumerate(values)}}


def test_numbers_have_their_names():
    numbers = {
        "truth_ratio_forget_perturbed": 0.4,
        "model_utility": 0.6,
        "probability_with_options_world_facts": 0.3,
        "x": 1,
    }
    assert exported(numbers) == {
        "forget_truth_ratio": {"agg_value": 0.4},
        "model_utility": {"agg_value": 0.6},
        "wf_Q_A_Prob_normalised": {"agg_value": 0.3},
    }


def test_a_log_stands_for_the_retrained_model(tmp_path):
    """Ours knows more: 0.9 where retrain has 0.5 is (0.1 − 0.5) / 0.5."""
    file = log(tmp_path, forget_truth_ratio=truth([3.0, 5.0, 6.0, 7.0]), mia_min_k={"agg_value": 0.5})
    found = beside_log(np.log(RATIOS), {"min_k_40_auc": 0.9}, file)
    assert found["forget_quality"] == ks_2samp(RATIOS, [3.0, 5.0, 6.0, 7.0]).pvalue
    assert found["forget_quality_n"] == 4 and found["privacy_leak"] == pytest.approx(-80)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"forget_truth_ratio": truth([1.0])}, "has truth ratios of 1 examples, here there are 4"),
        ({"forget_truth_ratio": {"agg_value": 1}}, "is no log of open-unlearning"),
        ({"forget_truth_ratio": truth([None] * 4)}, "is no log of open-unlearning"),
        ({"other": 1}, "holds neither forget_truth_ratio nor mia_min_k"),
    ],
)
def test_what_is_no_such_log_ends_in_one_line(tmp_path, content, words):
    with pytest.raises(InputError, match=f"--retrain: .*TOFU_EVAL.json: {words}"):
        beside_log(np.log(RATIOS), {}, log(tmp_path, **content))


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.json: cannot be read \(No such file or directory\)"):
        beside_log(np.log(RATIOS), {}, tmp_path / "none.json")
