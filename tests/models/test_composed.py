"""Models composed of several: what they answer, what is decoded of them exactly, and what their folder costs."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import causal_models
import numpy as np
import pandas as pd
import pytest
import slow_extraction
import tiny
import torch
from test_unlearn import study

from lethe import losses, models
from lethe.data.encoding import Encoded
from lethe.models import composed
from lethe.models.composed import Composed, Mean, Mixture, Offset, cache_windows, heads
from lethe.models.loading import load_composed
from lethe.perturbations import quantise, relearn
from lethe.system import files
from lethe.system.errors import InputError

GOLDEN = Path(__file__).parents[3] / "shared/golden/systems/offset.json"
MIXED = ("gpt_neo", "gpt2", "mistral")


def offset_of(architectures=MIXED, alpha=0.7):
    """Three models that differ in architecture and in their weights."""
    made = [causal_models.untrained(name, seed) for seed, name in enumerate(architectures)]
    return Composed(dict(zip(("large", "trained", "start"), made, strict=True)), Offset(alpha))


@pytest.fixture(scope="module")
def texts():
    return causal_models.texts(4)


@pytest.mark.parametrize(
    "model",
    [offset_of(), Composed({"one": causal_models.untrained("gpt_neo", 3)}, Mixture(0.4))],
    ids=["offset", "mixture"],
)
def test_what_is_decoded_is_that_of_passes_without_a_cache(model, texts):
    """One cache holds the layers of all members, of which each has windows of its own."""
    texts, lengths = texts[:, :13], np.array([13, 7, 11, 9])
    slow_extraction.check_decoding(model, texts, lengths)


def test_a_cache_has_the_layers_of_all_members():
    assert cache_windows(offset_of()) == [None, 5, None, None, None, None]
    assert len(heads(offset_of())) == 3 and heads(tiny.classifier()) == []


def test_offsets_are_the_published_numbers():
    if not GOLDEN.exists():
        pytest.skip("golden values are kept outside of the repository")
    golden = json.loads(GOLDEN.read_text())
    logits = [torch.tensor(golden[f"logits_{n}"]) for n in ("large", "small_trained", "small_start")]
    for case in golden["cases"]:
        found = Offset(case["alpha"])(logits)
        torch.testing.assert_close(
            found.log_softmax(-1), torch.tensor(case["log_probabilities"]), rtol=1e-5, atol=1e-6
        )
        rows = losses.Rows(torch.tensor(golden["input_ids"]), torch.full((3,), 5))
        torch.testing.assert_close(losses.nll(found, rows), torch.tensor(case["ell"]), rtol=1e-5, atol=1e-6)
    logits[1].requires_grad_(True)
    losses.nll(Offset(0.5)(logits), rows)[0].backward()
    expected = torch.tensor(golden["gradient_of_ell_row_0_alpha_0.5"])
    torch.testing.assert_close(logits[1].grad[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_an_offset_begins_as_the_large_model_to_the_bit(alpha, texts):
    large, start = causal_models.untrained("gpt_neo", 1), causal_models.untrained("gpt2", 2)
    model = Composed({"large": large, "trained": copy.deepcopy(start), "start": start}, Offset(alpha))
    with torch.no_grad():
        assert torch.equal(model(input_ids=texts).logits, large(input_ids=texts).logits)


def test_the_gradient_is_that_of_the_logits_times_alpha_and_reaches_one_member(texts):
    for alpha in (0.0, 0.5):
        model = offset_of(alpha=alpha)
        model.requires_grad_(False)
        model.members["trained"].requires_grad_(True)
        rows = losses.Rows(texts, torch.full((4,), 20))
        losses.example_loss(model, rows).mean().backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        assert all(name.startswith("members.trained.") for name in gradients)
        assert all(bool((g == 0).all()) for g in gradients.values()) == (alpha == 0)


def test_members_that_learn_nothing_have_no_dropout(texts):
    members = {name: tiny.language_model(seed) for seed, name in enumerate(("large", "trained", "start"))}
    model = Composed(members, Offset(1.0))
    model.members["large"].requires_grad_(False)
    model.train()
    assert [m.training for m in members.values()] == [False, True, True] and model.training
    model.eval()
    assert not any(m.training for m in model.modules())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The original of a study, and a folder of it with another model as its pair."""
    folder = tmp_path_factory.mktemp("composed")
    study(folder, "generation")
    original, tokenizer = models.load(folder / "original", "generation")
    other, _ = models.load(folder / "original", "generation")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    model = Composed({"large": original, "trained": other, "start": copy.deepcopy(original)}, Offset(0.5))
    models.save(model, tokenizer, folder / "model")
    return folder, model


def test_a_saved_model_answers_as_before(saved):
    folder, model = saved
    found, tokenizer = models.load(folder / "model", "generation")
    rows = tiny.rows(3)
    with torch.no_grad():
        assert torch.equal(losses.forward(found, rows), losses.forward(model, rows))
    assert found.rule == Offset(0.5) and not found.training
    assert tokenizer.get_vocab() == models.tokenizer(folder / "original").get_vocab()


def test_a_member_that_is_the_original_has_its_files_to_the_byte(saved):
    """So that a store of files by their digests, as DVC's, keeps them once."""
    folder, _ = saved
    for member in (folder / "model/large", folder / "model/start"):
        for file in member.iterdir():
            assert file.read_bytes() == (folder / "original" / file.name).read_bytes()
    assert files.digest(folder / "model/large/model.safetensors") == files.digest(
        folder / "original/model.safetensors"
    )


def test_the_original_within_costs_dvc_no_second_copy(saved, tmp_path):
    """A real store, to which a model of three members that are the original adds what lies beside these alone."""
    folder, _ = saved
    model = Composed(
        {name: models.load(folder / "original", "generation")[0] for name in ("large", "trained", "start")},
        Offset(0.5),
    )
    shutil.copytree(folder / "original", tmp_path / "original")
    models.save(model, models.tokenizer(folder / "original"), tmp_path / "model")

    def stored(*command: str) -> dict[str, int]:
        """Objects of the cache and their sizes after a command; lists of folders are none."""
        found = subprocess.run(
            [sys.executable, "-m", "dvc", *command], cwd=tmp_path, env=own, capture_output=True, text=True
        )
        assert found.returncode == 0, found.stderr
        objects = [file for file in (tmp_path / ".dvc/cache/files").rglob("*") if file.is_file()]
        return {file.name: file.stat().st_size for file in objects if file.suffix != ".dir"}

    own = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    own |= {
        "DVC_GLOBAL_CONFIG_DIR": str(tmp_path),
        "DVC_SYSTEM_CONFIG_DIR": str(tmp_path),
        "DVC_NO_ANALYTICS": "1",
    }
    stored("init", "-q", "--no-scm")
    before = stored("add", "-q", "original")
    after = stored("add", "-q", "original", "model")
    assert sum(before.values()) > 20_000 and before.items() <= after.items()
    beside = ["composed.json", "tokenizer_config.json"]  # of which the second says how it was loaded
    sizes = [(tmp_path / "model" / name).stat().st_size for name in beside]
    assert sorted(after[name] for name in after.keys() - before.keys()) == sorted(sizes)
    assert len(list((tmp_path / "model").rglob("model.safetensors"))) == 3


def test_quantising_rounds_all_members_but_their_heads(saved):
    model = models.load(saved[0] / "model", "generation")[0]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    quantise.perturb_model(quantise.Options(8), model, {}, None)
    changed = {name.split(".")[1] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"large", "trained", "start"}
    assert all(torch.equal(head.weight, before[f"members.{name}.transformer.wte.weight"])
               for name, head in zip(model.members, heads(model), strict=True))  # fmt: skip


def test_relearning_reaches_the_large_model(saved):
    model = models.load(saved[0] / "model", "generation")[0]
    before = model.members["large"].transformer.wte.weight.detach().clone()
    options = relearn.Options(level=1, examples=2)
    sets = {"forget": pd.DataFrame({"id": list("abcd")})}
    relearn.perturb_model(options, model, sets, lambda frame: Encoded(frame["id"], tiny.rows(len(frame))))
    assert not torch.equal(before, model.members["large"].transformer.wte.weight)


def test_hidden_states_are_side_by_side():
    members = [tiny.classifier(seed) for seed in range(2)]
    model, rows = Composed({"a": members[0], "b": members[1]}, Mean()), tiny.rows(3, True)
    found = model(input_ids=rows.input_ids, attention_mask=rows.mask.long(), output_hidden_states=True)
    each = [
        m(input_ids=rows.input_ids, attention_mask=rows.mask.long(), output_hidden_states=True)
        for m in members
    ]
    torch.testing.assert_close(found.hidden_states[-1], torch.cat([o.hidden_states[-1] for o in each], -1))


RIGHT = {"rule": "offset", "options": {"alpha": 1.0}, "members": ["large", "trained", "start"]}
WRONG = {
    "a list": [],
    "no rule": {"members": ["a"]},
    "unknown rule": RIGHT | {"rule": "sum"},
    "a rule that is a list": RIGHT | {"rule": []},
    "too few members": RIGHT | {"members": ["large", "trained"]},
    "members elsewhere": RIGHT | {"members": ["../large", "trained", "start"]},
    "members that are no names": RIGHT | {"members": [1, 2, 3]},
    "no option": RIGHT | {"options": {}},
    "unknown option": RIGHT | {"options": {"alpha": 1.0, "beta": 1.0}},
    "a text": RIGHT | {"options": {"alpha": "much"}},
    "no number": RIGHT | {"options": {"alpha": float("nan")}},
    "beyond measure": RIGHT | {"options": {"alpha": 1e300}},
    "no share": {"rule": "mixture", "options": {"uniform": 2.0}, "members": ["a"]},
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_a_file_that_does_not_say_what_belongs_together_is_named(tmp_path, content):
    file = tmp_path / composed.FILE
    file.write_text(json.dumps(RIGHT))
    assert composed.read(file) == (RIGHT["members"], composed.Offset(1.0))
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"{composed.FILE}: cannot be read") as error:
        load_composed(file, "generation", "fp32", False)
    assert "\n" not in str(error.value)
