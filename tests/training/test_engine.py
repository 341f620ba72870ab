"""The training loop: equal runs are equal to the bit, however they are cut, killed or resumed."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from recorded_run import objective_of

from lethe.data.rows import Rows
from lethe.objectives import finetune, gradient_difference, icu, rmu
from lethe.params.training import Training
from lethe.training import objective as objective_file
from lethe.training.batches import Batches, TrainingRows, deck, epoch_order, micro_batches
from lethe.training.engine import Engine, Findings
from lethe.training.numerics import apart
from lethe.training.optimizer import rate_factor

RECIPE = Training(
    epochs=3, learning_rate=1e-2, batch={"forget": 4, "retain": 4}, dropout=True, schedule="cosine"
)


def build(
    tmp_path,
    method=gradient_difference,
    recipe=RECIPE,
    seed=1,
    fingerprint="f",
    task="generation",
    length=None,
):
    model, rows = tiny.model_and_rows(task)
    objective = objective_of(method, tiny.model_and_rows(task)[0], task, seed=seed)
    pairs = np.arange(10)[:, None] % 6
    roles = {"forget": rows(10, 1), "retain": rows(13, 2), "analogue": rows(6, 3)}
    batches = Batches(TrainingRows(roles, pairs), recipe, objective.terms, seed, length=length)
    return Engine(model, objective, batches, fingerprint, tmp_path / "state.safetensors")


def weights(engine) -> list[torch.Tensor]:
    return [p.detach().clone() for p in engine.model.parameters()]


def equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_equal_runs_are_equal_and_seeds_differ(tmp_path):
    results = []
    for seed in (1, 1, 2):
        engine = build(tmp_path, seed=seed)
        engine.run()
        results.append(weights(engine))
    assert equal(results[0], results[1])
    assert not equal(results[0], results[2])


@pytest.mark.parametrize("step", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("objective", [gradient_difference, icu, rmu])
def test_a_terminated_run_continues_to_the_same_bits(tmp_path, terminated_after, step, objective):
    undisturbed = build(tmp_path / "a", objective)
    expected = undisturbed.run()
    killed = build(tmp_path / "b", objective)
    terminated_after(step + 1)
    with pytest.raises(SystemExit) as stopped:
        killed.run()
    assert stopped.value.code == 143
    resumed = build(tmp_path / "b", objective)
    with torch.no_grad():  # whatever the new process starts with must not matter
        next(resumed.model.parameters()).add_(1.0)
    progress = resumed.run()
    assert equal(weights(resumed), weights(undisturbed))
    assert progress.trace == expected.trace
    assert progress.step == expected.step == 9


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_continued(tmp_path, monkeypatch):
    """A checkpoint of the whole run: what continues it takes no step, what begins anew takes all nine."""
    step, taken = Engine.step, []
    monkeypatch.setattr(Engine, "step", lambda *arguments: [taken.append(1), step(*arguments)][1])

    def steps(**how) -> tuple[int, Engine]:
        taken.clear()
        engine = build(tmp_path, recipe=replace_training(checkpoint_seconds=0), **how)
        engine.run()
        return len(taken), engine

    made, engine = steps()
    assert made == 9 and engine.checkpoint.exists()
    assert steps()[0] == 0
    assert steps(fingerprint="other")[0] == 9
    engine.checkpoint.write_bytes(b"torn")
    made, again = steps()
    assert made == 9 and equal(weights(again), weights(engine))


def replace_training(**changes) -> Training:
    return RECIPE.model_copy(update=changes)


def test_micro_batches_follow_the_same_trajectory(tmp_path):
    recipe = replace_training(dropout=False)
    whole, parts = (
        build(tmp_path, recipe=recipe),
        build(tmp_path, recipe=replace_training(dropout=False, micro_batch=2)),
    )
    whole_trace, parts_trace = whole.run().trace, parts.run().trace
    assert [row["loss"] for row in whole_trace] == pytest.approx(
        [row["loss"] for row in parts_trace], rel=1e-4
    )


def test_micro_batches_of_roles_of_unequal_size_give_the_gradient_of_the_whole(tmp_path):
    gradients = []
    batch = {"forget": tiny.rows(2), "retain": tiny.rows(7, seed=4)}
    for most in (None, 2):
        engine = build(tmp_path, recipe=replace_training(micro_batch=most))
        engine.backward(batch)
        gradients.append([p.grad.clone() for p in engine.model.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_the_loss_logged_is_the_loss_summed(tmp_path):
    trace = build(tmp_path).run().trace
    assert all(row["loss"] == pytest.approx(row["forget"] + row["retain"]) for row in trace)
    assert [row["epoch"] for row in trace] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_sgd_step_is_the_gradient(tmp_path):
    recipe = Training(learning_rate=0.1, optimizer="sgd", batch={"retain": 13})
    engine = build(tmp_path, finetune, recipe)
    before = weights(engine)
    rows = engine.batches.rows.roles["retain"]
    loss = finetune.loss(finetune.Hyper(), engine.model, None, {"retain": rows})["retain"].mean()
    gradient = torch.autograd.grad(loss, list(engine.model.parameters()))
    engine.run()
    for old, slope, new in zip(before, gradient, weights(engine), strict=True):
        torch.testing.assert_close(new, old - 0.1 * slope, rtol=1e-4, atol=1e-6)


def test_inactive_rows_are_not_seen_and_none_active_ends_the_run(tmp_path):
    seen = []

    def check(model, epoch, history):
        return Findings({"active": 0.0}, np.arange(10) < (3 if epoch == 0 else 0))

    engine = build(tmp_path, icu)
    original = engine.batches.batch
    spy = replace(engine.batches)
    object.__setattr__(spy, "batch", lambda *a: seen.append(original(*a)) or seen[-1])
    engine.batches = spy
    progress = engine.run(check)
    assert progress.step == 1 and len(seen[0]["forget"]) == 3
    assert [row["epoch"] for row in progress.epochs] == [0, 1]


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path, monkeypatch):
    engine = build(tmp_path)
    before = weights(engine)
    monkeypatch.setattr(objective_file, "mean_over", lambda values, rows: values.sum() * float("nan"))
    with pytest.raises(FloatingPointError, match="learning_rate"):
        engine.run()
    assert equal(before, weights(engine))


def test_rate_factor():
    recipe = Training(schedule="linear", warmup=0.2, floor=0.1)
    assert [round(rate_factor(recipe, s, 10), 3) for s in (0, 1, 5, 9, 10)] == [0.5, 0.9, 0.5, 0.1, 0.1]
    assert rate_factor(Training(), 7, 10) == 1.0
    assert rate_factor(Training(schedule="cosine"), 5, 10) == pytest.approx(0.5)


def test_decks_hold_everything_once_and_do_not_depend_on_how_they_are_cut():
    whole = deck(5, "retain", 7, 0, 21)
    assert all(sorted(whole[k : k + 7]) == list(range(7)) for k in (0, 7, 14))
    assert np.array_equal(np.concatenate([deck(5, "retain", 7, k, 3) for k in range(0, 21, 3)]), whole)
    assert sorted(epoch_order(5, 2, np.array([True, False, True]))) == [0, 2]


def test_a_role_that_stands_alone_is_split_by_length():
    lengths = [9, 2, 8, 3, 7, 2]
    rows = Rows(torch.arange(6)[:, None].expand(6, 9), torch.tensor(lengths))
    parts = [part["retain"] for part in micro_batches({"retain": rows}, 2)]
    assert [part.input_ids[:, 0].tolist() for part in parts] == [[1, 5], [3, 4], [2, 0]]
    assert [part.input_ids.shape[1] for part in parts] == [2, 7, 9]
    together = micro_batches({"forget": rows, "retain": rows}, 2)
    assert [part["forget"].input_ids[:, 0].tolist() for part in together] == [[0, 1], [2, 3], [4, 5]]


def test_micro_batches_hold_every_row_once():
    batch = {"forget": tiny.rows(7), "retain": tiny.rows(5)}
    parts = micro_batches(batch, 3)
    assert len(parts) == 3
    for role, rows in batch.items():
        lengths = [length for part in parts for length in part[role].lengths.tolist()]
        assert lengths == rows.lengths.tolist()


@pytest.mark.parametrize(("length", "epochs"), [(1, [1]), (4, [3, 1]), (9, [3, 3, 3]), (11, [3, 3, 3, 2])])
def test_a_run_of_so_many_steps_ends_in_the_middle_of_an_epoch(tmp_path, length, epochs):
    """Ten rows in batches of four are three steps an epoch; `epochs` of the recipe is 3."""
    progress = build(tmp_path, length=length).run()
    of = [row["epoch"] for row in progress.trace]
    assert progress.step == length and [of.count(epoch) for epoch in sorted(set(of))] == epochs


def test_a_run_of_so_many_steps_continues_to_the_same_bits(tmp_path, terminated_after):
    """Killed within its last epoch, which is cut, it does the one step that is left."""
    undisturbed = build(tmp_path / "a", length=5)
    undisturbed.run()
    killed = build(tmp_path / "b", length=5)
    terminated_after(4)
    with pytest.raises(SystemExit):
        killed.run()
    resumed = build(tmp_path / "b", length=5)
    assert resumed.run().step == 5
    assert equal(weights(resumed), weights(undisturbed))


def gradients(tmp_path, monkeypatch, method, limit):
    """Gradients of a batch in three parts, and how often each weight was given some."""
    monkeypatch.setattr("lethe.training.engine.LARGE", limit)
    engine = build(tmp_path, method, RECIPE.model_copy(update={"micro_batch": 2, "dropout": False}))
    given = []
    for parameter in engine.model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda p: given.append(p))
    terms = engine.backward(engine.batches.batch(0, 0, 0, np.ones(10, bool)))
    return [p.grad for p in engine.model.parameters()], len(given) / len([*engine.model.parameters()]), terms


def test_of_a_large_model_no_term_waits_for_the_gradient_of_another(tmp_path, monkeypatch):
    """Two terms in two parts: each weight gets four gradients, one by one, in place of two; their sum is the same."""
    whole, twice, terms = gradients(tmp_path, monkeypatch, gradient_difference, 10**9)
    apart, four, same = gradients(tmp_path, monkeypatch, gradient_difference, 0)
    assert (twice, four) == (2, 4) and same == terms
    for one, other in zip(whole, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_terms_of_one_pass_are_passed_back_together():
    weight = torch.nn.Parameter(torch.ones(3))
    hidden = weight * 2
    terms = {"a": hidden.sum(), "other": (weight * 3).sum(), "b": (hidden**2).sum(), "none": torch.zeros(())}
    assert sorted(map(sorted, apart(terms))) == [["a", "b"], ["other"]]
    joined = terms | {"both": terms["other"] * terms["a"]}
    assert sorted(map(sorted, apart(joined))) == [["a", "b", "both", "other"]]
