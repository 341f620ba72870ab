"""The files of docs/extending.md, and methods of another shape, in a folder beside the package: found, run, resumed."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
import torch
from safetensors.torch import load_file
from test_unlearn import CFG, study

from lethe import models
from lethe.__main__ import main
from lethe.params.training import Training
from lethe.system import plugins
from lethe.system.streams import stream_seed
from lethe.training.rows import Examples
from lethe.training.training import FINE_TUNING, fine_tuning, train_model

TEXT = (Path(__file__).parents[1] / "docs/extending.md").read_text(encoding="utf-8")
FILES = re.findall(r"`own/(\w+)/(\w+)\.py`:\n\n```python\n(.*?)```", TEXT, re.DOTALL)
AVERAGE = '''"""The mean of the original's weights and those after descent on what is kept (Wortsman et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lethe.objectives import gradient_difference
from lethe.params.fields import Fraction

NEEDS = ("text",)
TERMS = {"forget": "forget", "retain": "retain"}


@dataclass(frozen=True)
class Hyper(gradient_difference.Hyper):
    share: Fraction = 0.5  # of the model after descent


def unlearn(hyper: Hyper, run):
    model = run.minimise(gradient_difference.loss, hyper)
    again = run.minimise(gradient_difference.loss, hyper, model=run.original(), name="again")
    with torch.no_grad():
        for own, one, two in zip(run.original().parameters(), model.parameters(), again.parameters(), strict=True):
            one.copy_(hyper.share * (one + two) / 2 + (1 - hyper.share) * own)
    return model
'''
TRAINING = {"epochs": 2, "learning_rate": 1e-2, "batch": {"forget": 2, "retain": 2}, "dropout": True}


@pytest.fixture
def own(own_plug_ins):
    """The folder with all files of the documentation, and another method."""
    files = {f"{kind}_{name}": text for kind, name, text in FILES}
    return own_plug_ins(**files, objectives_average=AVERAGE)


def unlearn(folder: Path, own: Path, run: str, objective: str, **changes) -> Path:
    """The outputs of `lethe unlearn`."""
    method = {"objective": objective, "training": TRAINING | changes}
    cfg = {"task": "generation", "model": CFG["generation"], "method": method, "plugins": [str(own)]}
    argv = [
        "--seed=1",
        f"--run={run}",
        f"--prepared={folder}",
        f"--forget={folder}",
        f"--model={folder}/original",
    ]
    outputs = [f"--out={folder}/{run}", f"--checkpoint={folder}/{run}.state"]
    assert main(["unlearn", f"--cfg={json.dumps(cfg)}", *argv, *outputs]) == 0
    return folder / run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("lora", [None, {"rank": 2}], ids=["weights", "adapters"])
def test_a_task_vector_is_the_step_away_from_what_was_learnt(tmp_path, own, lora):
    study(tmp_path, "generation")
    found = weights(unlearn(tmp_path, own, "run", "negated", lora=lora) / "model")
    model, tokenizer = models.load(tmp_path / "original", "generation")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rows = Examples(tmp_path, tmp_path, tokenizer, 16).of("forget").rows
    recipe = Training.model_validate(TRAINING | {"lora": lora})
    batches = fine_tuning(rows, recipe, stream_seed(1, "learnt"))
    train_model(model, FINE_TUNING, batches, "", tmp_path / "never written")
    for name, learnt in model.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], 2 * before[name] - learnt, rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(found[name], before[name]) for name in before)
    cost = json.loads((tmp_path / "run/cost.json").read_text())
    assert cost["steps"] == len(pd.read_csv(tmp_path / "run/trace.csv")) == 2 * 2


@pytest.mark.parametrize(("objective", "steps"), [("negated", 4), ("average", 8), ("margin", 4)])
def test_a_killed_run_ends_with_the_same_bits(tmp_path, own, terminated_after, objective, steps):
    """Killed while a model is fitted, in either of two trainings, and in the only one."""
    study(tmp_path, "generation")
    whole = unlearn(tmp_path, own, "whole", objective)
    assert len(pd.read_csv(whole / "trace.csv")) == steps

    terminated_after(2, steps - 1)
    for _ in range(2):
        with pytest.raises(SystemExit):
            unlearn(tmp_path, own, "killed", objective)
    killed = unlearn(tmp_path, own, "killed", objective)
    one, other = weights(whole / "model"), weights(killed / "model")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert (whole / "trace.csv").read_text() == (killed / "trace.csv").read_text()
    assert any(not torch.equal(value, one[name]) for name, value in weights(tmp_path / "original").items())
    assert not list(tmp_path.glob("killed.state*"))


def test_what_minimise_or_fit_does_not_know_is_an_error(tmp_path, own, own_plug_ins):
    study(tmp_path, "generation")
    calls = {
        "run.minimise(gradient_difference.loss, hyper, whole_bacth=True)": TypeError,
        "run.minimise(gradient_difference.loss, hyper, prefix=0.5)": ValueError,
        'run.minimise(gradient_difference.loss, hyper, pairs="random")': ValueError,
        'run.fit("a", run.original(), run.rows("test"))': ValueError,
    }
    for number, (call, error) in enumerate(calls.items()):
        source = AVERAGE.replace("run.minimise(gradient_difference.loss, hyper)\n", f"{call}\n")
        own_plug_ins(**{f"objectives_wrong{number}": source})
        with pytest.raises(error):
            unlearn(tmp_path, own, "wrong", f"wrong{number}")


def test_a_method_that_returns_no_model_is_told_by_its_file(tmp_path, own, own_plug_ins, capsys):
    study(tmp_path, "generation")
    own_plug_ins(objectives_wrong=AVERAGE.replace("    return model\n", ""))
    with pytest.raises(AssertionError):
        unlearn(tmp_path, own, "wrong", "wrong")
    assert "own/objectives/wrong.py: unlearn returned NoneType; needed is a model" in capsys.readouterr().err


def test_the_metric_is_measured_with_all_others(tmp_path, own):
    scores = synthetic.generation_scores(0, 1.0)
    np.savez(tmp_path / "scores.npz", **scores)
    cfg = json.dumps({"measure": {}, "plugins": [str(own)]})
    assert (
        main(
            ["measure", f"--cfg={cfg}", "--seed=0", f"--scores={tmp_path}/scores.npz", f"--out={tmp_path}/m"]
        )
        == 0
    )
    numbers = json.loads((tmp_path / "m/metrics.json").read_text())
    assert numbers["bits_forget"] == pytest.approx(numbers["loss_forget"] / np.log(2))
    assert "bits" in pd.read_parquet(tmp_path / "m/metrics.parquet")


def test_the_data_set_is_prepared(tmp_path, own):
    dataset = {"source": "clock", "sizes": {"train": 20, "validation": 4, "holdout": 4, "test": 4}}
    cfg = {"task": "generation", "seed": 0, "dataset": dataset, "plugins": [str(own)]}
    assert main(["prepare", f"--cfg={json.dumps(cfg)}", f"--out={tmp_path}/prepared"]) == 0
    texts = pd.read_parquet(tmp_path / "prepared/examples.parquet")["text"]
    assert len(texts) == 32 and texts.str.contains("minutes past").all()


def test_the_perturbation_words_texts_otherwise(own):
    typos = plugins.imported("perturbations", "typos")
    text = "the quick brown fox"
    always, never = (np.random.default_rng(0) for _ in range(2))
    assert (
        typos.rewritten(typos.Options(100), text, always) == text[1:] + text[0]
    )  # one letter goes to the end
    changed = typos.rewritten(typos.Options(5), text, never)
    assert changed != text and sorted(changed) == sorted(text)


def test_all_of_them_are_listed(tmp_path, own, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command, expected in (
        ("methods", "average (generation): The mean of the original's weights and those after descent on what is kept"
                    " (Wortsman et al., 2022).\n    retain: 1.0\n    share: 0.5  # of the model after descent\n"),
        ("metrics", "bits (generation): Bits per token of each text.\n"),
        ("datasets", "clock: What the time is, in words.\n    texts: 40\n"),
        ("tasks", "similarity: Similarity: the model says by a number how much two sentences mean the same.\n"),
        ("perturbations", "typos (classification, generation): Typing errors: neighbouring letters change places.\n"
                          "    level: must be given  # share of the places with an error, %\n"),
    ):  # fmt: skip
        (tmp_path / "params.yaml").unlink(missing_ok=True)
        assert main([command]) == 0
        assert expected not in capsys.readouterr().out
        (tmp_path / "params.yaml").write_text("plugins: [own]\n")
        assert main([command]) == 0
        assert expected in capsys.readouterr().out
    assert {kind for kind, _, _ in FILES} == {*plugins.KINDS}
