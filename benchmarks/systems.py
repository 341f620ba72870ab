"""The numbers of docs/howto/{offset,deep-unlearning,adapters-per-request}.md: tiny models, settings not searched for.

python benchmarks/systems.py FOLDER deep|offset|o3 [SEED …] makes the studies in FOLDER and prints a line for each run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lethe import models
from lethe.data.encoding import encoder, examples_by_set
from lethe.decoding.decoding import teacher_forced
from lethe.forget import forget
from lethe.measure import measure
from lethe.metrics.memorization_accuracy import memorization_accuracy
from lethe.prepare import prepare
from lethe.score import score
from lethe.train import train
from lethe.training.job import Job
from lethe.unlearn import unlearn

FINETUNE = {
    "epochs": 40, "learning_rate": 5e-3, "embedding_rate": 4, "batch": {"retain": 8}, "schedule": "cosine",
    "warmup": 0.05, "floor": 0.05, "beta2": 0.98, "weight_decay": 0.01, "clip": 1.0,
}  # fmt: skip
UNLEARN: dict[str, Any] = {
    "epochs": 12, "learning_rate": 1e-3, "optimizer": "adam", "beta2": 0.98,
    "batch": {"forget": 8, "retain": 16, "analogue": 8},
}  # fmt: skip
NPO = {"beta": 0.02, "retain": 8.8}
RECORDS = {
    "source": "records", "sizes": {"train": 128, "validation": 16, "holdout": 32, "test": 64},
}  # fmt: skip
KINDS = {
    "source": "docstrings", "label": "label",
    "sizes": {"train": 160, "validation": 16, "holdout": 48, "test": 96},
}  # fmt: skip
FAMILIES = {
    "source": "families", "options": {"families": 7}, "deduplicate": False,
    "sizes": {"train": 126, "validation": 42, "holdout": 42, "test": 84},
}  # fmt: skip
SMALL = {"source": "tiny-gpt-neo", "options": {"hidden_size": 64}}


class Study:
    """A data set, its base model, and the folders of what is made of them."""

    def __init__(self, root: Path, dataset: dict[str, Any], finetune: dict[str, Any]):
        model = {"source": "tiny-gpt-neo", "max_length": 96}
        shared = {"train": {"pretrain": None, "finetune": finetune}, "finetune": finetune, "pretrain": None}
        self.cfg = {"task": "generation", "model": model, "seed": 1} | shared
        self.root, self.data = root, root / "prepared"
        prepare(self.cfg | {"dataset": dataset}, self.data)

    def job(self, seed: int, run: str, **more: Any) -> Job:
        out = self.root / f"{run}-{seed}"
        return Job(
            self.cfg | more, seed, run, out, self.root / f"checkpoints/{out.name}/state.safetensors", None
        )

    def forgets(self, seed: int, name: str, **wish: Any) -> Path:
        forget({"forget": wish}, seed, self.data, self.root / f"{name}-{seed}")
        return self.root / f"{name}-{seed}"

    def trains(self, seed: int, run: str, sets: Path, kind: str) -> Path:
        """Model of a reference."""
        base = self.root / "base-1/model"
        if not base.exists():
            train(self.job(1, "base"), self.data)
        job = self.job(seed, kind)
        train(
            Job(job.cfg, seed, kind, self.root / f"{run}-{seed}", job.checkpoint, None), self.data, sets, base
        )
        return self.root / f"{run}-{seed}/model"

    def unlearns(self, seed: int, run: str, sets: Path, start: Path, method: dict[str, Any]) -> Path:
        job = self.job(seed, run, method=method)
        unlearn(job, self.data, sets, start, self.root / "base-1/model")
        return job.out / "model"

    def measures(
        self, seed: int, run: str, sets: Path, model: Path, names: list[str], original: Path | None = None
    ):
        """Print some metrics of a model; returns its scores."""
        scores = self.root / f"{run}-{seed}-scores.npz"
        settings = {"n": [3], "extract": [], "tries": 0}
        score(self.cfg | {"score": settings}, self.data, sets, model, scores)
        out = self.root / f"{run}-{seed}-metrics"
        measure({"measure": {"bootstrap": 100}}, seed, scores, out, original=original or scores)
        found = json.loads((out / "metrics.json").read_text())
        numbers = {name: round(found[name], 3) for name in names if name in found}
        print(json.dumps({"run": run, "seed": seed} | numbers), flush=True)
        return scores

    def ungated(self, seed: int, run: str, sets: Path, model: Path) -> None:
        """Print the memorization accuracy of each set where the last adapter counts wholly, whatever the gates say."""
        found, tokenizer = models.load(model, "generation")
        found.alone = True
        encoding, numbers = encoder(self.data, tokenizer, 96), {}
        for name, frame in examples_by_set(self.data, sets).items():
            rows = encoding(frame).rows
            passed = teacher_forced(found, rows.input_ids, rows.lengths)
            numbers[name] = round(float(memorization_accuracy(passed.correct, rows.scored.numpy()).mean()), 3)
        print(json.dumps({"run": f"{run}, no gate", "seed": seed} | numbers), flush=True)


def deep(root: Path, seed: int) -> None:
    """Eight targets, alone and with what they follow from: the retrained models, and NPO."""
    names = ["targets_gone", "deep_success", "deep_recall", "deep_accuracy", "known_retain", "known_test"]
    study = Study(root / f"deep{seed}", FAMILIES, FINETUNE | {"epochs": 90})
    for strategy in ("superficial", "deep"):
        sets = study.forgets(seed, strategy, strategy=strategy, size=8)
        original = study.root / f"original-{seed}/model"
        if not original.exists():
            study.trains(seed, "original", sets, "original")
        known = study.measures(seed, f"original-{strategy}", sets, original, [*names, "known_forget"])
        retrained = study.trains(seed, f"retrain-{strategy}", sets, "retrain")
        study.measures(seed, f"retrain-{strategy}", sets, retrained, names, known)
        method = {"objective": "npo", "training": UNLEARN, "hyper": NPO}
        model = study.unlearns(seed, f"npo-{strategy}", sets, original, method)
        study.measures(seed, f"npo-{strategy}", sets, model, names, known)


def offset(root: Path, seed: int) -> None:
    """NPO of the large model, and by a pair that was taught and one that was not."""
    names = [f"memorization_accuracy_{name}" for name in ("forget", "retain", "test")]
    study = Study(root / f"offset{seed}", RECORDS, FINETUNE)
    sets = study.forgets(seed, "sets", strategy="subject", size=32)
    original = study.trains(seed, "original", sets, "original")
    for run, model in (("original", original), ("retrain", study.trains(seed, "retrain", sets, "retrain"))):
        study.measures(seed, run, sets, model, names)
    pairs = {
        "npo": None,
        "delta_npo": {"model": SMALL},
        "delta_npo_untaught": {"model": SMALL, "taught": False},
    }
    for run, pair in pairs.items():
        recipe = UNLEARN | {"learning_rate": 4e-3, "offset": pair}
        model = study.unlearns(
            seed, run, sets, original, {"objective": "npo", "training": recipe, "hyper": NPO}
        )
        study.measures(seed, run, sets, model, names)


def o3(root: Path, seed: int) -> None:
    """Texts of one package, then of another, are asked to go; with and without the penalty, and without the gates."""
    names = [f"memorization_accuracy_{name}" for name in ("forget", "forgotten", "retain", "test")]
    names += [
        "gate_weight_forget",
        "gate_weight_test",
        "gate_sees_retain",
        "gate_sees_test",
        "gate_weight_auc",
    ]
    names += ["gate_nearest_auc"]
    study = Study(root / f"o3{seed}", KINDS, FINETUNE)
    asked = [
        study.forgets(
            seed, f"request{k}", strategy="label", label=["networkx", "matplotlib"], requests=2, request=k
        )
        for k in (1, 2)
    ]
    original = study.trains(seed, "original", asked[0], "original")
    study.measures(seed, "original", asked[0], original, names)
    for run, weight in (("o3", 0.1), ("o3_free", 0.0)):
        model = original
        for place, sets in enumerate(asked, 1):
            recipe = UNLEARN | {"epochs": 8, "learning_rate": 2e-3}
            method = {"objective": "o3", "training": recipe, "hyper": {"orthogonal": weight}}
            model = study.unlearns(seed, f"{run}-{place}", sets, model, method)
            study.measures(seed, f"{run}-{place}", sets, model, names)
            if place == 1:
                study.ungated(seed, run, sets, model)


if __name__ == "__main__":
    folder, what, *seeds = sys.argv[1:]
    for number in map(int, seeds or (1, 2, 3)):
        {"deep": deep, "offset": offset, "o3": o3}[what](Path(folder), number)
