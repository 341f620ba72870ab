"""DPO: log 2 at the frozen model, the definition by hand, and prompts that do not matter."""

import math
from dataclasses import replace

import tiny
import torch

from lethe import losses
from lethe.data.rows import Rows
from lethe.objectives import dpo
from lethe.objectives.dpo import Hyper

STARTS = torch.tensor([2, 1, 3])
FORGET, OTHER = tiny.rows(3, seed=1), tiny.rows(3, seed=2)
PROMPT = torch.arange(3) < STARTS[:, None]
SPLICED = OTHER.input_ids.clone()
SPLICED[:, :3] = torch.where(PROMPT, FORGET.input_ids[:, :3], SPLICED[:, :3])
BATCH = {"forget": FORGET, "alternative": Rows(SPLICED, OTHER.lengths, starts=STARTS)}


def log_probability(model, rows: Rows, i: int) -> torch.Tensor:
    """Of the continuation of text i after its prompt."""
    text = rows.input_ids[i, : rows.lengths[i]]
    log_p = model(input_ids=text[None]).logits[0].log_softmax(-1)
    return sum(log_p[t - 1, text[t]] for t in range(int(STARTS[i]), len(text)))


def test_at_the_frozen_model_it_is_log_two():
    model = tiny.language_model()
    terms = dpo.loss(Hyper(), model, tiny.language_model(), BATCH)
    torch.testing.assert_close(terms, {"preference": torch.full((3,), math.log(2))})


def test_against_the_definition():
    model, frozen = tiny.language_model(0), tiny.language_model(1)
    terms = dpo.loss(Hyper(beta=0.3, learn=2.0), model, frozen, BATCH)
    for i in range(3):
        better, worse = (
            log_probability(model, rows, i) - log_probability(frozen, rows, i)
            for rows in (BATCH["alternative"], BATCH["forget"])
        )
        expected = -(1 / (1 + (-0.3 * (better - worse)).exp())).log()
        torch.testing.assert_close(terms["preference"][i], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["learn"], 2 * losses.example_loss(model, BATCH["alternative"]))


def test_the_shared_prompt_cancels():
    """With the same prompt on both sides, scoring it too changes nothing."""
    model, frozen = tiny.language_model(0), tiny.language_model(1)
    whole = BATCH | {"alternative": replace(BATCH["alternative"], starts=None)}
    torch.testing.assert_close(
        dpo.loss(Hyper(), model, frozen, whole), dpo.loss(Hyper(), model, frozen, BATCH), rtol=1e-4, atol=1e-5
    )
