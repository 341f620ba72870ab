"""How often intervals, stars and verdicts are wrong, by simulation; the tables of docs/statistics.md.

    OMP_NUM_THREADS=1 python benchmarks/verdicts.py            # some minutes
    OMP_NUM_THREADS=1 python benchmarks/verdicts.py --draws 200

Every row is a world whose truth is known. A share of N draws has a standard error of at most half over the root of N,
and of .005 at 5 % of 2,000.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy import special

from lethe.metrics.common.attacks import auc, auc_draws, auc_interval
from lethe.metrics.common.gaps import error_of_examples, gap_to_retrained, paired_gaps, verdict
from lethe.metrics.common.statistics import percentile_interval

# Another model of one recipe, for one seed's forget set: values of examples, whose mean is its number.
Draw = Callable[[], np.ndarray]
SIZES = ((1, 64), (2, 64), (4, 64), (8, 64), (32, 64), (64, 300), (300, 300), (1000, 1000))
AREAS = (0.5, 0.7, 0.9, 0.97, 0.995)
MARGIN = 4.0  # in standard deviations of the training noise
METHODS = "abcd"


def coverage(rng: np.random.Generator, draws: int) -> list[list[str]]:
    """How often the 95 % interval of an area under the curve holds the true one; scores are normal."""
    rows = []
    for members, others in SIZES:
        for area in AREAS:
            shift = np.sqrt(2) * special.ndtri(area)
            closed = resampled = 0
            few = min(draws, 400) if members < 500 else 0
            for draw in range(draws):
                groups = rng.normal(-shift, 1, members), rng.normal(0, 1, others)
                low, high = auc_interval(*groups, 0.95)
                closed += low <= area <= high
                if draw < few:
                    low, high = percentile_interval(auc_draws(*groups, 400, rng), 0.95)
                    resampled += low <= area <= high
            beside = f"{resampled / few:.3f}" if few else "–"
            rows.append([f"{members} / {others}", f"{area:g}", f"{closed / draws:.3f}", beside])
    return rows


def kinds(rng: np.random.Generator) -> dict[str, Callable[[], Draw]]:
    """name -> a draw of a forget set, which is a draw of models on it."""

    def accuracy(examples: int, a: float, b: float) -> Callable[[], Draw]:
        """Share of examples that are right, each with a chance of its own from a beta distribution."""

        def chosen() -> Draw:
            chances = rng.beta(a, b, examples)
            return lambda: (rng.random(examples) < chances).astype(np.float64)

        return chosen

    def rare(examples: int, share: float) -> Callable[[], Draw]:
        """Mean of values that are nearly all 0, as extraction likelihoods are."""

        def model() -> np.ndarray:
            values = rng.integers(1, 20, examples) / 600
            return np.where(rng.random(examples) < share, values, 0)

        return lambda: model

    def area(members: int, others: int, shared: float) -> Callable[[], Draw]:
        """Area under the curve of scores of which models share a part: how hard an example is."""

        def chosen() -> Draw:
            hardness = rng.normal(size=members + others)

            def model() -> np.ndarray:
                noise = rng.normal(size=members + others)
                scores = np.sqrt(shared) * hardness + np.sqrt(1 - shared) * noise
                return np.array([auc(scores[:members], scores[members:])])

            return model

        return chosen

    return {
        "normal": lambda: lambda: rng.normal(size=1),
        "accuracy, 64 examples": accuracy(64, 0.5, 0.35),
        "accuracy, 64 examples, nearly all sure": accuracy(64, 0.1, 0.07),
        "accuracy, 336 examples, 98 % right": accuracy(336, 4, 0.08),
        "extraction likelihood, 3 % not 0": rare(32, 0.03),
        "extraction likelihood, 10 % not 0": rare(32, 0.1),
        "AUC, 32 / 64 examples": area(32, 64, 0.5),
    }


def false_stars(rng: np.random.Generator, draws: int) -> list[list[str]]:
    """How often another retrained model is told from retraining at 5 %."""
    rows = []
    for name, chosen in kinds(rng).items():
        for seeds in (2, 3):
            several = unbounded = single = pooled = 0.0
            for _ in range(draws):
                models = [chosen() for _ in range(seeds)]
                values = [model() for model in models]
                runs = {"a": [float(of.mean()) for of in values]}
                runs |= {method: [float(model().mean()) for model in models] for method in METHODS[1:]}
                groups = [[model() for _ in range(3)] for model in models]
                retrained = [[float(of.mean()) for of in group] for group in groups]
                gap = gap_to_retrained(runs["a"], retrained)
                assert gap is not None
                error = error_of_examples([a - b[0] for a, b in zip(values, groups, strict=True)])
                several += gap.at_least(error).p_value() < 0.05
                unbounded += gap.p_value() < 0.05
                first = [group[0] for group in retrained]
                single += paired_gaps({"a": runs["a"]}, first)["a"].p_value() < 0.05
                found = paired_gaps(runs, first).values()
                pooled += sum(gap.p_value() < 0.05 for gap in found) / len(METHODS)
            counts = several, unbounded, single, pooled
            rows.append([name, str(seeds), *(f"{count / draws:.3f}" for count in counts)])
    return rows


def verdicts(rng: np.random.Generator, draws: int) -> list[list[str]]:
    """Near, far and open by the true gap, in units of the margin; three retrained models a seed."""
    rows = []
    for seeds in (2, 3, 5):
        for true in (0.0, 0.5, 1.0, 1.5, 2.0):
            found = []
            for _ in range(draws):
                gap = gap_to_retrained(
                    rng.normal(size=seeds) + true * MARGIN, list(rng.normal(size=(seeds, 3)))
                )
                assert gap is not None
                found.append(verdict(gap, MARGIN))
            shares = [f"{found.count(name) / draws:.3f}" for name in ("near", "far", "open")]  # type: ignore[arg-type]
            rows.append([str(seeds), f"{true:g}", *shares])
    return rows


def smallest_gaps(rng: np.random.Generator, draws: int) -> list[list[str]]:
    """The smallest true gap, in deviations of the training noise, that is told from 0 at 5 % in 80 % of worlds."""
    rows = []
    for seeds, retrained in ((2, 1), (3, 1), (5, 1), (2, 2), (2, 3), (3, 3), (2, 6)):
        for gap in np.arange(0.25, 60, 0.25):
            found = 0
            for _ in range(draws):
                run = rng.normal(size=seeds) + gap
                group = rng.normal(size=(seeds, retrained))
                one = paired_gaps({"a": run}, group[:, 0]).get("a") if retrained == 1 else None
                of = one or gap_to_retrained(run, list(group))
                assert of is not None
                found += of.p_value() < 0.05
            if found >= 0.8 * draws:
                rows.append([str(seeds), str(retrained), f"{gap:.2f}"])
                break
    return rows


TABLES = {
    "Coverage of the 95 % interval of an AUC": (
        ("members / others", "true AUC", "closed form", "bootstrap"),
        coverage,
    ),
    "False stars: another retrained model, told from retraining at 5 %": (
        (
            "number",
            "seeds",
            "3 retrained a seed",
            "without the bound",
            "1, paired t",
            "1, pooled over 4 runs",
        ),
        false_stars,
    ),
    "Verdicts by the true gap in margins": (("seeds", "true gap", "near", "far", "open"), verdicts),
    "Smallest gap found in 80 %": (("seeds", "retrained a seed", "deviations"), smallest_gaps),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    for title, (head, make) in TABLES.items():
        rows = make(np.random.default_rng(0), draws)
        print(f"\n**{title}**\n")
        for row in [list(head), ["---"] * len(head), *rows]:
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
