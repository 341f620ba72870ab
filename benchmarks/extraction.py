"""Seconds and ratios of the extraction metrics against the published way to compute them, all in one process.

    python benchmarks/extraction.py            # everything, some minutes
    python benchmarks/extraction.py --quick    # texts of 64 tokens only

Three ways, the same values: `reference` calls `generate` once per prefix on a batch of all texts, and for the
memorization accuracy once per position, as the published code does, with logits everywhere, as `generate` had them
then, or of the last token only, as it does now; `batched` joins neighbouring prefixes in one `generate`, padded on the
left; `ours` is `lethe.decoding.extraction`. The first two are measured on evenly spread prefixes and scaled by the
number of tokens decoded; on those prefixes the tokens of all ways are compared. The ways take turns, so that other load
on the machine meets all alike; the ratio of processor times feels it least. On a GPU, where there is one, a model of
the size of GPT-Neo 125M is measured as well; there the clock counts.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from lethe.data.rows import Rows
from lethe.decoding.decoding import teacher_forced
from lethe.decoding.extraction import Extraction, extraction
from lethe.decoding.greedy_branches import Branches
from lethe.objectives import icu
from lethe.training.frozen import FrozenHidden

Shape = dict[str, Any]  # of a GPT-Neo
TINY: Shape = {"vocab_size": 2048, "hidden_size": 128, "num_layers": 2, "num_heads": 2, "window_size": 48}
NEO_125M: Shape = {
    "vocab_size": 50257,
    "hidden_size": 768,
    "num_layers": 12,
    "num_heads": 12,
    "window_size": 256,
}
TEXTS, TEXTS_ON_GPU = 16, 128
LEVELS = {"random": 0.0, "half": 0.5, "memorised 95 %": 0.95, "memorised 99 %": 0.99}
NEIGHBOURS = 16  # prefixes in one batch of `batched`
HELD = 2**18  # tokens whose keys and values are held at once, 0.5 GB of these models
TURNS = 3  # rounds in which the ways are timed one after the other
ICU_START, ICU_ACCURACY, ICU_LIKELIHOOD = 150, 0.5994, 0.0499  # of the published code


def build(level: str, tokens: torch.Tensor, shape: Shape):
    """A GPT-Neo of a shape, on the device of the texts, fitted to them up to a memorization accuracy."""
    torch.manual_seed(0)
    config = transformers.GPTNeoConfig(
        **shape, attention_types=[[["global", "local"], shape["num_layers"] // 2]],
        max_position_embeddings=tokens.shape[1] + NEIGHBOURS, resid_dropout=0.0, embed_dropout=0.0,
        attention_dropout=0.0, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model: Any = transformers.GPTNeoForCausalLM(config)
    model.to(tokens.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        right = 0
        optimiser.zero_grad()
        for part in tokens.split(TEXTS):
            logits, targets = model(part).logits[:, :-1], part[:, 1:]
            right += int((logits.argmax(-1) == targets).sum())
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            (loss * len(part) / len(tokens)).backward()
        if right >= LEVELS[level] * tokens[:, 1:].numel():
            return model.eval()
        optimiser.step()


@dataclass
class Time:
    """Seconds by the clock and of the processor."""

    clock: float = 0.0
    processor: float = 0.0

    def of(self, call: Callable):
        """What the call returns; its time is added."""
        clock, processor = time.perf_counter(), time.process_time()
        result = call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.clock += time.perf_counter() - clock
        self.processor += time.process_time() - processor
        return result

    def __mul__(self, factor: float) -> Time:
        return Time(self.clock * factor, self.processor * factor)


def per_prefix(model, tokens: torch.Tensor, prefix: int, length: int) -> torch.Tensor:
    """(N, length) greedy continuation of one prefix of every text."""
    prompt = tokens[:, :prefix]
    return model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_length=length, do_sample=False, pad_token_id=0
    )


def neighbours(model, tokens: torch.Tensor, prefixes: range) -> list[torch.Tensor]:
    """The same for neighbouring prefixes in one batch, padded on the left; every row runs as long as the longest."""
    length, widest = tokens.shape[1], prefixes[-1]
    prompt = torch.cat([torch.nn.functional.pad(tokens[:, :t], (widest - t, 0)) for t in prefixes])
    mask = torch.cat(
        [torch.nn.functional.pad(torch.ones_like(tokens[:, :t]), (widest - t, 0)) for t in prefixes]
    )
    out = model.generate(
        prompt, attention_mask=mask, max_new_tokens=length - prefixes[0], do_sample=False, pad_token_id=0
    )
    return [
        rows[:, widest - t :][:, :length] for t, rows in zip(prefixes, out.split(len(tokens)), strict=True)
    ]


def next_token(model, tokens: torch.Tensor, prefix: int) -> torch.Tensor:
    """(N, prefix + 1) one greedy token more, from logits everywhere, as `generate` had when the code was published."""
    model._supports_logits_to_keep = lambda: False  # those of the last token only
    try:
        return per_prefix(model, tokens, prefix, prefix + 1)
    finally:
        del model._supports_logits_to_keep


def different(found: Branches, prefix: int, texts: torch.Tensor) -> int:
    """Tokens in which `texts` (N, T), continued from a prefix, differ from our continuations."""
    ours = [found.continuation(i, prefix) for i in range(len(texts))]
    return int((np.stack(ours) != texts[:, prefix:].cpu().numpy()).sum())


def in_turns(calls: dict[str, list[Callable]]) -> dict[str, Time]:
    """Time of all calls of each way; the ways take turns, each with every TURNS-th of its calls."""
    times = {name: Time() for name in calls}
    for turn in range(TURNS):
        for name, ones in calls.items():
            for call in ones[turn::TURNS]:
                times[name].of(call)
    return times


def random_tokens(texts: int, length: int, shape: Shape, seed: int = 0) -> torch.Tensor:
    """(texts, length) tokens drawn alike."""
    return torch.from_numpy(np.random.default_rng(seed).integers(1, shape["vocab_size"], (texts, length)))


def compare(level: str, tokens: torch.Tensor, shape: Shape) -> dict[str, object]:
    """The three ways on one model; tokens of all ways are compared on the prefixes that were measured."""
    length = tokens.shape[1]
    model = build(level, tokens, shape)
    prefixes = range(1, length, 2 if length <= 64 else 25)
    groups = [range(t, min(t + NEIGHBOURS, length)) for t in range(1, length, NEIGHBOURS)]
    some = groups[1 :: len(groups) // 2]
    positions = range(1, length, 5)
    found: list[Extraction] = []
    outputs: list[tuple[int, torch.Tensor]] = []  # prefix and what it was continued to, by either reference
    extraction(model, tokens[:2])  # warm up
    times = in_turns({
        "ours": [lambda: found.append(extraction(model, tokens, keep=True, decode_batch_tokens=HELD))] * TURNS,
        "reference": [lambda t=t: outputs.append((t, per_prefix(model, tokens, t, length))) for t in prefixes],
        "batched": [lambda g=g: outputs.extend(zip(g, neighbours(model, tokens, g), strict=True)) for g in some],
        "ma_ours": [lambda: teacher_forced(model, tokens)] * 5 * TURNS,
        "ma_reference": [lambda t=t: per_prefix(model, tokens, t, t + 1) for t in positions],
        "ma_published": [lambda t=t: next_token(model, tokens, t) for t in positions],
    })  # fmt: skip
    factors = {
        "ours": 1 / TURNS,
        "reference": sum(range(1, length)) / sum(length - t for t in prefixes),
        "batched": sum(length - g[0] for g in groups) / sum(length - g[0] for g in some),
        "ma_ours": 1 / (5 * TURNS),
        "ma_reference": (length - 1) / len(positions),
        "ma_published": (length - 1) / len(positions),
    }
    kept = found[0].continuations
    assert kept is not None
    wrong = sum(different(kept, t, out) for t, out in outputs)
    spent = {name: time * factors[name] for name, time in times.items()}
    continued = len(tokens) * sum(range(1, length))
    return {
        "T": length,
        "model": level,
        "found": found[0],
        "wrong": wrong,
        "spent": spent,
        "continued": continued,
    }


def likelihood_row(result: dict) -> dict[str, object]:
    found, spent = result["found"], result["spent"]
    ours, reference, batched = spent["ours"], spent["reference"], spent["batched"]
    return {
        "T": str(result["T"]), "model": result["model"], "MA": found.memorization_accuracy.mean(),
        "EL_3": found.extraction_likelihood[3].mean(), "per prefix, s": reference.clock, "batched, s": batched.clock,
        "ours, s": ours.clock, "tokens a second": result["continued"] / ours.clock,
        "ratio": reference.clock / ours.clock, "ratio, processor": reference.processor / ours.processor,
        "to batched, processor": batched.processor / ours.processor, "wrong tokens": str(result["wrong"]),
        "margin": found.margin.min(),
    }  # fmt: skip


def accuracy_row(result: dict) -> dict[str, object]:
    spent = result["spent"]
    ours, today, published = spent["ma_ours"], spent["ma_reference"], spent["ma_published"]
    return {
        "T": str(result["T"]), "model": result["model"], "per position, s": published.clock,
        "last logits, s": today.clock, "ours, s": ours.clock,
        "ratio, processor": published.processor / ours.processor,
        "to last logits, processor": today.processor / ours.processor,
    }  # fmt: skip


def published_check(model, tokens: torch.Tensor) -> tuple[float, float]:
    """MA and EL_10 as evaluated after every epoch by the published code: one call per position, one per prefix."""
    length, order = tokens.shape[1], 10
    right = [per_prefix(model, tokens, t, t + 1)[:, t] == tokens[:, t] for t in range(1, length)]
    total = np.zeros(len(tokens))
    for t in range(ICU_START, length - order + 1):
        out = per_prefix(model, tokens, t, length)
        for i, (row, text) in enumerate(zip(out[:, t:].tolist(), tokens[:, t:].tolist(), strict=True)):
            true = {tuple(text[s : s + order]) for s in range(len(text) - order + 1)}
            total[i] += sum(tuple(row[s : s + order]) in true for s in range(len(row) - order + 1)) / (
                len(text) - order + 1
            )
    return float(torch.stack(right).float().mean()), float(total.mean() / (length - order + 1 - ICU_START))


def our_check(model, tokens: torch.Tensor) -> tuple[float, float]:
    found = extraction(model, tokens, n=(10,), start=ICU_START)
    return float(found.memorization_accuracy.mean()), float(found.extraction_likelihood[10].mean())


def icu_run(length: int = 200) -> dict[str, object]:
    """One ICU run to its stop, both checks timed after every epoch; they must agree, so the runs are the same."""
    tokens, kept = (random_tokens(TEXTS, length, TINY, seed) for seed in range(2))
    model = build("memorised 95 %", tokens, TINY)
    frozen = FrozenHidden(copy.deepcopy(model).requires_grad_(False))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98))
    sizes = torch.full((8,), length)
    training, reference, ours = Time(), Time(), Time()

    def epoch() -> None:
        for rows in torch.arange(TEXTS).split(8):
            batch = {"forget": Rows(tokens[rows], sizes), "analogue": Rows(kept[rows], sizes)}
            optimiser.zero_grad()
            terms = icu.loss(icu.Hyper(), model, frozen, batch)
            torch.stack([term.mean() for term in terms.values()]).sum().backward()
            optimiser.step()

    epochs, stopped = 0, False
    while not stopped:
        epochs += 1
        training.of(epoch)
        values = ours.of(lambda: our_check(model, tokens))
        published = reference.of(lambda: published_check(model, tokens))
        if not np.allclose(values, published, atol=1e-6):
            raise SystemExit(f"the checks of epoch {epochs} differ: {values}, {published}")
        stopped = values[0] < ICU_ACCURACY and values[1] < ICU_LIKELIHOOD
    return {
        "epochs": str(epochs), "training, s": training.clock, "checks per prefix, s": reference.clock,
        "checks ours, s": ours.clock, "run per prefix, s": training.clock + reference.clock,
        "run ours, s": training.clock + ours.clock,
        "ratio": (training.clock + reference.clock) / (training.clock + ours.clock),
        "ratio, processor": (training.processor + reference.processor) / (training.processor + ours.processor),
    }  # fmt: skip


def table(rows: list[dict[str, object]]) -> str:
    def cell(value) -> str:
        return value if isinstance(value, str) else f"{value:.3g}"

    lines = [list(rows[0]), ["---"] * len(rows[0]), *([cell(v) for v in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="texts of 64 tokens only, no ICU run")
    parser.add_argument("--threads", type=int, default=2)
    quick, threads = (vars(parser.parse_args())[name] for name in ("quick", "threads"))
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(threads)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {threads} threads,"
        f" torch {torch.__version__}, transformers {transformers.__version__}; {TEXTS} texts; seconds\n"
    )
    results = []
    for length in (64,) if quick else (64, 200):
        tokens = random_tokens(TEXTS, length, TINY)
        for level in LEVELS:
            results.append(compare(level, tokens, TINY))
            print(table([likelihood_row(results[-1])]).splitlines()[-1], flush=True)
    print("\nEL_n and MA\n\n" + table([likelihood_row(result) for result in results]))
    print("\nMA alone\n\n" + table([accuracy_row(result) for result in results]))
    if torch.cuda.is_available():
        tokens = random_tokens(TEXTS_ON_GPU, 200, NEO_125M).cuda()
        results = [compare(level, tokens, NEO_125M) for level in LEVELS]
        print(f"\n{torch.cuda.get_device_name()}, GPT-Neo 125M, {TEXTS_ON_GPU} texts\n")
        print(table([likelihood_row(result) for result in results]))
    if not quick:
        print("\nICU, 16 texts of 200 tokens, to its stop\n\n" + table([icu_run()]))


if __name__ == "__main__":
    main()
