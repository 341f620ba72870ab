"""LoRA: what trains, what is shared, what is merged, and a run that is killed."""

import pytest
import tiny
import torch
from test_processes import together
from test_unlearn import CFG, study

from lethe import losses, models
from lethe.models import adapters
from lethe.params.training import Lora
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.training.engine import no_check
from lethe.training.frozen import sharing_copy
from lethe.training.job import Job
from lethe.training.run import Run
from lethe.unlearn import unlearn

ROWS = tiny.rows(3)


def adapted(model, **options):
    """The model with adapters that do something."""
    adapters.add(model, Lora(rank=2, **options), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    return model


def trained(model) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def test_merging_changes_no_prediction_and_weights_by_alpha_over_rank_times_b_a():
    plain, model = tiny.language_model().state_dict(), adapted(tiny.language_model(), alpha=6)
    before = losses.forward(model, ROWS)
    parts = {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" in name}
    adapters.merge(model)
    torch.testing.assert_close(losses.forward(model, ROWS), before, rtol=1e-4, atol=1e-4)
    merged = model.state_dict()
    assert merged.keys() == plain.keys()
    changed = 0
    for name, weight in merged.items():
        key = f"{name.removesuffix('.weight')}.lora_"
        if f"{key}A.default.weight" in parts:
            added = 3.0 * parts[f"{key}B.default.weight"] @ parts[f"{key}A.default.weight"]
            torch.testing.assert_close(weight, plain[name] + added, rtol=1e-4, atol=1e-5)
            assert torch.linalg.matrix_rank(weight - plain[name], atol=1e-4) <= 2
            changed += 1
        else:
            assert torch.equal(weight, plain[name])
    assert changed == 2 * 6  # of each block: queries, keys, values, output, and two of the perceptron


def test_only_adapters_of_what_trains_and_a_head_train():
    model = tiny.classifier()
    models.freeze(model, ["bert.encoder.layer.0", "bert.pooler"])
    adapters.add(model, Lora(targets=["query", "value"]), seed=1)
    layers = {name.split(".lora_")[0] for name in trained(model) if "lora_" in name}
    assert layers == {f"bert.encoder.layer.1.attention.self.{kind}" for kind in ("query", "value")}
    assert {name for name in trained(model) if "lora_" not in name} == {
        "classifier.weight",
        "classifier.bias",
    }
    generator = adapted(tiny.language_model())
    assert all("lora_" in name for name in trained(generator))
    with pytest.raises(InputError, match=r"lora.targets: \['nosuch'\].*q_proj"):
        adapters.add(tiny.language_model(), Lora(targets=["nosuch"]), seed=1)


def test_the_frozen_model_shares_the_weights_and_stays_what_it_was():
    model = tiny.language_model()
    frozen = sharing_copy(model, model.base_model.parameters())
    before = losses.forward(frozen, ROWS).detach()
    adapted(model)
    assert torch.equal(losses.forward(frozen, ROWS), before)
    assert not torch.allclose(losses.forward(model, ROWS), before)
    weights = {p.data_ptr() for p in model.parameters()}
    assert all(p.data_ptr() in weights for p in frozen.base_model.parameters())
    assert not any(p.requires_grad for p in frozen.parameters())
    adapters.merge(model)
    assert torch.equal(losses.forward(frozen, ROWS), before)


def go(folder, name: str, objective: str, task: str, **changes) -> None:
    training = {"epochs": 2, "learning_rate": 1e-1, "batch": {"forget": 2, "retain": 2}, "lora": {"rank": 2}}
    cfg = {"task": task, "model": CFG[task], "finetune": {"batch": {"retain": 2}}}
    cfg["method"] = {"objective": objective, "training": training | changes}
    job = Job(cfg, 1, objective, folder / name, folder / f"{name}.state", None)
    unlearn(job, folder, folder, *[folder / "original"] * 2)


def run(folder, name: str, objective: str, task: str, **changes):
    go(folder, name, objective, task, **changes)
    return models.load(folder / name / "model", task)[0].state_dict()


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folders = {task: tmp_path_factory.mktemp(task) for task in CFG}
    for task, folder in folders.items():
        study(folder, task)
    return folders


REFERRING = [
    (name, task)
    for name in plugins.names_in("objectives")
    if (task := plugins.tasks_of("objectives", name)[0])
    and "run.original" in (plugins.PACKAGE / f"objectives/{name}.py").read_text()
    and name not in ("dp_decoding", "in_context", "o3")  # train nothing; has adapters of its own
]


@pytest.mark.parametrize(("objective", "task"), REFERRING, ids=[name for name, _ in REFERRING])
def test_a_reference_that_shares_weights_is_as_good_as_one_of_its_own(studies, monkeypatch, objective, task):
    monkeypatch.setattr(
        "lethe.training.run.EpochCheck", lambda *args: no_check
    )  # the texts are too short for it
    found = run(studies[task], f"{objective}-shared", objective, task)
    monkeypatch.setattr(Run, "sharing", False)
    assert equal(found, run(studies[task], f"{objective}-own", objective, task))
    assert not equal(found, models.load(studies[task] / "original", task)[0].state_dict())


@pytest.mark.parametrize("sharded", [False, True], ids=["copies", "sharded"])
def test_two_processes_follow_the_trajectory_of_one(studies, sharded):
    folder, name = studies["generation"], f"two-{sharded}"
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "micro_batch": 1}
    one = run(folder, f"one-{sharded}", "npo", "generation", **settings)
    settings |= {"processes": 2, "sharded": sharded}
    statuses = together(folder, lambda rank: go(folder, name, "npo", "generation", **settings))
    assert statuses == [0, 0], "".join(log.read_text() for log in folder.glob("*.log"))[-3000:]
    two = models.load(folder / name / "model", "generation")[0].state_dict()
    before = models.load(folder / "original", "generation")[0].state_dict()
    assert one.keys() == two.keys() and not equal(one, before)
    for weight, value in one.items():
        torch.testing.assert_close(two[weight], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("objective", "task"),
    [("kl_minimisation", "generation"), ("rmu", "generation"), ("deepcut", "classification")],
)
def test_a_killed_run_ends_with_the_same_bits_in_a_model_like_any_other(
    tmp_path, terminated_after, objective, task
):
    study(tmp_path, task)
    expected = run(tmp_path, "undisturbed", objective, task)
    terminated_after(3)
    with pytest.raises(SystemExit):
        run(tmp_path, "killed", objective, task)
    found = run(tmp_path, "killed", objective, task)
    assert equal(found, expected)
    before = models.load(tmp_path / "original", task)[0].state_dict()
    assert before.keys() == found.keys()
    changed = {name for name, weight in before.items() if not torch.equal(weight, found[name])}
    heads = {"classifier.weight", "classifier.bias"}
    assert changed and all(
        name in heads or (name.endswith(".weight") and ".ln_" not in name) for name in changed
    )
    assert objective != "rmu" or all(name.startswith("transformer.h.0.") for name in changed)
