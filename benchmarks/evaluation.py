"""Seconds and ratios of scoring against plain evaluation, one text after the other, all in one process.

    python benchmarks/evaluation.py            # a minute on a CPU; on a GPU also a larger model, and bf16
    python benchmarks/evaluation.py --quick    # few texts

Three ways, the same values: `ours` is `lethe.score`, one pass over each split in batches of similar length; `one by
one` gives each text a pass, from which all values follow; `per metric` gives each text a pass for each of four metrics
(loss, memorization accuracy, Min-K%, Min-K%++), as evaluation code does that keeps its metrics apart. Completions are
greedy and end where the text ends: `generate` on one text after the other beside ours. The ways take turns.
"""

from __future__ import annotations

import argparse
import copy
import platform
from typing import Any

import numpy as np
import torch
import transformers
from extraction import TURNS, Time, in_turns

from lethe.data.encoding import Encoded, padded_rows
from lethe.data.rows import Labelled, Rows
from lethe.params.score import Score
from lethe.tasks import classification, generation

SHAPES = {"tiny": (2, 128, 2, 2048), "125M": (12, 768, 12, 50257)}
CLASSES: dict[str, Any] = {"num_labels": 8}  # an option of every configuration
SETTINGS = Score(tries=0, prefix=0.5)


def texts(count: int, vocabulary: int, labelled: bool) -> Encoded:
    """Random tokens, 16 to 128 a text; short ones prevail, as in real text."""
    random = np.random.default_rng(0)
    lengths = np.exp(random.uniform(np.log(16), np.log(128), count)).astype(int)
    sequences = [random.integers(1, vocabulary, length).tolist() for length in lengths]
    rows: Rows = padded_rows(sequences, 0)
    if labelled:
        rows = Labelled(rows.input_ids, rows.lengths, labels=torch.zeros(count, dtype=torch.long))
    return Encoded(np.array([f"text {i}" for i in range(count)]), rows)


class NoTexts:
    """Stands for a tokenizer: random tokens are no text."""

    bos_token_id = eos_token_id = None

    def batch_decode(self, tokens: list, **_) -> list[str]:
        return [""] * len(tokens)


def generator(shape: str, device: torch.device):
    layers, hidden, heads, vocabulary = SHAPES[shape]
    torch.manual_seed(0)
    config = transformers.GPTNeoConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_layers=layers, num_heads=heads, window_size=64,
        attention_types=[[["global", "local"], layers // 2]], max_position_embeddings=128, bos_token_id=None,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model: torch.nn.Module = transformers.GPTNeoForCausalLM(config)
    return model.to(device).eval()


def classifier(shape: str, device: torch.device):
    layers, hidden, heads, vocabulary = SHAPES[shape]
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * hidden, max_position_embeddings=128, pad_token_id=0, **CLASSES,
    )  # fmt: skip
    model: torch.nn.Module = transformers.BertForSequenceClassification(config)
    return model.to(device).eval()


def each(model, encoded: Encoded):
    """The texts, one after the other: (1, T) tokens."""
    for row, length in zip(encoded.rows.input_ids, encoded.rows.lengths.tolist(), strict=True):
        yield row[None, :length].to(model.device)


@torch.no_grad()
def one_by_one(model, encoded: Encoded) -> np.ndarray:
    """(N, 4) mean loss, memorization accuracy, Min-20% and Min-20%++ of each text, from one pass."""
    found = []
    for tokens in each(model, encoded):
        log_p = model(tokens).logits[0, :-1].float().log_softmax(-1)
        right, p = log_p.gather(1, tokens[0, 1:, None])[:, 0], log_p.exp()
        mean = (p * log_p).sum(-1)
        normed = (right - mean) / (p * (log_p - mean[:, None]).square()).sum(-1).sqrt()
        few = max(1, len(right) // 5)
        hits = (log_p.argmax(-1) == tokens[0, 1:]).float()
        lowest = [values.sort().values[:few].mean() for values in (right, normed)]
        found.append([-right.mean().item(), hits.mean().item(), *(-value.item() for value in lowest)])
    return np.array(found)


def per_metric(model, encoded: Encoded) -> np.ndarray:
    """The same, where each metric makes passes of its own."""
    return np.stack([one_by_one(model, encoded)[:, metric] for metric in range(4)], 1)


def from_arrays(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The same from what `lethe score` keeps; the metrics' own code is left out of the comparison."""
    found = []
    for i, mask in enumerate(arrays["mask"]):
        right, mu, sigma = (arrays[name][i, mask] for name in ("logprob", "mu", "sigma"))
        few = max(1, mask.sum() // 5)
        lowest = [-np.sort(values)[:few].mean() for values in (right, (right - mu) / sigma)]
        found.append([-right.mean(), arrays["correct"][i, mask].mean(), *lowest])
    return np.array(found)


@torch.no_grad()
def labels_one_by_one(model, encoded: Encoded) -> np.ndarray:
    """(N, C) logits and pooled states, one pass a text; the logits are compared."""
    outputs = [model(tokens, output_hidden_states=True) for tokens in each(model, encoded)]
    _ = [output.hidden_states[-1][:, 0].cpu() for output in outputs]
    return torch.cat([output.logits for output in outputs]).cpu().numpy()


def generate(model, encoded: Encoded) -> np.ndarray:
    """(N, W) greedy ends of the texts, -1 after the last token; one `generate` a text."""
    found = []
    for tokens in each(model, encoded):
        length = tokens.shape[1]
        prompt = tokens[:, : max(1, length // 2)]
        mask = torch.ones_like(prompt)
        whole = model.generate(
            prompt, attention_mask=mask, max_length=length, do_sample=False, pad_token_id=0
        )
        found.append(whole[0, prompt.shape[1] :].cpu().numpy())
    width = max(map(len, found))
    return np.stack([np.pad(row, (0, width - len(row)), constant_values=-1) for row in found])


def rows_of(shape: str, count: int, device: torch.device) -> list[dict[str, object]]:
    """A row of the table for each kind of scoring."""
    vocabulary = SHAPES[shape][3]
    plain, labelled = (texts(count, vocabulary, flag) for flag in (False, True))
    model, other = generator(shape, device), classifier(shape, device)
    kinds = {
        "read a split": (
            model,
            lambda m: from_arrays(generation.scores(m, NoTexts(), plain, SETTINGS, False)),
            {"one by one": lambda: one_by_one(model, plain), "per metric": lambda: per_metric(model, plain)},
        ),
        "complete greedily": (
            model,
            lambda m: generation.completed(m, plain, SETTINGS)["completion"],
            {"one by one": lambda: generate(model, plain)},
        ),
        "classify a split": (
            other,
            lambda m: classification.scores(m, None, labelled, SETTINGS, False)["logits"],
            {"one by one": lambda: labels_one_by_one(other, labelled)},
        ),
    }
    table = []
    for kind, (whole, ours, others) in kinds.items():
        models = {"fp32": whole} | (
            {"bf16": copy.deepcopy(whole).to(torch.bfloat16)} if device.type == "cuda" else {}
        )
        reference = next(iter(others.values()))()  # warms up, too
        away = np.abs(ours(whole) - reference).max()
        calls = {f"ours {name}": [lambda m=m, f=ours: f(m)] * TURNS for name, m in models.items()}
        times = in_turns(calls | {name: [call] * TURNS for name, call in others.items()})
        for name in models:
            table.append(row(f"{shape}, {name}", kind, count, times[f"ours {name}"], times, away))
    return table


def row(
    model: str, kind: str, count: int, ours: Time, times: dict[str, Time], away: float
) -> dict[str, object]:
    found: dict[str, object] = {"model": model, "work": kind, "texts/s": f"{count * TURNS / ours.clock:.0f}"}
    for name in ("one by one", "per metric"):
        for unit in ("clock", "processor"):
            ratio = getattr(times[name], unit) / getattr(ours, unit) if name in times else None
            found[f"{name}, {unit}"] = "–" if ratio is None else f"{ratio:.1f}"
    return found | {"largest difference": f"{away:.0e}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few texts")
    count = 16 if parser.parse_args().quick else 96
    transformers.logging.set_verbosity_error()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = (
        torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    )
    print(
        f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, {count} texts, {TURNS} turns\n"
    )
    shapes = [*SHAPES] if device.type == "cuda" else ["tiny"]
    table = [one for shape in shapes for one in rows_of(shape, count, device)]
    print("| " + " | ".join(table[0]) + " |\n" + "| --- " * len(table[0]) + "|")
    for one in table:
        print("| " + " | ".join(map(str, one.values())) + " |")


if __name__ == "__main__":
    main()
