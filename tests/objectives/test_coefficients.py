"""Every weight of every method weighs its own term and no other; what a method asks of its training is as told."""

from dataclasses import replace

import pytest
import tiny
import torch
from recorded_run import objective_of, recorded
from test_objectives import CASES, setting, terms_of

from lethe import losses
from lethe.objectives import dpo, icu, rmu
from lethe.system import plugins
from lethe.training.epoch_check import Refinement

ELSEWHERE = ("o3", "uld")  # whose weights are of logits, or of what no tiny batch holds: tests of their own
WEIGHTS = [
    (name, task, field)
    for name, task in CASES
    if name not in ELSEWHERE
    for field, _, comment in plugins.settings_in("objectives", name, "Hyper")
    if comment.startswith("weight of")
]


@pytest.mark.parametrize(("name", "task", "field"), WEIGHTS)
def test_twice_the_weight_is_twice_its_term_and_nothing_else(name, task, field):
    method, objective, model, batch = setting(name, task)
    hyper = objective.hyper
    if getattr(hyper, field) == 0:
        hyper = replace(hyper, **{field: 1.0})

    def terms(hyper) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        own = objective_of(method, tiny.model_and_rows(task)[0], task, hyper)
        return {term: value.detach() for term, value in terms_of(own, model, batch).items()}

    once, twice = terms(hyper), terms(replace(hyper, **{field: 2 * getattr(hyper, field)}))
    changed = {term for term in once if not torch.equal(once[term], twice[term])}
    assert len(changed) == 1, changed
    for term in changed:
        torch.testing.assert_close(twice[term], 2 * once[term])


def test_icu_is_its_formula():
    """Ascent on the pair's first text, descent on the second, and a KL on the second to the model before."""
    _, objective, model, batch = setting("icu", "generation")
    terms = terms_of(replace(objective, hyper=icu.Hyper(forget=2.0, learn=3.0, kl=5.0)), model, batch)
    before = tiny.model_and_rows("generation")[0]
    logits = losses.forward(model, batch["analogue"])
    expected = {
        "forget": -2 * losses.example_loss(model, batch["forget"]),
        "learn": 3 * losses.example_loss(model, batch["analogue"]),
        "kl": 5 * losses.kl(losses.forward(before, batch["analogue"]), logits, batch["analogue"]),
    }
    assert terms.keys() == expected.keys()
    for term, value in terms.items():
        torch.testing.assert_close(value, expected[term])
    none = terms_of(replace(objective, hyper=icu.Hyper(kl=0.0)), model, batch)
    assert none.keys() == {"forget", "learn"}


def test_icu_trains_on_the_pairs_and_stops_by_the_check_that_were_chosen():
    model = tiny.model_and_rows("generation")[0]
    chosen = {
        "prefix": 0.25,
        "window": 9,
        "beams": 3,
        "similarity": "words",
        "forgotten": 0.5,
        "encoder": None,
        "f1": 0.1,
    }
    run = recorded(icu, model, "generation", icu.Hyper(pairs="random", **chosen))
    assert run.settings["pairs"] == "random" and run.settings["check"] == Refinement(**chosen)
    assert recorded(icu, model, "generation", icu.Hyper(refine=False)).settings["check"] is None


def test_dpo_cuts_where_it_was_told_and_rmu_trains_the_blocks_it_steers():
    model = tiny.model_and_rows("generation")[0]
    assert recorded(dpo, model, "generation", dpo.Hyper(prefix=0.3)).settings["prefix"] == 0.3
    hyper = rmu.Hyper(depth=1.0)
    only = recorded(rmu, model, "generation", hyper).settings["only"]
    assert only == rmu.steered_parameters(hyper, model) == ["transformer.h.0.", "transformer.h.1."]


def test_the_direction_of_rmu_depends_on_the_seed_and_is_of_length_one():
    model = tiny.model_and_rows("generation")[0]
    one, again, other = (rmu.with_direction(model, seed).direction for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.dtype == torch.float32 and float(one.norm()) == pytest.approx(1) and (one > 0).all()
