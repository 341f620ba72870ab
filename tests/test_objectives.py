"""The contract of every objective, and the closed forms of each."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from recorded_run import objective_of
from torch.nn.functional import pad
from torch.nn.modules.module import register_module_forward_pre_hook

from lethe import losses
from lethe.data.rows import NO_TAG
from lethe.objectives import contrastive_unlearning, deepcut, icu, npo
from lethe.params.training import Training
from lethe.system import plugins
from lethe.training.batches import Batches, TrainingRows
from lethe.training.engine import Engine
from lethe.training.frozen import FrozenHidden

CASES = [
    (name, task)
    for name in plugins.names_in("objectives")
    for task in plugins.tasks_of("objectives", name)
    if "loss" in plugins.functions_in("objectives", name)
]
contract = pytest.mark.parametrize(("name", "task"), CASES)


def setting(name: str, task: str, count: int = 6):
    """Method, what it minimises, a model that differs from the original, and a batch for every role."""
    method = plugins.imported("objectives", name)
    model, rows = tiny.model_and_rows(task)
    objective = objective_of(method, tiny.model_and_rows(task)[0], task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    batch = {role: rows(count, seed) for seed, role in enumerate(sorted(set(method.TERMS.values())))}
    if "alternative" in batch:
        batch["alternative"] = replace(batch["alternative"], starts=torch.full((count,), 2))
    return method, objective, model, batch


def terms_of(objective, model, batch) -> dict[str, torch.Tensor]:
    values = objective.loss(objective.hyper, model, objective.frozen, batch)
    assert set(values) <= set(objective.terms)
    return values


@contract
def test_padding_changes_no_term(name, task):
    _, objective, model, batch = setting(name, task)
    wide = {
        role: replace(rows, input_ids=pad(rows.input_ids, (0, 5), value=7)) for role, rows in batch.items()
    }
    if task == "tagging":
        wide = {
            role: replace(rows, labels=pad(rows.labels, (0, 5), value=NO_TAG)) for role, rows in wide.items()
        }
    expected = terms_of(objective, model, batch)
    for term, value in terms_of(objective, model, wide).items():
        torch.testing.assert_close(value, expected[term], msg=term)


@contract
@pytest.mark.parametrize(("others", "most"), [(7, 3), (2, 1)])
def test_micro_batches_give_the_gradient_of_the_whole(name, task, others, most):
    """Also where they are so many that some hold no row of the roles other than retain."""
    _, objective, model, batch = setting(name, task, count=7)
    batch = {role: rows if role == "retain" else rows[:others] for role, rows in batch.items()}
    gradients = []
    for limit in (None, most):
        model.zero_grad()
        recipe = Training(micro_batch=limit)
        batches = Batches(TrainingRows(batch), recipe, objective.terms, seed=0)
        Engine(model, objective, batches, "", Path("none")).backward(batch)
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


@contract
def test_gradients_are_finite_and_a_rerun_is_bitwise_equal(name, task):
    _, objective, model, batch = setting(name, task)
    runs = []
    for _ in range(2):
        model.zero_grad()
        model.train()
        torch.manual_seed(3)
        sum(v.mean() for v in terms_of(objective, model, batch).values()).backward()
        runs.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.isfinite(g).all() for g in runs[0])
    assert any(g.abs().max() > 0 for g in runs[0])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def read_alike(module, inputs):
    """Tokens 12 to 22 are read as 1 to 11."""
    if isinstance(module, torch.nn.Embedding) and module.num_embeddings == tiny.VOCABULARY:
        return (torch.where(inputs[0] > 11, inputs[0] - 11, inputs[0]),)
    return None


@pytest.mark.parametrize("name", [name for name, task in CASES if task == "generation"])
def test_a_label_inside_a_prompt_changes_no_gradient(name):
    """Prompts of other tokens, which the model reads as the same: all that differs is what would be predicted there."""
    _, objective, model, batch = setting(name, "generation")
    gradients = []
    with register_module_forward_pre_hook(read_alike):
        for more in (0, 11):
            prompted = {}
            for role, rows in batch.items():
                starts, place = torch.full((len(rows),), 3), torch.arange(rows.input_ids.shape[1])
                ids = torch.where(rows.input_ids > 11, rows.input_ids - 11, rows.input_ids)
                ids = torch.where(place < 3, ids + more, ids)
                prompted[role] = replace(rows, input_ids=ids, starts=starts)
            model.zero_grad()
            sum(v.mean() for v in terms_of(objective, model, prompted).values()).backward()
            gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert any(g.abs().max() > 0 for g in gradients[0])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@contract
def test_the_file_says_what_it_is(name, task):
    method = plugins.imported("objectives", name)
    assert method.__doc__ and len(method.__doc__.splitlines()) >= 3
    roles = set(method.TERMS.values())
    assert roles <= {"forget", "retain", "analogue"} or roles <= {"forget", "retain", "alternative"}


def test_npo_at_the_frozen_model_is_two_log_two_over_beta():
    _, _, model, batch = setting("npo", "generation")
    values = npo.loss(npo.Hyper(beta=0.5), model, model, batch)
    torch.testing.assert_close(values["forget"], torch.full((6,), 4 * math.log(2)))


def test_npo_tends_to_gradient_ascent():
    """2/beta softplus(beta x) - 2 log 2 / beta -> x as beta -> 0."""
    _, objective, model, batch = setting("npo", "generation")
    frozen = objective.frozen
    beta = 1e-3
    value = npo.loss(npo.Hyper(beta=beta), model, frozen, batch)["forget"] - 2 * math.log(2) / beta
    change = losses.sequence_log_probability(model, batch["forget"]) - losses.sequence_log_probability(
        frozen, batch["forget"]
    )
    torch.testing.assert_close(value, change, rtol=2e-2, atol=2e-2)


def test_icu_at_the_frozen_model_has_no_divergence():
    _, _, model, batch = setting("icu", "generation")
    values = icu.loss(icu.Hyper(), model, FrozenHidden(model), batch)
    torch.testing.assert_close(values["kl"], torch.zeros(6))
    torch.testing.assert_close(values["learn"], 0.5 * losses.example_loss(model, batch["analogue"]))


def test_deepcut_term_by_hand():
    """One anchor of class 0 along x; a negative at cosine 1, a positive at cosine 0, tau 1."""
    z, z_retain = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    value, anchors = deepcut.contrast(z, torch.tensor([0]), z_retain, torch.tensor([0, 1]), 1.0)
    assert anchors == 1
    assert value.item() == pytest.approx(-math.log(math.exp(0) / (math.exp(0) + math.exp(1))))


def test_deepcut_against_loops():
    generator = torch.Generator().manual_seed(0)
    z = torch.nn.functional.normalize(torch.randn(4, 5, generator=generator), dim=1)
    zr = torch.nn.functional.normalize(torch.randn(9, 5, generator=generator), dim=1)
    y, yr, tau = torch.tensor([0, 1, 2, 0]), torch.arange(9) % 3, 0.2
    expected = []
    for i in range(4):
        denominator = sum(math.exp(z[i] @ zr[n] / tau) for n in range(9) if yr[n] == y[i])
        pulls = [math.exp(z[i] @ zr[p] / tau) for p in range(9) if yr[p] != y[i]]
        expected.append(sum(-math.log(a / (a + denominator)) for a in pulls) / len(pulls))
    value, anchors = deepcut.contrast(z, y, zr, yr, tau)
    assert anchors == 4
    assert value.item() == pytest.approx(sum(expected) / 4, rel=1e-5)


def test_deepcut_skips_anchors_without_contrast():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    value, anchors = deepcut.contrast(z, torch.tensor([0, 2]), z, torch.tensor([0, 1]), 0.1)
    alone, _ = deepcut.contrast(z[:1], torch.tensor([0]), z, torch.tensor([0, 1]), 0.1)
    assert anchors == 1 and value.item() == alone.item()
    value, anchors = deepcut.contrast(z[:1], torch.tensor([0]), z, torch.tensor([0, 0]), 0.1)
    assert anchors == 0 and value.item() == 0.0


@pytest.mark.parametrize("objective", [deepcut, contrastive_unlearning])
@pytest.mark.parametrize(("retained", "skipped"), [([0, 1], 1), ([0, 0], 3), ([0, 1, 2], 0), ([1], 3)])
def test_skipped_anchors_are_counted(objective, retained, skipped):
    """Of anchors of the classes 0, 1 and 2: each needs a retained sample of its class, and one of another."""
    forget, retain = (
        replace(tiny.rows(len(labels), True), labels=torch.tensor(labels)) for labels in ([0, 1, 2], retained)
    )
    counts = objective_of(objective, tiny.classifier(), "classification").batch_counts
    assert counts({"forget": forget, "retain": retain}) == {"skipped": skipped}


def test_deepcut_moves_an_anchor_away_from_its_class():
    z = torch.tensor([[0.8, 0.6]], requires_grad=True)
    zr = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    deepcut.contrast(z, torch.tensor([0]), zr, torch.tensor([0, 1]), 0.5)[0].backward()
    assert (
        z.grad[0, 0] > 0 > z.grad[0, 1]
    )  # descent lowers the similarity to its own class and raises the other


@pytest.mark.parametrize("objective", [deepcut, contrastive_unlearning])
def test_the_words_of_tagged_text_are_contrasted(objective):
    model, batch = tiny.tagger(), {"forget": tiny.tagged_rows(2, 1), "retain": tiny.tagged_rows(5, 2)}
    vectors, classes = {}, {}
    for role, rows in batch.items():
        hidden = model(rows.input_ids, rows.mask.long(), output_hidden_states=True).hidden_states[-1]
        places = [
            (b, t) for b in range(len(rows)) for t in range(rows.labels.shape[1]) if rows.labels[b, t] >= 0
        ]
        vectors[role] = torch.stack([hidden[place] / hidden[place].norm() for place in places])
        classes[role] = torch.stack([rows.labels[place] for place in places])
    of = [part[role] for role in batch for part in (vectors, classes)]
    hyper = objective.Hyper(**{"views": 1} if objective is deepcut else {"forget": 1.0})
    expected, anchors = objective.contrast(*of, hyper.temperature)
    assert anchors == len(classes["forget"])
    torch.testing.assert_close(objective.loss(hyper, model, None, batch)["forget"], expected)
