"""Speed of training and unlearning steps beside transformers.Trainer on the same work, in one process.

    python benchmarks/training.py              # GPT-Neo 125M and 1.3B shapes, 200 and 1024 tokens, on a GPU
    python benchmarks/training.py --quick      # a tiny shape, also on a CPU

Random weights and tokens. Three kinds of step: `finetune`, `icu` (ascent, descent and divergence from the frozen model)
and `npo`. The Trainer computes the same losses as one would write them down, with a frozen copy of the whole model.
Both use the same batches, bf16 autocast over float32 weights, also for what is frozen, and fused AdamW, on one GPU. An
epoch warms up, the next is timed. What does not fit into the memory of the GPU is shown as nan.

Model FLOP utilisation counts what the losses need and nothing that is done on the way (Chowdhery et al., 2022, appendix
B): 6 times the parameters in matrix products for each token trained on, 2 times for one that a frozen model reads, and
for attention 12 * hidden and a third of that in each layer for every token that is attended to: half of the text on
average, or as many as a window holds.
"""

from __future__ import annotations

import argparse
import copy
import gc
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softplus

from lethe.data.rows import Rows
from lethe.objectives import finetune, icu, npo
from lethe.params.training import Training
from lethe.system import gpus
from lethe.system.stopwatch import Stopwatch
from lethe.training.batches import Batches, TrainingRows
from lethe.training.engine import Engine
from lethe.training.frozen import FrozenHidden, as_frozen
from lethe.training.objective import Objective

PEAK = {  # name, the longer ones first -> dense bf16 operations a second, of the vendor's data sheets
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H200 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
}
WINDOW = 256  # tokens that every other layer attends to
KINDS = {"finetune": finetune, "icu": icu, "npo": npo}
STEPS = 8  # in an epoch


@dataclass(frozen=True)
class Shape:
    """A GPT-Neo and the texts in a batch of each length."""

    name: str
    layers: int
    hidden: int
    heads: int
    vocabulary: int
    batches: dict[int, int]  # tokens of a text -> texts in a batch of one role

    def model(self, device) -> transformers.GPTNeoForCausalLM:
        torch.manual_seed(0)
        config = transformers.GPTNeoConfig(
            vocab_size=self.vocabulary, hidden_size=self.hidden, num_layers=self.layers, num_heads=self.heads,
            attention_types=[[["global", "local"], self.layers // 2]], window_size=WINDOW, max_position_embeddings=2048,
            resid_dropout=0.0, embed_dropout=0.0, attention_dropout=0.0, use_cache=False,
            bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        return transformers.GPTNeoForCausalLM(config).to(device)

    def operations(self, kind: str, texts: int, length: int) -> float:
        """Floating-point operations that a step needs."""
        head = self.vocabulary * self.hidden
        weights = 12 * self.layers * self.hidden**2 + head
        attended = (length / 2 + in_window(length)) / 2  # by a token, in the mean over both kinds of layers
        forward = 2 * weights + 4 * self.layers * self.hidden * attended
        tokens = texts * length
        frozen = {"finetune": 0, "icu": 2 * head, "npo": forward}[kind]
        roles = 1 if kind == "finetune" else 2
        return tokens * (roles * 3 * forward + frozen)


def in_window(length: int) -> float:
    """Tokens that one attends to on average, of those before it a window."""
    width = min(length, WINDOW)
    return width - width**2 / (2 * length)


SHAPES = [
    Shape("125M", 12, 768, 12, 50257, {200: 32, 1024: 8}),
    Shape("1.3B", 24, 2048, 16, 50257, {200: 32, 1024: 8}),
]
TINY = [Shape("tiny", 2, 64, 2, 512, {32: 4})]


def roles(kind: str, texts: int, length: int, vocabulary: int) -> dict[str, Rows]:
    names = list(dict.fromkeys(KINDS[kind].TERMS.values()))
    draw = np.random.default_rng(0)
    count = STEPS * texts
    return {
        name: Rows(
            torch.from_numpy(draw.integers(1, vocabulary, (count, length))), torch.full((count,), length)
        )
        for name in names
    }


def seconds(device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def clear(device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def gigabytes(device) -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")


def frozen_for(kind: str, model):
    """What the losses read of the model before the run."""
    if kind == "finetune":
        return None
    before = as_frozen(copy.deepcopy(model))
    return FrozenHidden(before) if kind == "icu" else before


def ours(shape: Shape, kind: str, texts: int, length: int, device, compile: bool) -> tuple[float, float]:
    """Seconds of a step and the peak of memory in GiB."""
    clear(device)
    method, model = KINDS[kind], shape.model(device)
    objective = Objective(method.loss, method.Hyper(), method.TERMS, frozen_for(kind, model))
    material = roles(kind, texts, length, shape.vocabulary)
    sizes = dict.fromkeys(material, texts)
    recipe = Training.model_validate(
        {"epochs": 2, "learning_rate": 1e-5, "batch": sizes, "precision": "bf16", "compile": compile}
    )
    pairs = np.arange(STEPS * texts)[:, None] if kind == "icu" else None
    batches = Batches(TrainingRows(material, pairs), recipe, objective.terms, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(model, objective, batches, "", Path(folder) / "state")
        engine.watch, engine.saved = Stopwatch(), time.monotonic()
        active = np.ones(STEPS * texts, bool)
        for position in range(STEPS):
            engine.step(position, active)
        began = seconds(device)
        for position in range(STEPS):
            engine.step(position, active)
        return (seconds(device) - began) / STEPS, gigabytes(device)


class Plain(transformers.Trainer):
    """The losses as one would write them down."""

    kind: str
    frozen: torch.nn.Module | None

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        with (
            self.accelerator.autocast()
        ):  # else it is for `model` alone, and what is frozen computes in float32
            return self.loss(model, inputs)

    def loss(self, model, inputs) -> torch.Tensor:
        if self.kind == "finetune":
            tokens = inputs["retain"]
            return model(tokens, labels=tokens).loss
        forget = inputs["forget"]
        assert self.frozen is not None
        if self.kind == "npo":
            with torch.no_grad():
                before = -per_text(self.frozen, forget)
            retain = inputs["retain"]
            term = 20 * softplus(0.1 * (-per_text(model, forget) - before)).mean()
            return term + model(retain, labels=retain).loss
        analogue = inputs["analogue"]
        logits = model(analogue).logits[:, :-1]
        with torch.no_grad():
            before = self.frozen(analogue).logits[:, :-1]
        learn = cross_entropy(logits.flatten(0, 1).float(), analogue[:, 1:].flatten())
        now, then = (log_softmax(x.float(), -1).flatten(0, 1) for x in (logits, before))
        divergence = kl_div(now, then, reduction="batchmean", log_target=True)
        return -model(forget, labels=forget).loss + learn + divergence


def per_text(model, tokens: torch.Tensor) -> torch.Tensor:
    """(B,) negative log-likelihood of each text."""
    logits, targets = model(tokens).logits[:, :-1].float(), tokens[:, 1:]
    each = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return each.view(targets.shape).sum(1)


class Watch(transformers.TrainerCallback):
    """When the second epoch begins and ends."""

    def __init__(self, device):
        self.device, self.times = device, []

    def on_epoch_begin(self, *_, **__):
        self.times.append(seconds(self.device))

    def on_train_end(self, *_, **__):
        self.times.append(seconds(self.device))


def trainer(shape: Shape, kind: str, texts: int, length: int, device) -> tuple[float, float]:
    """The same of a Trainer."""
    clear(device)
    model = shape.model(device)
    frozen = copy.deepcopy(model).eval().requires_grad_(False) if kind != "finetune" else None
    material = roles(kind, texts, length, shape.vocabulary)
    data = [{name: rows.input_ids[i] for name, rows in material.items()} for i in range(STEPS * texts)]
    watch = Watch(device)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, num_train_epochs=2, per_device_train_batch_size=texts, learning_rate=1e-5, bf16=True,
            optim="adamw_torch_fused", lr_scheduler_type="constant", max_grad_norm=0.0, logging_strategy="no",
            save_strategy="no", report_to="none", disable_tqdm=True, remove_unused_columns=False,
            use_cpu=device.type == "cpu",
        )  # fmt: skip
        plain = Plain(model, arguments, train_dataset=data, callbacks=[watch], data_collator=collate)
        plain.kind, plain.frozen = kind, frozen
        plain.remove_callback(transformers.PrinterCallback)
        plain.train()
    return (watch.times[2] - watch.times[1]) / STEPS, gigabytes(device)


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def within_memory(way: Callable[..., tuple[float, float]], *work) -> tuple[float, float]:
    """What a way takes; not a number where the GPU's memory does not hold it."""
    try:
        return way(*work)
    except torch.OutOfMemoryError:
        return float("nan"), float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny shape")
    parser.add_argument("--shape", choices=[s.name for s in SHAPES], help="one shape only")
    parser.add_argument("--compile", action="store_true", help="also with compiled blocks")
    chosen = parser.parse_args()
    transformers.logging.set_verbosity_error()
    gpus.claim(1)  # of several, a Trainer would take all
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not chosen.quick:
        raise SystemExit("training.py: there is no GPU here; --quick tries a tiny shape on the CPU")
    name = (
        torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    )
    peak = next((value for key, value in PEAK.items() if key in name), float("nan"))
    print(f"{name}, torch {torch.__version__}, transformers {transformers.__version__}\n")
    columns = [
        "shape",
        "T",
        "texts",
        "step",
        "ours, tokens/s",
        "MFU",
        "GiB",
        "Trainer, tokens/s",
        "MFU",
        "GiB",
        "ratio",
    ]
    print("| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    for shape in TINY if chosen.quick else [s for s in SHAPES if chosen.shape in (None, s.name)]:
        for length, texts in shape.batches.items():
            for kind in KINDS:
                work = shape, kind, texts, length, device
                plain, plain_memory = within_memory(trainer, *work)
                for compile in (False, True) if chosen.compile else (False,):
                    step, memory = within_memory(ours, *work, compile)
                    tokens = texts * length * (1 if kind == "finetune" else 2)
                    needed = shape.operations(kind, texts, length) / peak
                    cells = [
                        shape.name, length, texts, kind + (", compiled" if compile else ""), f"{tokens / step:.0f}",
                        f"{needed / step:.1%}", f"{memory:.1f}", f"{tokens / plain:.0f}", f"{needed / plain:.1%}",
                        f"{plain_memory:.1f}", f"{plain / step:.2f}",
                    ]  # fmt: skip
                    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
