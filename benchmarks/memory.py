"""Peak memory of unlearning a random model of 100 million parameters, beside what it cannot do without.

    python benchmarks/memory.py                # on a GPU, or on a CPU: about 4 GB and some minutes

What a run needs are its weights, those of a frozen reference if it has one of its own, the gradients and the states of
AdamW of what trains; what layers compute is little, as one text of some 30 tokens is passed at a time, or one of 250
whose blocks are computed again. The peak is that
of a process of its own from the moment that all is imported until the result is saved, with a checkpoint after every
step: on a CPU of resident memory, on a GPU of allocated memory. The process has done the same with a tiny model before,
so that what libraries import and keep on their first use does not count.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import peft  # noqa: F401 (adapters import it where they are used)
import torch
import transformers

from lethe import models
from lethe.models.tiny import byte_pairs
from lethe.training.job import Job
from lethe.unlearn import unlearn

SHAPE = {
    "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12,
    "vocab_size": 16_000, "max_position_embeddings": 256,
}  # fmt: skip
TINY = {"hidden_size": 48, "num_hidden_layers": 2}
RUNS: dict[str, dict[str, Any]] = {  # name -> objective, and what its training changes
    "gradient_difference": {"objective": "gradient_difference"},
    "gradient_difference, 250 tokens, blocks checkpointed": {
        "objective": "gradient_difference", "training": {"gradient_checkpointing": True}, "study": "long",
    },
    "npo, with a frozen model": {"objective": "npo"},
    "npo, adapters of rank 8": {"objective": "npo", "training": {"lora": {"rank": 8, "merge": False}}},
    "npo, adapters, weights in bf16": {
        "objective": "npo", "training": {"lora": {"rank": 8, "merge": False}}, "original": "original-bf16",
    },
}  # fmt: skip


def make(folder: Path, shape: dict[str, Any], words: int = 8) -> None:
    """A study of sixteen texts, and a random model of them."""
    folder.mkdir(exist_ok=True)
    texts = [" ".join(f"word{(k * 7 + j) % 50}" for j in range(words)) for k in range(16)]
    sets = ["forget"] * 8 + ["retain"] * 8
    table = pd.DataFrame({"id": [f"t{k}" for k in range(16)], "text": texts, "split": sets})
    table.to_parquet(folder / "examples.parquet")
    table.assign(set=sets)[["id", "set"]].to_parquet(folder / "sets.parquet")
    (folder / "prepared.json").write_text(json.dumps({"task": "generation", "labels": []}))
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape))
    tokenizer = byte_pairs(texts, 400, bert=False)
    models.save(model, tokenizer, folder / "original")
    models.save(model.bfloat16(), tokenizer, folder / "original-bf16")


def measure(folder: Path, name: str) -> dict[str, int]:
    """Bytes that the run needs and its peak, in this process."""
    on_gpu = torch.cuda.is_available()
    run_of(folder / "tiny", name)
    folder = folder / RUNS[name].get("study", "short")
    before = 0 if on_gpu else resident("VmRSS")
    seen = run_of(folder, name)
    peak = torch.cuda.max_memory_allocated() if on_gpu else resident("VmHWM") - before
    return seen | {"peak": peak}


def run_of(folder: Path, name: str) -> dict[str, int]:
    """Bytes that a run needs, which is done."""
    run = RUNS[name]
    training = {"batch": {"forget": 4, "retain": 4}, "micro_batch": 1, "checkpoint_seconds": 0} | run.get(
        "training", {}
    )
    method = {"objective": run["objective"], "training": training}
    original = folder / run.get("original", "original")
    model = {"source": str(original), "max_length": 256}
    cfg = {"task": "generation", "model": model, "method": method}
    job = Job(cfg, 0, "run", folder / "out", folder / "state.safetensors", None)
    seen: dict[str, int] = {}
    unlearn(noting(job, seen), folder, folder, original)
    return seen


def noting(job: Job, seen: dict[str, int]) -> Job:
    """The job, which notes the bytes that its first training needs."""
    from lethe.training import training
    from lethe.training.engine import Engine

    class Noting(Engine):
        def __init__(self, model, objective, *more):
            super().__init__(model, objective, *more)
            frozen = objective.frozen.parameters() if hasattr(objective.frozen, "parameters") else ()
            parts = {
                p.data_ptr(): p.nbytes for p in [*model.parameters(), *frozen]
            }  # adapters share a reference's
            trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
            seen.update(weights=sum(parts.values()), gradients=trained, optimiser=2 * trained)

    training.Engine = Noting  # type: ignore[misc]
    return job


def resident(kind: str) -> int:
    """Bytes of resident memory of this process: now (VmRSS), or at most so far (VmHWM)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:"))) * 1024
    except OSError:  # no Linux: the largest so far
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny shape, whose numbers say nothing")
    parser.add_argument("--only", help="one of the runs, by the beginning of its name")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "RUN"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(Path(args.measure[0]), args.measure[1])))
        return
    shape: dict[str, Any] = SHAPE | (TINY if args.quick else {})
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU"
    print(f"{device}, torch {torch.__version__}, transformers {transformers.__version__}\n")
    print(
        "| run | weights, MB | gradients | optimiser | peak | ratio |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    with tempfile.TemporaryDirectory() as name:
        make(Path(name) / "short", shape)
        make(Path(name) / "long", shape, words=88)
        make(Path(name) / "tiny", shape | TINY)
        for run in [run for run in RUNS if run.startswith(args.only or "")]:
            command = [sys.executable, __file__, "--measure", name, run]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            peak = found.pop("peak")
            cells = [f"{value / 2**20:.0f}" for value in (*found.values(), peak)]
            print(f"| {run} | {' | '.join(cells)} | **{peak / sum(found.values()):.2f}** |")


if __name__ == "__main__":
    main()
