"""What a reader must know beside the numbers: how many seeds, how few examples, who over-unlearned."""

from __future__ import annotations

from lethe.metrics.common.attacks import judged_others
from lethe.metrics.common.statistics import half_width
from lethe.params.report import Report
from lethe.report.collect import Results
from lethe.report.descriptions import ATTACK

BELOW = (  # flag of an attack, below what its AUC is, and what that says
    (
        "below_retrain",
        "that on retrain",
        "Below retrain: beside test text, what was forgotten is less familiar to the model than to one that never saw "
        "it.",
    ),
    (
        "over_unlearned",
        "0.5",
        "Below 0.5: what was forgotten is less familiar to the model than text it never saw.",
    ),
)


def remarks(results: Results, found: dict, settings: Report) -> list[str]:
    """Sentences for the page, from the weakest point of the evidence on."""
    return [
        seeds(len(results.seeds), settings.confidence),
        *noise(results, found, settings.confidence),
        *small_sets(results),
        *blind(results, found),
        *over_unlearned(results, found),
        *differing(results, found, settings.forget_quality),
    ]


def seeds(count: int, confidence: float) -> str:
    if count == 1:
        return (
            "One seed: there is no spread, intervals are over examples, and any difference between two runs may be "
            "chance. Add seeds before drawing conclusions."
        )
    reach = half_width(count, confidence)
    text = (
        f"{count} seeds: a gap is marked when the {100 * confidence:g}% Student-t interval of the paired differences "
        f"excludes zero. With {count} seeds it reaches {reach:.1f} standard deviations to each side"
    )
    few = (
        ", so that only gaps far beyond the spread are marked: the absence of a mark is no proof of equality."
    )
    return text + (few if count < 5 else ".")


def noise(results: Results, found: dict, confidence: float) -> list[str]:
    """What the band of retrained models among themselves was estimated from."""
    degrees = {entry["band"]["degrees"] for entry in found["retrain"].values() if "band" in entry}
    if not degrees:
        return []
    again = len(results.again)
    source = f"{again + 1} retrained models per seed" if again else "the retrained models of different seeds"
    return [
        f"Noise band: {100 * confidence:g}% of the gaps of another retrained model would lie within it, estimated from "
        f"{source} (degrees of freedom: {max(degrees)}). A gap within the band is no sign of imperfect unlearning."
    ]


def blind(results: Results, found: dict) -> list[str]:
    """Can the forget set be told from the test set without any model?"""
    judged = {seed: numbers for seed, numbers in results.blind.items() if numbers}
    if not judged:
        return [
            "Blind control: none, as an attack that sees only the texts learns nothing from a single group of them "
            "(near-duplicates, one subject). Whether forget and test differ in their words is open."
        ]
    leaks = [seed for seed, numbers in judged.items() if numbers["blind_leak"]]
    mean = found["blind"]["blind_auc"]["mean"]
    text = f"Blind control: an attack that sees only the texts, no model, has AUC {mean:.2f}"
    if not leaks:
        return [
            f"{text}; no interval of it lies above 0.5: no sign that forget and test differ in their words."
        ]
    return [
        f"{text}, with intervals above 0.5 in {len(leaks)} of {len(judged)} seeds: forget and test "
        "differ in their words, and so does every attack's AUC. Compare with retrain, or set measure.matched."
    ]


def small_sets(results: Results) -> list[str]:
    """The test examples that are judged bound how low a false positive rate can be told apart from none."""
    columns = results.examples("retrain", results.seeds[0])
    tests = int(judged_others(columns | {"sets": columns["set"]}).sum())
    rates = [rate for rate in results.study.measure.false_positive_rates if rate * tests < 1]
    if not rates:
        return []
    listed = " and ".join(f"{rate:.4g}" for rate in rates)
    return [
        f"Attacks are judged on {tests} test examples: one false accusation is already a rate of {1 / tests:.2g}, so "
        f"the true positive rates at {listed} are those without any. The rate reached stands beside them, exact bounds "
        "in the metrics.json of each run."
    ]


def over_unlearned(results: Results, found: dict) -> list[str]:
    """Runs whose membership attack does significantly worse than on retrain, or than chance."""
    score = ATTACK[results.study.task]
    found_below, reasons = [], []
    for flag, what, reason in BELOW:
        flagged = []
        for run in results.methods:
            entry = found[run].get(f"{score}_{flag}", {"mean": 0, "n": 0})
            if entry["mean"] > 0:
                flagged.append(f"{run} ({round(entry['mean'] * entry['n'])} of {entry['n']} seeds)")
        if flagged:
            found_below.append(f"below {what}: {', '.join(flagged)}")
            reasons.append(reason)
    if not found_below:
        return []
    return [f"Over-unlearned, with an attack AUC significantly {'; '.join(found_below)}. {' '.join(reasons)}"]


def differing(results: Results, found: dict, threshold: float) -> list[str]:
    """Methods whose losses on the forget set cannot be retrain's, in every seed's mean p-value."""
    told = [run for run in results.methods if found[run]["forget_quality"]["mean"] < threshold]
    if not told:
        return []
    own = found["retrain"].get("forget_quality")
    beside = f" (retrained models among themselves: {own['mean']:.2g})" if own else ""
    return [
        f"Forget quality below {threshold:g}{beside}: the losses of {', '.join(told)} on the forget set are not "
        "distributed as those of retrain."
    ]
