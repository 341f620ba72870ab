"""SCRUB: phases, terms, and a run that is killed within either kind of epoch."""

import numpy as np
import pytest
import tiny
import torch
from recorded_run import recorded
from torch.distributions import Categorical, kl_divergence

from lethe import losses
from lethe.objectives import scrub
from lethe.objectives.scrub import Hyper
from lethe.params.training import Training
from lethe.training.batches import Batches, TrainingRows
from lethe.training.engine import Engine

BATCH = {"forget": tiny.rows(5, True, 1), "retain": tiny.rows(4, True, 2)}


def test_epochs_alternate_until_the_ascents_are_done():
    kinds = [scrub.roles_of(Hyper(ascents=2), epoch)[0] for epoch in range(6)]
    assert kinds == ["forget", "retain", "forget", "retain", "retain", "retain"]
    assert scrub.roles_of(Hyper(ascents=0), 0) == ("retain",)


def test_terms_against_torch_distributions():
    student, teacher = tiny.classifier(0), tiny.classifier(1)
    terms = scrub.loss(Hyper(kl=0.5, retain=2.0, temperature=3.0), student, teacher, BATCH)
    for term, role, weight in (("forget", "forget", -9), ("kl", "retain", 4.5)):
        before, after = (Categorical(logits=losses.forward(m, BATCH[role]) / 3) for m in (teacher, student))
        torch.testing.assert_close(terms[term], weight * kl_divergence(before, after), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["retain"], 2 * losses.example_loss(student, BATCH["retain"]))


def build(folder) -> Engine:
    """Four epochs of two steps: ascent, repair, ascent, repair."""
    hyper, recipe = (
        Hyper(),
        Training(epochs=4, learning_rate=1e-2, batch={"forget": 4, "retain": 4}, dropout=True),
    )
    rows = TrainingRows({"forget": tiny.rows(7, True, 1), "retain": tiny.rows(9, True, 2)})
    run = recorded(scrub, tiny.classifier(), "classification", hyper)
    batches = Batches(rows, recipe, scrub.TERMS, 1, run.settings["roles"])
    return Engine(tiny.classifier(), run.objective(scrub.TERMS), batches, "f", folder / "state.safetensors")


def test_a_batch_holds_what_its_epoch_trains_on(tmp_path):
    batches = build(tmp_path).batches
    kinds = [set(batches.batch(epoch, 0, 2 * epoch, np.ones(7, bool))) for epoch in range(4)]
    assert kinds == [{"forget"}, {"retain"}, {"forget"}, {"retain"}]
    trace = build(tmp_path).run().trace
    assert [set(row) & set(scrub.TERMS) for row in trace] == [{"forget"}] * 2 + [{"kl", "retain"}] * 2 + [
        {"forget"}
    ] * 2 + [{"kl", "retain"}] * 2


@pytest.mark.parametrize("last", [1, 4, 6])
def test_a_terminated_run_continues_to_the_same_bits(tmp_path, terminated_after, last):
    undisturbed = build(tmp_path / "a")
    expected = undisturbed.run()
    terminated_after(last)
    with pytest.raises(SystemExit):
        build(tmp_path / "b").run()
    resumed = build(tmp_path / "b")
    assert resumed.run().trace == expected.trace
    pairs = zip(resumed.model.parameters(), undisturbed.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
