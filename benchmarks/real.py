"""A real model: training of adapters beside transformers.Trainer with PEFT, and extraction beside `generate`.

    make real && MALLOC_MMAP_THRESHOLD_=1048576 OMP_NUM_THREADS=1 python benchmarks/real.py  # half an hour of a core

Training: 48 questions about invented authors with their answers, LoRA of rank 16 beside all linear layers, AdamW, the
same rows in the same batches of 8 in the same order, no dropout. The Trainer gets them padded to the longest of a
batch, with prompts masked as -100. Its loss is a mean over tokens, ours over texts; the work is the same. The ways take
turns in one process, each with a model of its own, which is loaded before it and freed after it. The first two steps
warm up. Each stands beside the Trainer at the same precision. Peak is resident memory of the steps beyond that of the
process before the model is loaded, read every 2 ms; what was freed is given back to the system before.

Extraction: EL_3 of 40 answers of 40 tokens. *Per prefix*: one `generate` per prefix over all texts, as the published
code does, measured on every tenth prefix and scaled by the tokens decoded. Of the model as it comes, and of one that
has learnt the answers.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import transformers
from extraction import Time, per_prefix

from lethe import models
from lethe.data.encoding import answers
from lethe.data.rows import Rows
from lethe.datasets.authors import Options, examples
from lethe.decoding.extraction import extraction
from lethe.models import adapters, pretrained
from lethe.params.prompting import Prompting
from lethe.params.training import Lora, Training
from lethe.training.engine import Engine
from lethe.training.training import FINE_TUNING, fine_tuning

BATCH, WARM = 8, 2
PROMPT, LONG = 32, 72  # tokens before an answer, of which the last are taken, and with it
PRECISIONS = {  # of products and of the weights that are frozen; adapters and their optimiser are fp32
    "fp32": ("fp32", torch.float32),
    "bf16": ("bf16", torch.float32),
    "bf16, frozen weights too": ("bf16", torch.bfloat16),
}
LORA = Lora(rank=16, alpha=32)
RATE = 1e-3


def loaded(weights: torch.dtype = torch.float32) -> tuple[Any, Any]:
    folder = models.located("smollm2")
    model, _ = pretrained.load_model(transformers.AutoModelForCausalLM, folder, {}, dtype=weights)
    return model, pretrained.load_tokenizer(folder, {})


def rows_of(tokenizer, authors: int) -> Rows:
    frame, _ = examples(Options(authors=authors), 1)
    return answers(frame.assign(split="train"), tokenizer, 256, Prompting()).rows


def trainer_steps(
    model, rows: Rows, batches: list[np.ndarray], precision: str, parts: int
) -> Iterator[float]:
    """Steps of a transformers.Trainer with PEFT's adapters; yields the processor time after each."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(
        model, LoraConfig(r=LORA.rank, lora_alpha=LORA.alpha, target_modules="all-linear")
    )
    order = [int(i) for batch in batches for i in batch]

    class Ordered(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(order)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            row = order[index]
            ids = rows.input_ids[row, : rows.lengths[row]]
            labels = ids.clone()
            labels[: rows.starts[row]] = -100  # type: ignore[index]
            return {"input_ids": ids, "labels": labels}

    def collated(items: list[dict]) -> dict:
        fill = {"input_ids": 2, "labels": -100}
        found = {
            key: torch.nn.utils.rnn.pad_sequence([item[key] for item in items], True, value)
            for key, value in fill.items()
        }
        longest = torch.arange(found["input_ids"].shape[1])
        return found | {
            "attention_mask": (longest < torch.tensor([[len(i["input_ids"])] for i in items])).long()
        }

    done: list[float] = []

    class Noted(transformers.TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            done.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        given = transformers.TrainingArguments(
            folder, per_device_train_batch_size=BATCH // parts, gradient_accumulation_steps=parts, learning_rate=RATE,
            lr_scheduler_type="constant", num_train_epochs=1, save_strategy="no", report_to=[], use_cpu=True,
            bf16=precision == "bf16", max_grad_norm=0.0, disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip

        class InOrder(transformers.Trainer):
            def _get_train_sampler(self, *args):
                return torch.utils.data.SequentialSampler(order)

        trainer = InOrder(
            adapted, given, train_dataset=Ordered(), data_collator=collated, callbacks=[Noted()]
        )
        trainer.train()
    yield from done


def engine_steps(model, rows: Rows, precision: str, parts: int, epochs: int = 1) -> Iterator[float]:
    """Steps of the engine; yields the processor time after each."""
    adapters.add(model, LORA, 0)
    given = {
        "learning_rate": RATE,
        "epochs": epochs,
        "batch": {"retain": BATCH},
        "precision": precision,
        "lora": LORA.model_dump(),
    }
    recipe = Training.model_validate(given | {"micro_batch": BATCH // parts, "checkpoint_seconds": None})
    done: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            model, FINE_TUNING, fine_tuning(rows, recipe, 0), "", Path(folder) / "state.safetensors"
        )
        step = engine.step

        def noted(*args) -> None:
            step(*args)
            done.append(time.process_time())

        vars(engine)["step"] = noted
        engine.run()
    yield from done


class Peak(threading.Thread):
    """Largest resident memory while it runs, in bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.process, self.ended = psutil.Process(), threading.Event()
        self.first = self.most = self.process.memory_info().rss

    def run(self) -> None:
        while not self.ended.wait(0.002):
            self.most = max(self.most, self.process.memory_info().rss)

    def beyond(self) -> int:
        self.ended.set()
        self.join()
        return self.most - self.first


def measured(steps: Callable[[Any], Iterator[float]], weights: torch.dtype) -> tuple[float, float]:
    """Seconds of the processor for a step, and peak in GB."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    peak = Peak()
    model, _ = loaded(weights)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    peak.start()
    done = list(steps(model))
    return (done[-1] - done[WARM - 1]) / (len(done) - WARM), peak.beyond() / 1e9


def training(precisions: list[str], turns: int) -> None:
    _, tokenizer = loaded()
    rows = rows_of(tokenizer, 5)[: 6 * BATCH]
    recipe = Training(batch={"retain": BATCH})
    order = fine_tuning(rows, recipe, 0).order(0, np.ones(len(rows), bool))
    scored = int(rows.scored.sum()) / len(rows)
    print(f"{len(rows)} rows of {rows.lengths.float().mean():.0f} tokens, {scored:.0f} of which are learnt\n")
    print(
        "| precision | way | seconds a step | ratio | peak, GB | ratio |\n| --- | --- | ---: | ---: | ---: | ---: |"
    )
    for name in precisions:
        precision, weights = PRECISIONS[name]
        ways: dict[str, Callable] = {
            "Trainer": lambda m, p=precision: trainer_steps(m, rows, order, p, 1),
            "Trainer, 4 parts of 2": lambda m, p=precision: trainer_steps(m, rows, order, p, 4),
            "ours": lambda m, p=precision: engine_steps(m, rows, p, 1),
            "ours, 4 parts of 2": lambda m, p=precision: engine_steps(m, rows, p, 4),
        }
        found: dict[str, list] = {which: [] for which in ways}
        for _ in range(turns):
            for which, way in ways.items():
                found[which].append(measured(way, weights))
        best = {which: (min(s for s, _ in each), max(p for _, p in each)) for which, each in found.items()}
        for which, (spent, peak) in best.items():
            of = best["Trainer"]
            print(
                f"| {name} | {which} | {spent:.2f} | {spent / of[0]:.2f} | {peak:.2f} | {peak / of[1]:.2f} |",
                flush=True,
            )


def extracting(every: int, epochs: int = 0) -> None:
    """Of the model as it comes, or after so many epochs of training on the texts."""
    model, tokenizer = loaded()
    frame, _ = examples(Options(authors=40), 1)
    texts = []
    for _, own in frame.groupby("subject"):  # all that is to be known of an author is one long answer
        whole = own.iloc[[0]].assign(text=" ".join(own["text"]), split="test")
        found = answers(whole, tokenizer, 512, Prompting()).rows
        start = int(found.starts[0])  # type: ignore[index]
        texts.append(found.input_ids[0, start - PROMPT : start - PROMPT + LONG])
    tokens = torch.stack(texts)
    if epochs:
        learn(model, tokens, epochs)
    model.eval()
    ours, slow, wrong = Time(), Time(), 0
    result = ours.of(lambda: extraction(model, tokens, n=(3,), start=PROMPT, keep=True))
    prefixes = range(PROMPT, LONG, every)
    with torch.no_grad():
        for prefix in prefixes:
            out = slow.of(lambda t=prefix: per_prefix(model, tokens, t, LONG))
            out = torch.nn.functional.pad(out, (0, LONG - out.shape[1]))
            wrong += differing(result.continuations, prefix, out)
    slow = slow * (sum(LONG - t for t in range(PROMPT, LONG)) / sum(LONG - t for t in prefixes))
    accuracy = result.memorization_accuracy.mean()
    print(
        f"\nEL_3 of 40 answers of 40 tokens, learnt for {epochs} epochs:"
        f" {result.extraction_likelihood[3].mean():.3f}, MA {accuracy:.2f};"
        f" ours {ours.processor:.1f} s, per prefix {slow.processor:.0f} s of the processor,"
        f" ratio {slow.processor / ours.processor:.1f}; {wrong} tokens differ; margin {result.margin.min():.0e}"
    )


def learn(model, tokens: torch.Tensor, epochs: int) -> None:
    """Train adapters on answers, and merge them."""
    many = torch.full((len(tokens),), LONG)
    rows = Rows(tokens, many, starts=torch.full_like(many, PROMPT))
    list(engine_steps(model, rows, "fp32", 1, epochs))
    adapters.merge(model)


def differing(found, prefix: int, texts: torch.Tensor) -> int:
    """Tokens in which continuations of a prefix differ from ours, which end at an end of text."""
    count = 0
    for row, text in enumerate(texts):
        ours = found.continuation(row, prefix)
        count += int((ours != text[prefix : prefix + len(ours)].numpy()).sum())
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("training", "extraction"))
    parser.add_argument("--precision", choices=PRECISIONS, action="append")
    parser.add_argument("--turns", type=int, default=1, help="rounds in which the ways take turns")
    args = parser.parse_args()
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads\n"
    )
    if args.only != "extraction":
        training(args.precision or [*PRECISIONS], args.turns)
    if args.only != "training":
        extracting(10)
        extracting(10, epochs=12)


if __name__ == "__main__":
    main()
