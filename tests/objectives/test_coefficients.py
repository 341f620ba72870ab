"""Every weight of every method weighs its own term and no other; what a method asks of its training is as told."""

from dataclasses import replace

import pytest
import tiny
import torch
from recorded_run import RecordedRun, objective_of, recorded
from test_objectives import CASES, setting, terms_of

from lethe import losses
from lethe.objectives import contrastive_unlearning, deepcut, dpo, icu, kga, llmu, rmu
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


@pytest.mark.parametrize(
    ("name", "task"), [case for case in CASES if case[0] in ("gradient_difference", "npo")]
)
def test_a_weighted_loss_is_a_product_and_ascent_has_a_minus(name, task):
    _, objective, model, batch = setting(name, task)
    terms = terms_of(replace(objective, hyper=replace(objective.hyper, retain=3.0)), model, batch)
    torch.testing.assert_close(terms["retain"], 3 * losses.example_loss(model, batch["retain"]))
    if name == "gradient_difference":
        torch.testing.assert_close(terms["forget"], -losses.example_loss(model, batch["forget"]))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("method", [deepcut, contrastive_unlearning])
def test_anchors_and_contrast_are_pooled_as_was_chosen_and_of_length_one(method, pooling):
    model = tiny.classifier()
    batch = {"forget": tiny.rows(4, True, 1), "retain": tiny.rows(7, True, 2)}
    hyper = replace(
        method.Hyper(), pooling=pooling, **({"views": 1} if method is deepcut else {"forget": 1.0})
    )
    vectors = []
    for rows in batch.values():
        hidden = model(**rows.inputs(model), output_hidden_states=True).hidden_states[-1]
        each = [
            h[0] if pooling == "cls" else h[:n].mean(0) for h, n in zip(hidden, rows.lengths, strict=True)
        ]
        vectors += [torch.stack([v / v.norm() for v in each]), rows.classes]
    expected, _ = method.contrast(*vectors, hyper.temperature)
    torch.testing.assert_close(method.loss(hyper, model, None, batch)["forget"], expected)


def test_deepcut_without_attraction_only_repels():
    """One anchor of class 0, one sample of its class at similarity 0.6, one of another, whose own is left out."""
    z, others = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    y, y_others = torch.tensor([0]), torch.tensor([0, 1])
    far, _ = deepcut.contrast(z, y, others, y_others, 0.5, attraction=False)
    torch.testing.assert_close(far, torch.log(1 + torch.tensor(1.2).exp()))
    both, _ = deepcut.contrast(z, y, others, y_others, 0.5)
    torch.testing.assert_close(both, torch.log(1 + torch.tensor(1.2 - 1.6).exp()))
    model, batch = tiny.classifier(), {"forget": tiny.rows(4, True, 1), "retain": tiny.rows(7, True, 2)}
    one, other = (deepcut.Hyper(views=1, attraction=chosen) for chosen in (True, False))
    found = [deepcut.loss(hyper, model, None, batch)["forget"] for hyper in (one, other)]
    assert not torch.equal(*found)


def test_deepcut_averages_the_retain_term_over_its_views():
    model, rows = tiny.classifier(), {"forget": tiny.rows(4, True, 1), "retain": tiny.rows(7, True, 2)}
    terms = deepcut.loss(deepcut.Hyper(views=3), model, None, rows)
    torch.testing.assert_close(terms["retain"], losses.example_loss(model, rows["retain"]))


def test_kga_trains_its_models_on_the_forget_set_and_on_new_text_as_the_original_was():
    class Told(RecordedRun):
        finetune = "the recipe of the original"

        def rows(self, *names):
            found = super().rows(*names)
            self.named = {**getattr(self, "named", {}), id(found): names}
            return found

        def fit(self, name, model, rows, training=None):
            self.told = {**getattr(self, "told", {}), name: (self.named[id(rows)], training)}
            return super().fit(name, model, rows, training)

    run = Told(tiny.classifier(), "classification")
    kga.unlearn(kga.Hyper(), run)
    assert run.told == {"forgotten": (("forget",), Told.finetune), "new": (("validation",), Told.finetune)}


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
    for method in (dpo, llmu):
        assert recorded(method, model, "generation", method.Hyper(prefix=0.3)).settings["prefix"] == 0.3
    hyper = rmu.Hyper(depth=1.0)
    only = recorded(rmu, model, "generation", hyper).settings["only"]
    assert only == rmu.steered_parameters(hyper, model) == ["transformer.h.0.", "transformer.h.1."]


def test_the_direction_of_rmu_depends_on_the_seed_and_is_of_length_one():
    model = tiny.model_and_rows("generation")[0]
    one, again, other = (rmu.with_direction(model, seed).direction for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.dtype == torch.float32 and float(one.norm()) == pytest.approx(1) and (one > 0).all()
