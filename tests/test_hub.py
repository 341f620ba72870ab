"""Models and data sets named by their ids on the Hub: from the cache of its client, or a server that speaks as it."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from hub_folder import chat_model, hub_folder
from hub_server import hub
from peft import LoraConfig, get_peft_model
from test_given_study import DATASET, content
from test_unlearn import study as small_study
from transformers import AutoModelForCausalLM
from whole_study import make

from lethe import models
from lethe.__main__ import main
from lethe.evaluation.scores import load
from lethe.params.addresses import folder_of
from lethe.system.errors import InputError
from lethe.system.files import digest

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


def cached(home, owner_name, folder, revision):
    """Put a folder where the Hub's client keeps a revision of a model."""
    of = home / f"models--{owner_name.replace('/', '--')}"
    shutil.copytree(folder, of / "snapshots" / COMMITS[revision])
    (of / "refs").mkdir(exist_ok=True)
    (of / "refs" / revision).write_text(COMMITS[revision])
    return of / "snapshots" / COMMITS[revision]


def cache(folder, monkeypatch):
    """Let the Hub's client keep its models below a folder, and have no network; where it keeps them."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder / "hub"


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A cache without a network: owner/chat at two revisions, and owner/retrain; their folders."""
    monkeypatch.chdir(tmp_path)
    cache(tmp_path, monkeypatch)
    found = {}
    for seed, (name, revision) in enumerate((("chat", "main"), ("chat", "v1"), ("retrain", "main"))):
        plain = chat_model(tmp_path / f"{name}-{revision}", seed)
        found[name, revision] = cached(tmp_path / "hub", f"owner/{name}", plain, revision)
    return found


def test_a_study_of_models_of_the_hub_records_their_commits(offline, tmp_path):
    hub_folder(tmp_path / "data")
    given = {"original": "owner/chat@v1", "retrain": ["owner/retrain"]}
    cheap = {"extract": [], "most": 4, "n": [3], "tries": 0}
    make(content(given, DATASET | {"probes": {}}, seeds=[0], score=cheap))
    target, retrain = offline["chat", "v1"], offline["retrain", "main"]
    record = json.loads(
        (tmp_path / folder_of("unlearn", "tofu", "gradient_difference", 0) / "run.json").read_text()
    )
    assert record["given"] == {"source": "owner/chat", "revision": "b" * 40, "sha256": digest(target)}
    assert record["settings"]["model"]["revision"] == "v1"
    scored = json.loads(
        str(load(tmp_path / folder_of("score", "tofu", "retrain", 0) / "scores.npz")["model"])
    )
    assert scored == {"source": "owner/retrain", "revision": "a" * 40, "sha256": digest(retrain)}
    page = (tmp_path / "results/report/report.html").read_text()
    assert f"owner/chat@{'b' * 40}, SHA-256 {digest(target)[:16]}" in page
    assert not (tmp_path / "results/train").exists()


def test_steps_on_the_command_line_record_what_they_had_from_the_hub(offline, tmp_path):
    """Also where no study says that the model is given."""
    small_study(tmp_path, "generation")
    recipe = {"objective": "gradient_ascent", "training": {"epochs": 1, "batch": {"forget": 2}}}
    cfg = {
        "task": "generation",
        "model": {"source": "owner/chat", "max_length": 24},
        "method": recipe,
        "score": {"extract": []},
    }
    data = [
        "--prepared",
        str(tmp_path),
        "--forget",
        str(tmp_path),
        "--model",
        "owner/chat@v1",
        "--cfg",
        json.dumps(cfg),
    ]
    assert main(["unlearn", *data, "--run", "ascent", "--seed", "0", "--out", str(tmp_path / "out")]) == 0
    known = {"source": "owner/chat", "revision": "b" * 40, "sha256": digest(offline["chat", "v1"])}
    assert json.loads((tmp_path / "out/run.json").read_text())["given"] == known
    assert main(["score", *data, "--out", str(tmp_path / "scores.npz")]) == 0
    assert json.loads(str(load(tmp_path / "scores.npz")["model"])) == known


@pytest.mark.parametrize("name", ["owner/chat@v2", "owner/none"])
def test_what_is_not_kept_is_named_in_one_line(offline, name):
    with pytest.raises(
        InputError, match=rf"^--model: {name}: neither a folder nor to be had from the Hub \("
    ) as error:
        models.folder_of(name)
    assert "\n" not in str(error.value)


def test_an_adapter_of_the_hub_is_read_beside_its_base_at_the_revision_it_names(offline, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(offline["chat", "v1"])
    torch.manual_seed(0)
    settings = LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(base, settings)
    for config in adapted.peft_config.values():
        config.base_model_name_or_path, config.revision = "owner/chat", "v1"
    adapted.save_pretrained(tmp_path / "adapter")
    folder = cached(tmp_path / "hub", "owner/adapter", tmp_path / "adapter", "main")
    ids = torch.arange(5, 15).view(2, 5)
    for source in ("owner/adapter", str(tmp_path / "adapter")):
        model, _ = models.load(models.folder_of(source), "generation")
        torch.testing.assert_close(model(ids).logits, adapted.eval()(ids).logits, rtol=1e-4, atol=1e-5)
    own = models.identity("owner/adapter", folder)
    assert own["revision"] == "a" * 40 and own["base"] == {
        "source": "owner/chat", "revision": "b" * 40, "sha256": digest(offline["chat", "v1"]),
    }  # fmt: skip
    shutil.rmtree(tmp_path / "hub/models--owner--chat")
    words = "--model: owner/adapter: base_model_name_or_path: owner/chat@v1: neither a folder"
    with pytest.raises(InputError, match=words):
        models.folder_of("owner/adapter")


def test_judge_fetches_models_and_sets_by_their_ids(tmp_path):
    """A process of its own, which downloads what a server on this machine has, beside local copies of the same."""
    data, chat = (
        hub_folder(tmp_path / "data"),
        [chat_model(tmp_path / name, k) for k, name in enumerate("ab")],
    )
    chats = {
        name: (commit, folder)
        for (revision, commit), folder in zip(COMMITS.items(), chat, strict=True)
        for name in (revision, commit)
    }
    sets = dict.fromkeys(("main", "c" * 40), ("c" * 40, data))
    cfg = {"score": {"extract": [], "n": [3], "tries": 0}, "measure": {"bootstrap": 100}}
    how = ["--prompt", "question", "--text", "answer", "--max-length", "96", "--cfg", json.dumps(cfg)]

    def command(out, qa, model, retrain):
        places = {"forget": f"{qa}:forget10:train", "holdout": f"{qa}:holdout", "test": f"{qa}:unseen:train"}
        files = [part for name, place in places.items() for part in (f"--{name}", place)]
        return ["judge", "--model", model, "--retrain", retrain, *files, *how, "--out", str(tmp_path / out)]

    with hub({"models/owner/chat": chats, "datasets/owner/qa": sets}) as address:
        own = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | own
        argv = command("hub", "owner/qa", "owner/chat@v1", "owner/chat")
        done = subprocess.run(
            [sys.executable, "-m", "lethe", *argv],
            env=environment,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr
    assert address not in done.stderr  # no line for each request
    assert main(command("local", str(data), str(chat[1]), str(chat[0]))) == 0
    found = [(tmp_path / out / "table.json").read_text() for out in ("hub", "local")]
    assert found[0] == found[1]
    model = json.loads(str(load(tmp_path / "hub/scores.npz")["model"]))
    assert (model["source"], model["revision"]) == ("owner/chat", "b" * 40)
    assert (tmp_path / "home/hub/models--owner--chat/snapshots" / ("b" * 40) / "model.safetensors").exists()
