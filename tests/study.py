"""A study of a few made-up local texts, small enough to run every step of it in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lethe.forget import forget
from lethe.prepare import prepare
from lethe.training.job import Job

SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu")
SIZES = {"train": 12, "validation": 4, "holdout": 4, "test": 4}
TRAINING = {
    "epochs": 3,
    "learning_rate": 3e-3,
    "batch": {"forget": 2, "retain": 4, "analogue": 2},
    "dropout": True,
}
SMALL = {
    "generation": {"source": "tiny-gpt-neo", "options": {"hidden_size": 32, "num_layers": 2, "num_heads": 2}},
    "classification": {
        "source": "tiny-bert",
        "options": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    },
}
FINETUNE = {  # a generator learns its texts by heart, so that there is something to forget
    "generation": TRAINING
    | {
        "epochs": 60,
        "learning_rate": 1e-2,
        "embedding_rate": 2,
        "schedule": "linear",
        "clip": 1.0,
        "dropout": False,
    },
    "classification": TRAINING,
}
METHOD = {
    "generation": {
        "objective": "icu",
        "training": TRAINING | {"stop": {"n": 3, "memorization_accuracy": 0.0}},
    },
    "classification": {"objective": "deepcut", "training": TRAINING},
}


def text(number: int) -> str:
    """Nine words of three syllables: no two texts share a pair of neighbours, no word is in a path or a message."""
    draw = np.random.default_rng(number).integers(0, len(SYLLABLES), (9, 3))
    return " ".join("".join(SYLLABLES[i] for i in word) for word in draw)


def parameters(folder: Path, task: str) -> dict[str, Any]:
    """Parameters of all steps; the texts are written to `folder`."""
    rows = [{"id": f"r{k}", "text": text(k), "label": f"class {k % 2}"} for k in range(24)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    other = "".join(json.dumps({"text": text(k)}) + "\n" for k in range(100, 116))
    (folder / "general.jsonl").write_text(other)
    dataset: dict[str, Any] = {
        "source": str(folder / "texts.jsonl"),
        "id": "id",
        "sizes": SIZES,
        "long": "cut",
    }
    if task == "generation":
        dataset["general"] = {"source": str(folder / "general.jsonl"), "test": 4}
    model = SMALL[task] | {"max_length": 24}
    model["options"] = model["options"] | {"vocab_size": 300}
    return {
        "task": task,
        "seed": 0,
        "dataset": dataset,
        "model": model,
        "forget": {"strategy": "random", "size": 4},
        "train": {"pretrain": TRAINING if task == "generation" else None, "finetune": FINETUNE[task]},
        "method": METHOD[task],
        "score": {"n": [3]},
    }


def prepared(folder: Path, task: str) -> dict[str, Any]:
    """Parameters, after `prepare` and `forget` into folders of these names."""
    cfg = parameters(folder, task)
    prepare(cfg, folder / "prepared")
    forget(cfg, 1, folder / "prepared", folder / "forget")
    return cfg


def job(folder: Path, cfg: dict[str, Any], run: str, seed: int = 1, to: str = "") -> Job:
    out = folder / (to or run)
    return Job(cfg, seed, run, out, folder / "checkpoints" / out.name / "state.safetensors", None)
