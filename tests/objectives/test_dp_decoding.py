"""DP decoding: the mixture by hand, through a saved model, and what it leaves as it is."""

import json
import math

import numpy as np
import pytest
import tiny
import torch
from test_unlearn import CFG, study

from lethe import models
from lethe.decoding.extraction import extraction
from lethe.models.composed import Mixture
from lethe.training.job import Job
from lethe.unlearn import unlearn


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9, 1.0])
def test_the_mixture_of_three_tokens_by_hand(share):
    p = torch.tensor([0.7, 0.2, 0.1])
    logits = 3.5 + p.log()  # log-probabilities but for a constant
    found = Mixture(1 - share)([logits]).softmax(-1)
    torch.testing.assert_close(found, share * p + (1 - share) / 3)


@pytest.fixture
def folder(tmp_path):
    """A study with a run at share 0.5, made and saved."""
    study(tmp_path, "generation")
    method = {"objective": "dp_decoding", "hyper": {"share": 0.5}}
    cfg = {"task": "generation", "model": CFG["generation"], "method": method}
    job = Job(cfg, 1, "dp", tmp_path / "out", tmp_path / "state", None)
    unlearn(job, tmp_path, tmp_path, tmp_path / "original")
    return tmp_path


def test_a_saved_run_predicts_the_mixture_and_extracts_the_same(folder):
    before, _ = models.load(folder / "original", "generation")
    after, _ = models.load(folder / "out" / "model", "generation")
    rows = tiny.rows(3, longest=10)
    with torch.no_grad():
        own = before(rows.input_ids).logits.softmax(-1)
        mixed = after(rows.input_ids).logits
    torch.testing.assert_close(mixed.exp(), 0.5 * own + 0.5 / own.shape[-1], rtol=1e-4, atol=1e-8)
    found = [
        extraction(m, rows.input_ids, n=(2,), lengths=rows.lengths, logprob=True) for m in (before, after)
    ]
    np.testing.assert_array_equal(found[0].memorization_accuracy, found[1].memorization_accuracy)
    np.testing.assert_array_equal(found[0].extraction_likelihood[2], found[1].extraction_likelihood[2])
    floor = math.log(0.5 / own.shape[-1])
    assert found[1].tokens.logprob[found[1].tokens.mask].min() >= floor - 1e-5
    assert (found[1].margin < found[0].margin).all()


def test_nothing_is_trained(folder):
    weights = [
        (folder / part / "model.safetensors").read_bytes() for part in ("original", "out/model/original")
    ]
    assert weights[0] == weights[1]
    cost = json.loads((folder / "out" / "cost.json").read_text())
    assert cost["steps"] == cost["tokens"] == 0 and cost["wall_seconds"] > 0
