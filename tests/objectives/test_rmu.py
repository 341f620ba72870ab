"""RMU: direction, block, trained parameters, and both terms against loops."""

import pytest
import tiny
import torch
from transformers import BertConfig

from lethe import models
from lethe.objectives import rmu
from lethe.objectives.rmu import Hyper, steered_parameters, with_direction
from lethe.system.errors import InputError

BATCH = {"forget": tiny.rows(3, seed=1), "retain": tiny.rows(3, seed=2)}


def test_the_direction_is_a_unit_vector_of_the_seed():
    one, again, other = (with_direction(tiny.language_model(), seed).direction for seed in (1, 1, 2))
    assert one.shape == (tiny.HIDDEN,) and one.norm().item() == pytest.approx(1) and (one >= 0).all()
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_terms_are_mean_squares_over_real_tokens():
    model, frozen = tiny.language_model(0), with_direction(tiny.language_model(1), seed=1)
    terms = rmu.loss(Hyper(steering=3.0, retain=5.0), model, frozen, BATCH)
    for i in range(3):
        text = {role: rows.input_ids[i : i + 1, : rows.lengths[i]] for role, rows in BATCH.items()}
        states = [
            m(input_ids=text[role], output_hidden_states=True).hidden_states[1][0]
            for m, role in ((model, "forget"), (model, "retain"), (frozen.model, "retain"))
        ]
        torch.testing.assert_close(terms["forget"][i], ((states[0] - 3 * frozen.direction) ** 2).mean())
        torch.testing.assert_close(terms["retain"][i], 5 * ((states[1] - states[2]) ** 2).mean())


def test_at_the_frozen_model_nothing_is_lost_on_what_is_kept():
    terms = rmu.loss(Hyper(), tiny.language_model(), with_direction(tiny.language_model(), 1), BATCH)
    assert torch.equal(terms["retain"], torch.zeros(3))


@pytest.mark.parametrize(
    ("blocks", "depth", "expected"),
    [(32, 0.25, [5, 6, 7]), (2, 0.25, [0]), (2, 1.0, [0, 1]), (12, 0.5, [3, 4, 5])],
)
def test_blocks_up_to_the_steered_one_are_trained(blocks, depth, expected):
    model = torch.nn.ModuleDict({"h": torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(blocks))})
    model.config = BertConfig(num_hidden_layers=blocks)
    assert steered_parameters(Hyper(depth=depth), model) == [f"h.{index}." for index in expected]


def test_only_these_blocks_have_a_gradient_and_what_was_frozen_stays_so():
    model = tiny.language_model()
    models.freeze(model, ["transformer.h.0.ln_1"])
    models.train_only(model, steered_parameters(Hyper(depth=0.5), model))
    sum(
        v.sum() for v in rmu.loss(Hyper(), model, with_direction(tiny.language_model(1), 1), BATCH).values()
    ).backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    block = {name for name, _ in model.named_parameters() if name.startswith("transformer.h.0.")}
    assert moved == block - {"transformer.h.0.ln_1.weight", "transformer.h.0.ln_1.bias"}


def test_a_model_without_a_list_of_blocks_is_an_error():
    model = torch.nn.ModuleDict({"h": torch.nn.Linear(1, 1)})
    model.config = tiny.language_model().config
    with pytest.raises(InputError, match="gpt_neo"):
        steered_parameters(Hyper(), model)
