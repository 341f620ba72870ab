"""Methods that leave the original's weights as they are: rules by hand, their limits, and what is saved."""

import json

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from safetensors.torch import load_file
from test_unlearn import CFG, study
from test_weighted_ascent import TWO, probabilities

from lethe import losses, models
from lethe.data.prompts import with_beginning
from lethe.models.composed import Composed, Difference, Reduced
from lethe.objectives import uld
from lethe.system.errors import InputError
from lethe.training.job import Job
from lethe.unlearn import unlearn

BATCH = {"forget": tiny.rows(3, seed=1), "retain": tiny.rows(4, seed=2)}


def test_the_rules_by_hand():
    original, other = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[4.0, 1.0, 3.0]])
    assert Reduced(0.5)([original, other]).tolist() == [[-0.5, 2.0, 3.0]]
    assert Difference(0.5)([original, other]).tolist() == [[-1.0, 1.5, 1.5]]
    for rule in (Reduced(0.0), Difference(0.0)):
        assert torch.equal(rule([original, other]), original)


def test_an_assistant_learns_what_is_to_go_and_nothing_of_the_rest():
    model = tiny.language_model()
    terms = uld.loss(uld.Hyper(uniform=2.0), model, None, BATCH)
    torch.testing.assert_close(terms["learn"], losses.example_loss(model, BATCH["forget"]))
    for row, length in enumerate(BATCH["retain"].lengths.tolist()):
        log_p = model(input_ids=BATCH["retain"].input_ids[row : row + 1, :length]).logits[0].log_softmax(-1)
        expected = -2 * log_p[:-1].mean()
        assert terms["uniform"][row].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_gradient_of_an_assistant_by_hand():
    """p − onehot of what is to go, and p − 1/3 of what is kept, each a mean over two tokens."""
    rows = {"forget": TWO, "retain": TWO}
    even = torch.full((3,), 1 / 3)
    for term, targets in (("learn", torch.eye(3)[:2]), ("uniform", torch.stack([even, even]))):
        model = probabilities([0.5, 0.25, 0.25], [0.5, 0.25, 0.25])
        uld.loss(uld.Hyper(), model, None, rows)[term].sum().backward()
        expected = (torch.tensor([0.5, 0.25, 0.25]) - targets) / 2
        torch.testing.assert_close(model.logits.grad[0, :2], expected)


def run(folder, objective: str, hyper: dict, **training) -> models.Composed:
    recipe = {"epochs": 2, "learning_rate": 1e-2, "batch": {"forget": 2, "retain": 2}} | training
    method = {"objective": objective, "hyper": hyper, "training": recipe}
    cfg = {"task": "generation", "model": CFG["generation"], "method": method}
    unlearn(
        Job(cfg, 1, "run", folder / "out", folder / "state", None), folder, folder, folder / "original", None
    )
    return models.load(folder / "out/model", "generation")[0]


@pytest.mark.parametrize("training", [{}, {"lora": {"rank": 2}}], ids=["weights", "adapters"])
@pytest.mark.parametrize(("objective", "other"), [("who", "learnt"), ("uld", "assistant")])
def test_the_original_is_kept_beside_what_was_trained(tmp_path, objective, other, training):
    study(tmp_path, "generation")
    found = run(tmp_path, objective, {"alpha": 0.5}, **training)
    assert isinstance(found, Composed) and list(found.members) == ["original", other]
    before = load_file(tmp_path / "original/model.safetensors")
    kept, trained = (
        load_file(tmp_path / f"out/model/{name}/model.safetensors") for name in ("original", other)
    )
    assert all(torch.equal(kept[name], before[name]) for name in before)
    assert any(not torch.equal(trained[name], before[name]) for name in before)
    rule = json.loads((tmp_path / "out/model/composed.json").read_text())
    assert rule["options"] == {"alpha": 0.5}
    assert len(pd.read_csv(tmp_path / "out/trace.csv")) == 4
    ids = torch.arange(5)[None]
    with torch.no_grad():
        each = [part(input_ids=ids).logits for part in found.members.values()]
        torch.testing.assert_close(found(input_ids=ids).logits, found.rule(each))


def test_without_alpha_it_is_the_original(tmp_path):
    study(tmp_path, "generation")
    found, ids = run(tmp_path, "who", {"alpha": 0.0}), torch.arange(5)[None]
    original = models.load(tmp_path / "original", "generation")[0]
    with torch.no_grad():
        assert torch.equal(found(input_ids=ids).logits, original(input_ids=ids).logits)


def test_an_instruction_is_kept_with_the_model_and_put_before_prompts(tmp_path):
    study(tmp_path, "generation")
    with pytest.raises(InputError, match="in_context is for prompts and answers"):
        run(tmp_path, "in_context", {})
    table = pd.read_parquet(tmp_path / "examples.parquet")
    table["prompt"] = [[{"role": "user", "content": "one two"}] for _ in range(len(table))]
    table.to_parquet(tmp_path / "examples.parquet")
    model = run(tmp_path, "in_context", {"instruction": "three "})
    assert model.config.instruction == "three "
    before, after = (load_file(tmp_path / f / "model.safetensors") for f in ("original", "out/model"))
    assert all(torch.equal(after[name], before[name]) for name in before)
    frame = with_beginning(table.head(2), model.config.instruction)
    assert [turns[0]["content"] for turns in frame["prompt"]] == ["three one two"] * 2
    tokenizer = models.tokenizer(tmp_path / "out/model")
    plain, told = (tiny.encode(f, tokenizer, 64, []).rows for f in (table.head(2), frame))
    longer = len(tokenizer("three ", add_special_tokens=False)["input_ids"])
    assert np.abs((told.starts - plain.starts).numpy() - longer).max() <= 1
