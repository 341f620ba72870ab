"""Alternatives of forget texts: spliced by hand, drawn with their own row, scored after the prompt."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from lethe import losses
from lethe.data.encoding import padded_rows
from lethe.data.rows import Rows
from lethe.objectives import llmu
from lethe.params.training import Training
from lethe.training.batches import Batches, TrainingRows
from lethe.training.frozen import FrozenHidden
from lethe.training.rows import with_alternatives

FORGET = padded_rows([[1, 2, 3, 4], [5, 6, 7]], pad=0)
ANALOGUES = padded_rows([[11, 12], [13, 14, 15, 16, 17, 18], [19, 20, 21]], pad=0)
PAIRS = np.array([[1, 0], [2, 1]])


def alternatives(prefix: float) -> TrainingRows:
    roles = {"forget": FORGET, "analogue": ANALOGUES, "retain": tiny.rows(4)}
    return with_alternatives(TrainingRows(roles, PAIRS), prefix)


def texts(rows: Rows) -> list[list[int]]:
    return [row[:length] for row, length in zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True)]


def test_spliced_by_hand():
    material = alternatives(0.5)
    rows = material.roles["alternative"]
    assert texts(rows) == [[1, 2, 16, 17, 18], [1, 2, 12], [5, 20, 21], [5, 16, 17, 18]]
    assert rows.starts.tolist() == [2, 2, 1, 1]
    assert material.pairs.tolist() == [[0, 1], [2, 3]]
    assert set(material.roles) == {"forget", "retain", "alternative"}


@pytest.mark.parametrize(("prefix", "expected"), [(0.0, [1, 14, 15, 16, 17, 18]), (1.0, [1, 2, 3, 18])])
def test_a_prompt_and_a_continuation_have_a_token_at_least(prefix, expected):
    assert texts(alternatives(prefix).roles["alternative"])[0] == expected


def test_a_batch_holds_an_alternative_of_each_of_its_forget_rows_another_one_every_epoch():
    recipe = Training(batch={"forget": 2, "retain": 2})
    batches = Batches(alternatives(0.5), recipe, llmu.TERMS, seed=1)
    seen = []
    for epoch in range(2):
        batch = batches.batch(epoch, 0, epoch, np.ones(2, bool))
        pairs = dict(zip((t[0] for t in texts(batch["forget"])), texts(batch["alternative"]), strict=True))
        assert all(text[0] == first for first, text in pairs.items())
        seen.append(pairs)
    assert seen == [{1: [1, 2, 16, 17, 18], 5: [5, 20, 21]}, {1: [1, 2, 12], 5: [5, 16, 17, 18]}]


def test_losses_are_over_what_follows_the_prompt():
    model, frozen, rows = tiny.language_model(0), tiny.language_model(1), tiny.rows(3)
    prompted = replace(rows, starts=torch.tensor([1, 2, 3]))
    each = rows.token_nll(losses.forward(model, rows))
    expected = [each[i, i : length - 1].mean() for i, length in enumerate(rows.lengths.tolist())]
    torch.testing.assert_close(losses.example_loss(model, prompted), torch.stack(expected))
    torch.testing.assert_close(
        losses.example_loss(model, prompted[[0]]), losses.example_loss(model, rows[[0]])
    )
    logits, before = losses.forward(model, rows), losses.forward(frozen, rows)
    torch.testing.assert_close(
        FrozenHidden(frozen).kl(logits, prompted), losses.kl(before, logits, prompted), rtol=1e-4, atol=1e-6
    )


def test_a_prompt_without_a_continuation_is_an_error_not_zero():
    rows = replace(tiny.rows(2), starts=torch.tensor([1, 99]))
    with pytest.raises(ValueError, match="row 1"):
        losses.example_loss(tiny.language_model(), rows)
