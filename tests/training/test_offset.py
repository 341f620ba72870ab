"""Offset unlearning: the run on a pair equals the plain run where it must, and its cost, kills and requests."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file
from test_unlearn import DECODER, study

from lethe import losses, models
from lethe.models.composed import Composed, Offset
from lethe.objectives import icu, npo
from lethe.params.file import check_params
from lethe.params.plug_ins import takes_offset
from lethe.params.training import Training
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.training.batches import Batches, TrainingRows
from lethe.training.engine import Engine
from lethe.training.frozen import FrozenHidden, FrozenLogits
from lethe.training.job import Job
from lethe.training.objective import Objective
from lethe.training.training import train_model
from lethe.unlearn import unlearn

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
PAIR = {"source": "tiny-gpt-neo", "options": {"hidden_size": 4, "num_heads": 2, "num_layers": 2}}
ABLE = [name for name in plugins.names_in("objectives") if takes_offset(name)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("offset")
    (folder / "study").mkdir()  # apart from what is made of it, as checkpoints know its digest
    study(folder / "study", "generation")
    return folder


def run(folder, name: str, objective="npo", start="study/original", to=None, **changes):
    """Folder of a run's outputs."""
    offset = {"model": PAIR, "taught": changes.pop("taught", True), "alpha": changes.pop("alpha", 1.0)}
    training = {
        "epochs": 2,
        "learning_rate": 1e-2,
        "batch": {"forget": 2, "retain": 2},
        "offset": offset,
    } | changes
    cfg = {"task": "generation", "model": DECODER, "pretrain": None}
    cfg |= {
        "finetune": {"epochs": 3, "batch": {"retain": 3}},
        "method": {"objective": objective, "training": training},
    }
    job = Job(
        cfg, 1, name, folder / (to or name), folder / f"checkpoints-{to or name}" / "state.safetensors", None
    )
    unlearn(job, folder / "study", folder / "study", folder / start)
    assert not list(job.checkpoint.parent.rglob("*.safetensors"))
    return job.out


@pytest.fixture(scope="module")
def made(folder):
    return run(folder, "made")


def weights(out) -> dict[str, torch.Tensor]:
    return {
        f"{f.parent.name}.{k}": v for f in out.rglob("model.safetensors") for k, v in load_file(f).items()
    }


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_of_the_pair_the_one_that_trains_alone_changes(folder, made):
    members = made / "model"
    files = [(folder / "study/original" / "model.safetensors"), members / "large" / "model.safetensors"]
    assert files[0].read_bytes() == files[1].read_bytes()
    trained, start = (load_file(members / name / "model.safetensors") for name in ("trained", "start"))
    assert any(not torch.equal(trained[name], start[name]) for name in start)
    assert start["transformer.wte.weight"].shape[1] == 4


def test_the_cost_of_the_pair_stands_apart(made):
    cost = json.loads((made / "cost.json").read_text())
    assert cost["steps"] == 2 * 2 and cost["beforehand_steps"] == 3 * 3  # 4 texts in twos; 9 in threes
    plain = json.loads((run(made.parent, "plain", taught=False) / "cost.json").read_text())
    assert plain["steps"] == 4 and "beforehand_steps" not in plain


def test_a_killed_run_ends_with_the_same_bits(folder, made, terminated_after):
    steps = terminated_after(4, 11)  # while the pair is taught; while it unlearns
    for _ in range(2):
        with pytest.raises(SystemExit):
            run(folder, "made", to="killed")
    with safe_open(folder / "checkpoints-killed/state.safetensors", "pt") as file:
        assert all("members.trained." in name for name in file.keys() if name.startswith("model."))  # noqa: SIM118
    out = run(folder, "made", to="killed")
    assert len(steps) == 13 and equal(weights(out), weights(made))


def test_a_second_request_goes_on_with_the_pair(folder, made):
    again = run(folder, "again", start="made/model")
    first, second = weights(made), weights(again)
    kept = [name for name in first if not name.startswith("trained.")]
    assert all(torch.equal(first[name], second[name]) for name in kept)
    assert not equal(first, second)
    assert "beforehand_steps" not in json.loads((again / "cost.json").read_text())
    with pytest.raises(InputError, match=r"methods.other.training.offset: .*no model with this offset"):
        run(folder, "other", start="made/model", alpha=0.5)


def test_a_second_request_can_keep_near_a_model_of_several(folder, made):
    found, _ = models.load(made / "model", "generation")
    rows, model = tiny.rows(3), tiny.language_model()
    logits = losses.forward(found, rows)
    torch.testing.assert_close(FrozenLogits(found).kl(logits, rows), torch.zeros(3), atol=1e-6, rtol=0)
    plain, other = tiny.language_model(3), losses.forward(model, rows)
    torch.testing.assert_close(FrozenLogits(plain).kl(other, rows), FrozenHidden(plain).kl(other, rows))
    out = run(folder, "kl-again", "kl_minimisation", start="made/model")
    assert not equal(weights(made), weights(out))


def test_adapters_train_the_pair(folder):
    found = weights(run(folder, "adapted", lora={"rank": 1}))
    changed = {
        n for n in found if n.startswith("trained.") and not torch.equal(found[n], found[f"start{n[7:]}"])
    }
    assert changed and not any("ln" in name or "wte" in name for name in changed)


@pytest.mark.parametrize("objective", [n for n in ABLE if not n.startswith("icu")])
def test_every_objective_of_generators_trains_a_pair(folder, objective):
    out = run(folder, objective, objective)
    found = weights(out)
    assert not all(
        torch.equal(found[f"trained.{n[6:]}"], v) for n, v in found.items() if n.startswith("start.")
    )


def minimised(model, objective: Objective, rows: TrainingRows, tmp_path) -> list[dict]:
    recipe = Training(
        epochs=3, learning_rate=1e-3, batch={"forget": 2, "retain": 3, "analogue": 2}, dropout=True
    )
    return train_model(
        model, objective, Batches(rows, recipe, objective.terms, 1), "", tmp_path / "state"
    ).trace


@pytest.mark.parametrize("method", [npo, icu], ids=["npo", "icu"])
def test_a_pair_of_the_large_models_own_weights_follows_the_plain_run(method, tmp_path):
    """z + (z' - z) = z': with dropout, as members that do not learn have none."""
    rows = {role: tiny.rows(5, seed=seed) for seed, role in enumerate(dict.fromkeys(method.TERMS.values()))}
    pairs = np.arange(5)[:, None] if method is icu else None
    traces, ends = [], []
    for plain in (True, False):
        large, frozen = tiny.language_model(), tiny.language_model()
        model = large
        if not plain:
            pair = {"large": large, "trained": tiny.language_model(), "start": tiny.language_model()}
            model = Composed(pair, Offset(1.0)).requires_grad_(False)
            model.members["trained"].requires_grad_(True)
        frozen = FrozenHidden(frozen) if method is icu else frozen
        objective = Objective(method.loss, method.Hyper(), method.TERMS, frozen)
        traces.append(minimised(model, objective, TrainingRows(rows, pairs), tmp_path))
        ends.append(model if plain else model.members["trained"])
    for one, other in zip(*traces, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_no_alpha_no_gradient(tmp_path):
    large, start = tiny.language_model(1), tiny.language_model(2)
    model = Composed(
        {"large": large, "trained": copy.deepcopy(start), "start": start}, Offset(0.0)
    ).requires_grad_(False)
    model.members["trained"].requires_grad_(True)
    objective = Objective(npo.loss, npo.Hyper(), npo.TERMS, tiny.language_model(1))
    rows = TrainingRows({"forget": tiny.rows(4), "retain": tiny.rows(4, seed=1)})
    minimised(model, objective, rows, tmp_path)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.members["trained"].parameters(), start.parameters(), strict=True)
    )


def changed(task: str, method: dict, name="npo"):
    tree = copy.deepcopy(DEFAULT)
    tree["studies"] = {"s": tree["studies"]["records" if task == "generation" else "topics"]}
    tree["studies"]["s"].pop("tune", None)
    tree["studies"]["s"]["methods"] = {name: method}
    return check_params(tree, "params.yaml")


@pytest.mark.parametrize(
    ("task", "name", "training", "words"),
    [
        ("generation", "rmu", {}, ["methods.rmu.training.offset", "rmu", "allowed", "npo"]),
        ("generation", "dp_decoding", {}, ["methods.dp_decoding.training.offset", "trains the model itself"]),
        ("classification", "finetune", {}, ["methods.finetune.training.offset", "generation"]),
        ("generation", "npo", {"sharded": True, "processes": 2}, ["sharded", "offset", "false"]),
    ],
)
def test_what_an_offset_cannot_serve_is_named(task, name, training, words):
    with pytest.raises(InputError) as raised:
        changed(task, {"training": {"offset": {"model": PAIR}} | training}, name)
    for word in words:
        assert word in str(raised.value)


def test_a_pair_has_the_tokenizer_of_the_study():
    with pytest.raises(InputError, match="tokenizer and freeze are those of the study"):
        changed("generation", {"training": {"offset": {"model": PAIR | {"tokenizer": "x"}}}})


def test_a_reference_has_no_offset():
    tree = copy.deepcopy(DEFAULT)
    tree["studies"]["records"]["train"]["finetune"]["offset"] = {"model": PAIR}
    with pytest.raises(InputError, match=r"train.finetune.offset: a reference trains its own weights"):
        check_params(tree, "params.yaml")


def test_a_pair_of_other_tokens_is_named(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder / "study/original", other)
    _, tokenizer = models.load(other, "generation")
    tokenizer.add_tokens(["<one more>"])
    tokenizer.save_pretrained(other)
    foreign = {"model": {"source": str(other)}, "taught": False}
    with pytest.raises(InputError, match=r"methods.foreign.training.offset.model.source: .* another vocab"):
        run(folder, "foreign", offset=foreign)


def test_gradients_of_micro_batches_sum_up():
    """As of every objective: a batch in parts has the gradient of the whole."""
    rows = TrainingRows({"forget": tiny.rows(5), "retain": tiny.rows(5, seed=1)})
    found = []
    for most in (None, 2):
        pair = {n: tiny.language_model(s) for s, n in enumerate(("large", "trained", "start"))}
        model = Composed(pair, Offset(0.5)).requires_grad_(False)
        model.members["trained"].requires_grad_(True)
        objective = Objective(npo.loss, npo.Hyper(), npo.TERMS, tiny.language_model(0))
        recipe = Training(micro_batch=most)
        engine = Engine(model, objective, Batches(rows, recipe, npo.TERMS, 0), "", "none")
        engine.backward(rows.roles)
        found.append([p.grad for p in model.members["trained"].parameters()])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
