"""What a checkpoint holds, gives back and refuses: small models, tensor by tensor."""

import copy
import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import distributed, nn
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from lethe.training import checkpoints
from lethe.training.checkpoints import load, save, split_like, whole

STATE = {"fingerprint": "this run", "step": 3, "trace": [{"loss": 0.5}]}


def trained(seed: int = 0, steps: int = 2):
    """A model of two layers, of which the bias of the second does not train, and its optimiser after some steps."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    model[1].bias.requires_grad_(False)
    groups = [{"params": [p for p in layer.parameters() if p.requires_grad]} for layer in model]
    optimizer = torch.optim.AdamW(groups, lr=0.1 / (1 + seed))
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state.safetensors"


def test_what_is_loaded_is_what_was_saved(file):
    """The weights that train, what the optimiser remembers of each, and the state; rates stay those of the new run."""
    (model, optimizer), (other, theirs) = trained(0), trained(1, steps=5)
    save(file, model, optimizer, STATE)
    frozen = other[1].bias.clone()
    assert load(file, other, theirs, "this run") == STATE
    for name, parameter in other.named_parameters():
        expected = frozen if name == "1.bias" else model.get_parameter(name)
        assert torch.equal(parameter, expected), name
    assert other[0].weight.requires_grad
    assert [group["lr"] for group in theirs.param_groups] == [0.05, 0.05]
    kept, found = optimizer.state_dict()["state"], theirs.state_dict()["state"]
    assert kept.keys() == found.keys() == {0, 1, 2}
    assert all(same(kept[index], found[index]) for index in kept)


def test_a_step_after_loading_is_the_step_that_would_have_followed(file):
    (model, optimizer), (other, theirs) = trained(0), trained(0, steps=0)
    save(file, model, optimizer, STATE)
    load(file, other, theirs, "this run")
    for one, steps in ((model, optimizer), (other, theirs)):
        steps.zero_grad()
        one(torch.ones(4, 3)).square().sum().backward()
        steps.step()
    assert same(model.state_dict(), other.state_dict())


def test_the_file_holds_what_trains_and_all_of_what_is_only_read_again(file):
    model, optimizer = trained()
    save(file, model, optimizer, STATE)
    slots = {f"optimizer.{index}.{slot}" for index in range(3) for slot in ("step", "exp_avg", "exp_avg_sq")}
    weights = {f"model.{name}" for name in ("0.weight", "0.bias", "1.weight")}
    kept = load_file(file)
    assert kept.keys() == {"state"} | weights | slots
    assert json.loads(kept["state"].numpy().tobytes()) == STATE
    assert torch.equal(kept["model.0.weight"], model[0].weight)
    save(file, model, None, STATE)
    assert load_file(file).keys() == {"state", "model.1.bias"} | weights


def test_slots_that_are_numbers_are_kept_as_tensors(file):
    model = nn.Linear(1, 1)

    class Optimizer:
        def state_dict(self):
            return {"state": {0: {"step": 7}}}

    save(file, model, Optimizer(), STATE)
    assert load_file(file)["optimizer.0.step"] == 7


def test_of_several_processes_one_writes_and_the_others_keep_nothing(file, monkeypatch):
    model, optimizer = trained()
    wanted = []
    monkeypatch.setattr(
        checkpoints, "whole", lambda tensor, want: [wanted.append(want), whole(tensor, want)][1]
    )
    save(file, model, optimizer, STATE, write=False)
    assert list(file.parent.iterdir()) == []
    assert wanted == [False] * 12  # 3 weights, and 3 slots of each


def test_a_full_disk_is_an_error_that_names_the_file(file, monkeypatch):
    model, optimizer = trained()
    save(file, model, optimizer, STATE)
    before = file.read_bytes()

    def full(tensors, path):
        raise SafetensorError("no space left")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match=r"state\.safetensors: no space left$"):
        save(file, model, optimizer, STATE | {"step": 4})
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


def test_without_a_file_nothing_is_continued(file, caplog):
    model, optimizer = trained()
    assert load(file, model, optimizer, "this run") is None
    assert caplog.records == []


@pytest.mark.parametrize("fingerprint", ["another run", "", "this run and more"])
def test_a_file_of_another_run_is_removed_and_changes_nothing(file, fingerprint, caplog):
    model, optimizer = trained()
    save(file, *trained(1), STATE)
    before = copy.deepcopy(model.state_dict())
    assert load(file, model, optimizer, fingerprint) is None
    assert not file.exists() and same(model.state_dict(), before) and caplog.records == []


@pytest.mark.parametrize("damage", ["cut", "no state", "no fingerprint", "no JSON"])
def test_a_damaged_file_is_removed_and_said(file, damage, caplog):
    model, optimizer = trained()
    save(file, *trained(1), STATE if damage != "no fingerprint" else {})
    tensors = load_file(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif damage == "no state":
        checkpoints.save_file({"model.0.weight": tensors["model.0.weight"]}, file)
    elif damage == "no JSON":
        checkpoints.save_file(tensors | {"state": tensors["state"][1:].clone()}, file)
    before = copy.deepcopy(model.state_dict())
    assert load(file, model, optimizer, "this run") is None
    assert not file.exists() and same(model.state_dict(), before)
    error = {"cut": "SafetensorError", "no state": "SafetensorError", "no fingerprint": "KeyError"}
    kind = error.get(damage, "JSONDecodeError")
    assert caplog.messages == [f"{file}: unreadable checkpoint ({kind}), starting over"]
    assert caplog.records[0].name == "lethe.checkpoints"


# ------------------------------------------------------------------ tensors that are split among processes


class Split:
    """A tensor as far as it looks split: put together, which is counted, it is `all_of`."""

    def __init__(self, shape, all_of=None):
        self.shape, self.all_of, self.asked = torch.Size(shape), all_of, 0

    def detach(self):
        return self

    def full_tensor(self):
        self.asked += 1
        return self.all_of


def test_a_tensor_is_put_together_and_kept_where_it_is_wanted():
    weight = nn.Parameter(torch.arange(6.0).view(2, 3)).T  # not contiguous
    found = whole(weight)
    assert torch.equal(found, weight) and found.is_contiguous() and not found.requires_grad
    split = Split((1,), weight.detach())
    assert torch.equal(whole(split), weight)
    assert whole(weight, wanted=False).shape == whole(split, wanted=False).shape == (0,)
    assert split.asked == 2, "putting together takes every process"


def test_a_value_stays_whole_where_nothing_is_split():
    value = torch.arange(4.0)
    assert split_like(torch.zeros(4), value) is value
    assert split_like(Split((2,)), value) is value, "as the number of a step, which no process has a part of"


@pytest.fixture
def mesh():
    """Of a single process, whose part is the whole."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.device_mesh.init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_a_value_is_split_as_its_like_is(mesh):
    like = distribute_tensor(torch.zeros(2, 3), mesh, [Shard(1)])
    value = torch.arange(6.0).view(2, 3)
    found = split_like(like, value)
    assert isinstance(found, DTensor) and found.placements == (Shard(1),) and found.device_mesh == mesh
    assert torch.equal(whole(found), value)


def test_what_is_split_is_continued_from_what_was_saved_whole(mesh, file):
    (model, optimizer), (other, _) = trained(0), trained(1)
    save(file, model, optimizer, STATE)
    for layer in other:
        for name, parameter in list(layer.named_parameters()):
            split = nn.Parameter(
                distribute_tensor(parameter.detach(), mesh, [Shard(0)]), parameter.requires_grad
            )
            layer.register_parameter(name, split)
    theirs = torch.optim.AdamW([p for p in other.parameters() if p.requires_grad])
    assert load(file, other, theirs, "this run") == STATE
    assert torch.equal(whole(other[0].weight), model[0].weight) and isinstance(other[0].weight, DTensor)
    kept = optimizer.state[model[0].weight]
    found = theirs.state[other[0].weight]
    assert torch.equal(whole(found["exp_avg"]), kept["exp_avg"]) and isinstance(found["exp_avg"], DTensor)
    assert found["step"] == 2 and not isinstance(found["step"], DTensor)
