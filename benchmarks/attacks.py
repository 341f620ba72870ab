"""Seconds of membership inference with shadow models, beside a loop over examples, all in one process.

    OMP_NUM_THREADS=1 python benchmarks/attacks.py                  # 10,000 examples, 64 shadow models
    OMP_NUM_THREADS=1 python benchmarks/attacks.py --examples 1000

Three parts: the attacks on arrays, each beside its definition written out example by example (measured on every
50th, scaled, and compared); each judged, with the bootstrap interval of its area under the curve; and the whole of
`lethe measure` from files, with every other metric of a classifier.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy.special import expit
from scipy.stats import norm

from lethe.measure import measure
from lethe.metrics.common.attacks import membership
from lethe.metrics.lira import lira_offline, lira_online, logit_confidence
from lethe.metrics.rmia import mean_probability_offline, mean_probability_online, rmia
from lethe.params.measure import Measure

CLASSES, HIDDEN, EVERY = 10, 64, 50
SETS = {"forget": 0.1, "retain": 0.5, "holdout": 0.2, "test": 0.2}
Timed = tuple[float, float]  # seconds by the clock and of the processor


def timed(call: Callable) -> tuple[Timed, Any]:
    clock, processor = time.perf_counter(), time.process_time()
    result = call()
    return (time.perf_counter() - clock, time.process_time() - processor), result


def logits_of(hardness: np.ndarray, labels: np.ndarray, member: np.ndarray, rng) -> np.ndarray:
    """(N, C) logits of a model that is surer of what it was trained on."""
    logits = rng.normal(size=(len(labels), CLASSES))
    logits[np.arange(len(labels)), labels] += hardness + 2.0 * member
    return logits


def lira_loop(target, shadow, member) -> np.ndarray:
    """LiRA online, one example after the other."""
    found = []
    for confidence, row, inside in zip(target, shadow, member, strict=True):
        fits = [norm(row[use].mean(), row[use].std(ddof=1)) for use in (inside, ~inside)]
        found.append(fits[1].logpdf(confidence) - fits[0].logpdf(confidence))
    return np.array(found)


def lira_offline_loop(target, shadow, member) -> np.ndarray:
    outside = [row[~inside] for row, inside in zip(shadow, member, strict=True)]
    return np.array([norm.logsf(t, v.mean(), v.std(ddof=1)) for t, v in zip(target, outside, strict=True)])


def rmia_loop(target, mean, others, others_mean) -> np.ndarray:
    """RMIA: every example against every one of the population."""
    return np.array([1 - np.mean(t / m >= others / others_mean) for t, m in zip(target, mean, strict=True)])


def on_arrays(sets: np.ndarray, target: np.ndarray, shadow: np.ndarray, member: np.ndarray) -> None:
    """Print time of each attack, of the loop, and of judging it; stop if the two ways differ."""
    p, q, population = expit(target), expit(shadow), sets == "holdout"
    online, offline = mean_probability_online(q, member), mean_probability_offline(q, member)
    some, few = slice(None, None, EVERY), np.arange(len(target))[::EVERY]
    given, given_few = (target, shadow, member), (target[few], shadow[few], member[few])
    ways = {
        "LiRA online": (lambda: lira_online(*given), lambda: lira_loop(*given_few)),
        "LiRA offline": (lambda: lira_offline(*given), lambda: lira_offline_loop(*given_few)),
        "RMIA online": (
            lambda: rmia(p, mean_probability_online(q, member), p[population], online[population]),
            lambda: rmia_loop(p[few], online[few], p[population], online[population]),
        ),
        "RMIA offline": (
            lambda: rmia(p, mean_probability_offline(q, member), p[population], offline[population]),
            lambda: rmia_loop(p[few], offline[few], p[population], offline[population]),
        ),
    }
    print("| attack | s | processor, s | loop, processor, s | ratio | judged, processor, s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (fast, slow) in ways.items():
        spent, score = timed(fast)
        loop, expected = timed(slow)
        if not np.allclose(score[some], expected, rtol=1e-6, atol=1e-9):
            raise SystemExit(f"{name}: differs from the loop")
        judged, _ = timed(lambda score=score: membership("attack", score, {"sets": sets}, Measure(), 0))
        per_all = loop[1] * len(target) / len(few)
        print(
            f"| {name} | {spent[0]:.3f} | {spent[1]:.3f} | {per_all:.2f} | {per_all / spent[1]:.0f} |"
            f" {judged[1]:.2f} |"
        )


def from_files(ids, sets, labels, logits: np.ndarray, shadows: list[tuple[np.ndarray, np.ndarray]]) -> Timed:
    """Time of `lethe measure`: reading, all metrics of a classifier, all attacks, writing."""
    rng = np.random.default_rng(1)
    common = {"ids": ids, "labels": labels, "classes": np.arange(CLASSES).astype(str)}
    common |= {"characters": np.full(len(ids), 100), "embeddings": rng.normal(size=(len(ids), HIDDEN))}
    common |= {"checksum": np.arange(len(ids)), "settings": np.array("{}")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "run.npz", sets=sets, logits=logits, **common)
        paths = [folder / f"shadow{number}.npz" for number in range(len(shadows))]
        for path, (inside, seen) in zip(paths, shadows, strict=True):
            np.savez(path, sets=np.where(inside, "retain", "forget"), logits=seen, **common)
        return timed(lambda: measure({}, 0, folder / "run.npz", folder / "out", shadows=paths))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--shadows", type=int, default=64)
    count, models = (vars(parser.parse_args())[name] for name in ("examples", "shadows"))
    rng = np.random.default_rng(0)
    sets = np.repeat([*SETS], [round(count * share) for share in SETS.values()])
    count, labels = len(sets), rng.integers(0, CLASSES, len(sets))
    hardness, ids = rng.normal(1, 1, count), np.array([f"r{k:06}" for k in range(count)])
    halves = rng.integers(0, 2, count)[:, None] == np.arange(models) % 2
    shadows = [(inside, logits_of(hardness, labels, inside, rng)) for inside in halves.T]
    logits = logits_of(hardness, labels, np.isin(sets, ["forget", "retain"]), rng)
    print(
        f"{platform.machine()}, {os.environ.get('OMP_NUM_THREADS', 'all')} thread(s), numpy {np.__version__},"
        f" scipy {scipy.__version__}; {count} examples, {models} shadow models\n"
    )
    shadow = np.stack([logit_confidence(seen, labels) for _, seen in shadows], axis=1)
    on_arrays(sets, logit_confidence(logits, labels), shadow, halves)
    clock, processor = from_files(ids, sets, labels, logits, shadows)
    print(f"\n`lethe measure`, everything from files: {clock:.1f} s, processor {processor:.1f} s")


if __name__ == "__main__":
    main()
