"""What a reader must know beside the numbers: how many seeds, how few examples, who over-unlearned."""

from __future__ import annotations

from typing import Any

from lethe.params.names import BLIND
from lethe.params.report import Report
from lethe.report.collect import Results, tokens

WITHOUT = {  # a set that is not given -> what is therefore missing
    "test": "test set is given: attacks on membership, the excess over unseen text and the blind control are missing, "
    "as there is no text of the same kind that no model saw.",
    "holdout": "hold-out set is given: the fitted attack, the transfer attack and balanced accuracies are missing, as "
    "there is nothing unseen that an attack could learn on.",
    "validation": "validation set is given: settings were not searched for, and no method stopped by unseen text.",
}

SEEN = (
    ("gate_sees_retain", "retained"),
    ("gate_sees_test", "unseen"),
    ("gate_sees_general_test", "general"),
)


def remarks(results: Results, settings: Report) -> list[str]:
    """Sentences for the page, from the weakest point of the evidence on."""
    return [
        seeds(len(results.seeds), results.comparison["reach"], settings.confidence),
        declaration(results),
        *missing(results),
        *noise(results, settings.confidence),
        *small_sets(results),
        *cut_texts(results.facts["prepared"]),
        *([] if "test" in absent_sets(results) else text_only_control(results)),
        *transfer_control(results),
        *over_unlearned(results),
        *differing(results),
        *derivable(results),
        *gates(results),
    ]


def seeds(count: int, reach: float | None, confidence: float) -> str:
    """`reach` is half the width of an interval, in standard deviations; None for a single seed."""
    if reach is None:
        return (
            "One seed: there is no spread, intervals are over examples, and any difference between two runs may be "
            "chance. Add seeds before drawing conclusions."
        )
    return (
        f"{count} seeds: the {100 * confidence:g}% interval of a mean difference reaches {reach:.1f} standard "
        "deviations to each side. A value without a mark was not told from the retrained models'; that does not make "
        "the two equal."
    )


def declaration(results: Results) -> str:
    """What was declared before the run."""
    claims, count = results.comparison["claims"], len(results.study.retrained)
    models = f"{count} retrained model{'' if count == 1 else 's'}"
    models += " in all" if results.study.references else " per seed"
    if not any(results.comparison["verdicts"].values()):
        seeds = f"{len(results.seeds)} seed{'s' if len(results.seeds) > 1 else ''}"
        return f"Declared: {models} and {seeds}, which carry no claim: no verdict is given, no mark."
    return (
        f"Declared before the run: {models}; {', '.join(claims['primary'])} carry marks and verdicts. Near retraining "
        f"is a gap of at most {100 * claims['near']:g}% of what the original has more than the retrained models, or, "
        f"of what should not fall, {100 * claims['keep']:g}% of their value; errors of {100 * claims['level']:g}%, "
        "marks over all methods together (Holm)."
    )


def missing(results: Results) -> list[str]:
    """What cannot be said, as a model or a set was not given."""
    study, said = results.study, []
    if not study.retrained:
        said.append(
            "No retrained model is given (references.retrain): what forgetting aims at is unknown. Gaps, marks, "
            "verdicts, forget quality and what a perturbation brings back are therefore missing."
        )
    return said + [f"No {WITHOUT[name]}" for name in absent_sets(results)]


def absent_sets(results: Results) -> list[str]:
    splits = results.study.dataset.splits
    return splits.absent if splits else []


def noise(results: Results, confidence: float) -> list[str]:
    """What the band of retrained models among themselves was estimated from."""
    retrain = results.summaries.get("retrain", {}).values()
    degrees = {entry["band"]["degrees"] for entry in retrain if "band" in entry}
    if not degrees:
        return []
    count = len(results.study.retrained)
    source = f"{count} retrained models per seed" if count > 1 else "the retrained models of different seeds"
    if results.study.references:
        source = f"{count} given models"
    return [
        f"Noise band: {100 * confidence:g}% of the gaps of another retrained model would lie within it, estimated from "
        f"{source} (degrees of freedom: {max(degrees)}). A gap within the band may be noise, or a difference that the "
        "noise hides: the wider the band, the less it says. It does not show that a method equals retraining."
    ]


def cut_texts(prepared: dict[str, Any]) -> list[str]:
    """Says so where more than a hundredth of the texts was cut off."""
    there, kept = tokens(prepared)
    if kept >= 0.99 * there:
        return []
    cut = [name for name, counts in prepared["tokens"].items() if counts["kept"] < counts["there"]]
    return [
        f"Of {there:,} tokens of the texts {kept:,} were read ({100 * kept / there:.1f}%): texts of {', '.join(cut)} "
        "that are longer than model.max_length were cut, and what lies beyond is not learnt, not forgotten and not "
        "judged."
    ]


def text_only_control(results: Results) -> list[str]:
    """Can the forget set be told from the test set without any model?"""
    judged = {seed: numbers for seed, numbers in results.text_only_control.items() if numbers}
    if not judged:
        return [
            "Blind control: none, as an attack that sees only the texts learns nothing from a single group of them "
            "(near-duplicates, one subject). Whether forget and test differ in their words is open."
        ]
    leaks = [seed for seed, numbers in judged.items() if numbers["blind_leak"]]
    mean = results.summaries[BLIND]["blind_auc"]["mean"]
    text = f"Blind control: an attack that sees only the texts, no model, has AUC {mean:.2f}"
    if not leaks:
        return [
            f"{text}; no interval of it lies above 0.5: no sign that forget and test differ in their words."
        ]
    return [
        f"{text}, with intervals above 0.5 in {len(leaks)} of {len(judged)} seeds: forget and test "
        "differ in their words, and so does every attack's AUC. Compare with retrain, or set measure.matched."
    ]


def transfer_control(results: Results) -> list[str]:
    """Says so where the transfer attack tells forget from test in models that never saw the forget set."""
    found = results.summaries.get("retrain", {})
    if not found.get("transfer_auc") or found["transfer_auc_low"]["mean"] <= 0.5:
        return []
    return [
        f"The transfer attack has AUC {found['transfer_auc']['mean']:.2f} on the retrained models, and intervals that "
        f"begin at {found['transfer_auc_low']['mean']:.2f} on average: forget and test differ by themselves in what it "
        "reads, as sets may that others drew. Only the distance to the retrained models is what a method left."
    ]


def small_sets(results: Results) -> list[str]:
    """The test examples that are judged bound how low a false positive rate can be told apart from none."""
    if results.comparison["attack"] is None:
        return []
    tests = results.comparison["attack"]["others"]
    rates = [rate for rate in results.study.measure.false_positive_rates if rate * tests < 1]
    if not rates:
        return []
    listed = " and ".join(f"{rate:.4g}" for rate in rates)
    return [
        f"Attacks are judged on {tests} test examples: one false accusation is already a rate of {1 / tests:.2g}, so "
        f"no true positive rate is given at {listed}. The rate reached stands beside the others, with its upper bound."
    ]


def over_unlearned(results: Results) -> list[str]:
    """Methods whose membership attack does worse than on the retrained models."""
    found = results.comparison["beyond"]
    if not found:
        return []
    return [
        f"Pushed beyond retraining: {', '.join(found)}. The AUC of the main attack lies below that of the retrained "
        "models (told over all methods): beside test text, what was forgotten is less familiar to the model than to "
        "one that never saw it."
    ]


def differing(results: Results) -> list[str]:
    """Methods whose losses on the forget set are told from the retrained models', by two tests over all seeds."""
    found, level = results.comparison["losses"], results.study.claims.level
    said = []
    if not found:
        return []
    for test, name in (
        ("paired", "the paired test of the same texts"),
        ("ks", "Kolmogorov-Smirnov, which finds less"),
    ):
        told = [run for run in results.methods if found[run].get(test, 1.0) < level / len(results.methods)]
        if told:
            control = found.get("retrain", {}).get(test)
            beside = f"; a further retrained model has p = {control:.2g}" if control is not None else ""
            said.append(f"by {name}: {', '.join(told)}{beside}")
    if not said:
        return []
    return [
        f"Losses on the forget set told from the retrained models', all seeds together, {'; '.join(said)}."
    ]


def derivable(results: Results) -> list[str]:
    """Where facts were forgotten that follow from others: does retraining let go of them at all?"""
    found = results.summaries.get("retrain", {}).get("deep_success")
    if found is None:
        return []
    gone = results.summaries["retrain"]["targets_gone"]["mean"]
    text = (
        f"Retrained without the forget set, a model no longer answers {100 * gone:.0f}% of the target facts"
    )
    if found["mean"] == 0:
        return [
            f"{text}, yet every one of them follows from what it still knows: to be near retrain is not to have "
            "forgotten these facts. Strategy deep asks for what they follow from, too."
        ]
    return [
        f"{text}, and {100 * found['mean']:.0f}% no longer follow from what it still knows. What it does answer was "
        "guessed, or is known otherwise: that much of other runs' answers may be guessed, too."
    ]


def gates(results: Results) -> list[str]:
    """Whom the gates of a run see, and what they give away by themselves."""
    seen, told = [], []
    for run in results.methods:
        found = results.summaries[run]
        if "gate_nearest_auc" not in found:
            continue
        weight, nearest = (found[f"gate_{name}_auc"]["mean"] for name in ("weight", "nearest"))
        told.append(f"{run} (weight {weight:.2f}, nearest {nearest:.2f})")
        others = [f"{name} {found[key]['mean']:.2f}" for key, name in SEEN if key in found]
        if others:
            seen.append(f"{run} ({', '.join(others)})")
    said = []
    if seen:
        said.append(
            "Whom gates see: AUC of the weight that a text gets, what was forgotten against other text: "
            f"{', '.join(seen)}. At 0.5 a gate opens as far for both, and what is kept of the other is left to chance."
        )
    if told:
        said.append(
            "Gates are an attack of their own: AUC of telling forgotten from test texts (of their labels, if there are "
            "some) by the weight that a text gets, which answers show, and by the nearest text that the model's "
            f"files store: {', '.join(told)}. Where one is near 1, the model says who was forgotten, whatever it says "
            "about them."
        )
    return said
