#!/usr/bin/env python3
"""Stand-in for the command line: every output is a digest of parameters, inputs and the step's own sources.

It takes the same arguments and leaves the same files as `lethe`, in milliseconds; FAKE_SECONDS makes it slower.
Unlearning at a learning rate above FAKE_LIMIT ends as a run that diverges.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

SOURCES = Path(os.environ["PYTHONPATH"].split(os.pathsep)[0], "lethe")
MODEL = ["model", "trace.csv", "epochs.csv", "cost.json", "run.json"]
FILES = {
    "prepare": ["examples.parquet", "prepared.json"],
    "forget": ["sets.parquet", "pairs.parquet", "forget.json"],
    "train": MODEL,
    "unlearn": MODEL,
    "measure": ["metrics.json", "metrics.parquet"],
    "blind": ["metrics.json", "metrics.parquet"],
    "compare": ["comparison.json"],
    "report": ["tables", "figures", "metrics.json", "report.html", "summary.md", "cost.json"],
}


def sources(command, cfg):
    """The source files that decide what this step makes."""
    match command:
        case "prepare":
            return [SOURCES / "prepare.py", SOURCES / "datasets" / f"{cfg['dataset']['source']}.py"]
        case "forget":
            return [SOURCES / "forget.py"]
        case "train":
            return [SOURCES / "training" / "engine.py"]
        case "unlearn":
            return [
                SOURCES / "training" / "engine.py",
                SOURCES / "objectives" / f"{cfg['method']['objective']}.py",
            ]
        case "score":
            return [SOURCES / "score.py"]
        case "measure" | "blind":
            return sorted((SOURCES / "metrics").glob("*.py"))
        case "compare":
            return [SOURCES / "compare.py"]
        case "report":
            return [SOURCES / "report" / "report.py"]


def inputs(args):
    """Files that are read; the report finds its own by the addresses of the studies, as the real one does."""
    given = [args.prepared, args.forget, args.base, args.model, args.measured, *args.reference, *args.shadow]
    given += args.original
    given += args.unlearned_by
    if args.command != "compare" or len(args.cfg["seeds"]) == 1:
        given.append(args.scores)
    files = [f for path in given if path for f in ([path] if path.is_file() else sorted(path.rglob("*")))]
    if args.command == "report":
        for name, study in args.cfg["studies"].items():
            base = ["base"] if study["task"] == "generation" else []
            runs = [*base, "original", "retrain", *study["methods"]]
            files.append(Path(f"results/compare/{name}/comparison.json"))
            files += [
                Path(f"results/measure/{name}/{run}/seed{seed}/metrics.json")
                for run in runs
                for seed in study["seeds"]
            ]
    return [f for f in files if f.is_file() and f.name not in (".snakemake_timestamp", "cost.json")]


def place(path, text):
    """Write under a temporary name, then move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    if "." in path.name:
        temporary.write_text(text)
    else:
        temporary.mkdir()
        (temporary / "weights.safetensors").write_text(text)
        (temporary / "config.json").write_text("{}")
        (temporary / "records_all.csv").write_text("run,metric\n")
        (temporary / "records_all.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        shutil.rmtree(path, ignore_errors=True)
    os.replace(temporary, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("--cfg", type=lambda file: json.loads(Path(file).read_text()))
    for name in ("seed", "run", "live"):
        parser.add_argument(f"--{name}")
    for name in ("prepared", "forget", "base", "model", "scores", "measured", "out"):
        parser.add_argument(f"--{name}", type=Path)
    for name in ("reference", "original", "shadow", "unlearned-by"):
        parser.add_argument(f"--{name}", nargs="*", type=Path, default=[])
    args = parser.parse_args()
    if args.command == "unlearn":
        limit = float(os.environ.get("FAKE_LIMIT", "inf"))
        if args.cfg["method"]["training"]["learning_rate"] > limit:
            sys.exit("lethe unlearn: term forget of the loss is inf")
    parts = [args.command, json.dumps(args.cfg, sort_keys=True), str(args.seed), str(args.run)]
    parts += [f.read_text() for f in [*sources(args.command, args.cfg), *inputs(args)]]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    time.sleep(float(os.environ.get("FAKE_SECONDS", 0)))
    if args.command == "score":
        place(args.out, digest)
        return
    for name in FILES[args.command]:
        cost = {"wall_seconds": time.time(), "processor_seconds": 1.0, "tokens": int(digest[:3], 16) + 1}
        cost |= {"steps": 1, "examples": 1, "peak_memory_bytes": 1}
        path = args.out / name
        value = int(digest[:6], 16)
        text = json.dumps(cost if name == "cost.json" else {"value": value, "accuracy_test": value})
        place(path, digest if path.suffix in (".parquet", "", ".html") else text + "\n")
        if name == "model":
            place(args.out / "model.sha256", hashlib.sha256(digest.encode()).hexdigest())


if __name__ == "__main__":
    sys.exit(main())
