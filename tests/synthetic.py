"""Scores of made-up models with planted effects, in the format of scores.npz."""

from __future__ import annotations

import shutil

import numpy as np

CLASSES = np.array(["earth", "fire", "water"])
SIZES = {"forget": 30, "retain": 120, "validation": 20, "holdout": 60, "test": 60}


def members(sizes, memory):
    """sets (N,) and strength (N,): how well each example is remembered, `memory` being that of the forget set."""
    sets = np.repeat(list(sizes), list(sizes.values()))
    return sets, np.select([sets == "forget", sets == "retain"], [memory, 1.0], 0.0)


def classification_scores(seed: int, memory: float, utility: float = 1.0) -> dict[str, np.ndarray]:
    """A classifier that is surer of what it remembers; with less utility everything moves to noise."""
    rng = np.random.default_rng([seed, 1])
    sets, strength = members(SIZES, memory)
    labels = rng.integers(0, 3, len(sets))
    logits = rng.normal(0, 1, (len(sets), 3))
    logits[np.arange(len(sets)), labels] += utility * (1.5 + 3 * strength)
    centres = rng.normal(0, 1, (3, 16))
    spread = np.where(strength > 0.5, 0.4, 1.0)[:, None]
    embeddings = utility * centres[labels] * (1 + strength[:, None]) + spread * rng.normal(
        0, 1, (len(sets), 16)
    )
    return {
        "ids": np.array([f"{s}{i}" for i, s in enumerate(sets)]),
        "sets": sets,
        "characters": rng.integers(40, 200, len(sets)),
        "checksum": np.arange(len(sets)),
        "settings": np.array("{}"),
        "task": np.array("classification"),
        "labels": labels,
        "classes": CLASSES,
        "logits": logits.astype(np.float32),
        "embeddings": embeddings.astype(np.float32),
    }


def generation_scores(seed: int, memory: float, utility: float = 1.0) -> dict[str, np.ndarray]:
    """A generator that predicts what it remembers; lengths vary, and padding holds rubbish that must not count."""
    rng = np.random.default_rng([seed, 2])
    sizes = SIZES | {"general_test": 40}
    sets, strength = members(sizes, memory)
    count, width = len(sets), 24
    strength = np.clip(strength * utility, 0, 1)
    lengths = rng.integers(14, width + 1, count)
    position = np.arange(width)
    mask = (position > 0) & (position < lengths[:, None])
    share = (0.35 + 0.6 * strength) * (0.4 + 0.6 * utility)
    correct = rng.random((count, width)) < share[:, None]
    level = 3.0 - 2.5 * strength + 2 * (1 - utility)
    logprob = -rng.gamma(2, level[:, None] / 2, (count, width))
    extracted = np.isin(sets, ["forget", "holdout", "retain"])
    likelihood = np.clip(strength[:, None] * 0.9 + rng.normal(0, 0.02, (count, 3)), 0, 1) * extracted[:, None]
    return {
        "ids": np.array([f"{s}{i}" for i, s in enumerate(sets)]),
        "sets": sets,
        "logprob": np.where(mask, logprob, np.nan).astype(np.float32),
        "mask": mask,
        "correct": correct | ~mask,
        "mu": np.full((count, width), -3.0, np.float32),
        "sigma": np.full((count, width), 1.5, np.float32),
        "zlib_bytes": rng.integers(50, 90, count),
        "characters": rng.integers(40, 200, count),
        "checksum": np.arange(count),
        "settings": np.array("{}"),
        "task": np.array("generation"),
        "n": np.array([3, 5, 10]),
        "extraction_likelihood": likelihood,
        "margin": np.full(count, 0.1),
        "extracted": extracted,
    }


# run -> memory of the forget set, utility
EFFECTS = {
    "base": (0.0, 0.1),
    "original": (1.0, 1.0),
    "retrain": (0.0, 1.0),
    "retrain-2": (0.0, 1.0),
    "deepcut": (0.1, 0.97),
    "icu": (0.05, 0.97),
    "finetune": (0.8, 1.0),
    "gradient_ascent": (0.0, 0.4),
    "gradient_difference": (0.1, 0.8),
    "npo": (0.05, 0.7),
}
METHODS = {
    "classification": ["deepcut", "finetune", "gradient_ascent", "gradient_difference"],
    "generation": ["icu", "gradient_ascent", "gradient_difference", "npo"],
}
MAKE = {"classification": classification_scores, "generation": generation_scores}


def parameters(seeds=(0, 1)) -> dict:
    """params.yaml of two studies, `topics` and `records`, with all methods at their defaults."""

    def study(task, **dataset):
        return {
            "task": task,
            "seeds": list(seeds),
            "dataset": {"source": "docstrings", "sizes": {"train": 150}} | dataset,
            "model": {"source": "tiny-bert" if task == "classification" else "tiny-gpt-neo"},
            "forget": {"strategy": "random", "size": 30},
            "train": {"finetune": {}, "retrains": 2 if task == "classification" else 1},
            "measure": {"bootstrap": 100},
            "methods": {name: {} for name in METHODS[task]},
        }

    return {"studies": {"topics": study("classification", label="label"), "records": study("generation")}}


def write_results(root, params: dict) -> None:
    """All files that the report reads, under `root`, from the planted effects."""
    from lethe.compare import compare
    from lethe.measure import measure
    from lethe.params.compare import Compare
    from lethe.params.file import check_params
    from lethe.system.files import write_json

    for name, study in params["studies"].items():
        whole = check_params(params | {"studies": {name: study}}, "params.yaml")
        checked = next(iter(whole.studies.values()))
        prepared = {"source": "synthetic", "task": study["task"], "labels": []}
        write_json(root / f"data/prepared/{name}/prepared.json", prepared)
        shadows = write_shadows(root / f"results/score/{name}/shadow", study)
        for seed in study["seeds"]:
            counts = {"counts": SIZES}
            write_json(root / f"data/forget/{name}/seed{seed}/forget.json", counts)
            blind = {"blind_auc": 0.52, "blind_auc_low": 0.4, "blind_auc_high": 0.6, "blind_leak": 0.0}
            write_json(root / f"results/measure/{name}/blind/seed{seed}/metrics.json", blind)
            again = ["retrain-2"] if study["train"].get("retrains", 1) > 1 else []
            base = ["base"] if study["task"] == "generation" else []
            for run in [*base, "original", "retrain", *again, *study["methods"]]:
                memory, utility = EFFECTS[run]
                stage = "train" if run in ("base", "original", "retrain") else "unlearn"
                folder = root / f"results/{stage}/{name}/{run}/seed{seed}"
                scores = root / f"results/score/{name}/{run}/seed{seed}/scores.npz"
                scores.parent.mkdir(parents=True)
                np.savez(scores, **MAKE[study["task"]](seed * 100 + len(run), memory, utility))
                out = root / f"results/measure/{name}/{run}/seed{seed}"
                measure({"measure": study["measure"]}, seed, scores, out, shadows=shadows)
                if run in again:
                    continue
                for variant in variants(study) if run != "base" else []:
                    shutil.copytree(out, out.parents[1] / f"{run}+{variant}" / out.name)
                if run != "base" or seed == study["seeds"][0]:
                    write_training(folder, run, study["task"], seed, utility)
                    write_record(folder, run, checked.model_dump(mode="json"), seed)
        cfg = Compare.of(checked, whole.report).model_dump(mode="json")
        compare(cfg, *(root / f"results/{stage}/{name}" for stage in ("measure", "score", "compare")))


def write_shadows(folder, study: dict) -> list:
    """Scores of shadow models in complementary halves, which do not differ in what a model says."""
    paths = []
    for number in range(study.get("shadow", {"models": 0})["models"]):
        scores = MAKE[study["task"]](50 + number, 0.0)
        half = np.where(np.arange(len(scores["sets"])) % 2 == number % 2, "retain", "forget")
        divided = np.isin(scores["sets"], ["forget", "retain", "holdout", "test"])
        paths.append(folder / f"seed{1000 + number}/scores.npz")
        paths[-1].parent.mkdir(parents=True)
        np.savez(paths[-1], **scores | {"sets": np.where(divided, half, scores["sets"])})
    return paths


def variants(study: dict) -> list[str]:
    """Names of the variants of every run; what they measure is what the run itself does."""
    given = study.get("robustness", {})
    return [f"{name}-{level}" for name, block in given.items() for level in block["levels"]]


def write_record(folder, run: str, study: dict, seed: int) -> None:
    """run.json of a run, the same on every machine."""
    from lethe.system.files import write_json
    from lethe.training import run_record

    method = study["methods"].get(run)
    own = {"method": method} if method else {"train": study["train"]}
    found = run_record.settings({"task": study["task"], "model": study["model"]} | own, run)
    record = {"run": run, "seed": seed, "settings": found, "data": {"prepared": "d" * 64}, "code": "c" * 64}
    record |= {"commit": "1" * 40, "modified": False, "versions": {"torch": "2.0", "lethe": None}}
    write_json(folder / "run.json", record | {"device": "cpu", "threads": 1})


def write_training(folder, run: str, task: str, seed: int, utility: float) -> None:
    """cost.json, trace.csv and epochs.csv of a run."""
    from lethe.system.files import write_json

    steps = {"original": 400, "retrain": 320, "base": 900}.get(run, 10 + 8 * len(run))
    cost = {
        "wall_seconds": steps * 0.11 + seed,
        "processor_seconds": steps * 0.1 + seed,
        "steps": steps,
        "tokens": steps * 500,
        "examples": steps * 8,
    }
    write_json(
        folder / "cost.json", cost | {"peak_memory_bytes": (600 + steps) << 20, "device": "cpu", "threads": 1}
    )
    rng = np.random.default_rng([seed, steps])
    lines = ["step,epoch,learning_rate,loss,forget,retain"]
    for step in range(steps):
        forget, retain = -1 - 4 * step / steps + rng.normal(0, 0.2), 1 + rng.normal(0, 0.1)
        lines.append(f"{step},{step // 10},0.0005,{forget + retain},{forget},{retain}")
    (folder / "trace.csv").write_text("\n".join(lines) + "\n")
    if task == "classification":
        (folder / "epochs.csv").write_text("epoch\n")
        return
    fields = "epoch,memorization_accuracy,extraction_likelihood_10,retain_memorization_accuracy"
    lines = [
        fields
        + ",threshold_memorization_accuracy,threshold_extraction_likelihood_10"
        + (",active" if run == "icu" else "")
    ]
    epochs = 3 + len(run) // 2 + 3 * (run == "icu") + seed
    for epoch in range(epochs + 1):
        left = 1 - epoch / epochs
        row = [epoch, 0.4 + 0.55 * left, 0.95 * left**2, 0.95 - (1 - utility) * (1 - left), 0.42, 0.01]
        lines.append(",".join(map(str, row)) + (f",{round(32 * left)}" if run == "icu" else ""))
    (folder / "epochs.csv").write_text("\n".join(lines) + "\n")
