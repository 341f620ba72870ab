"""The metrics that tell most about a study, and which way each of them is good."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A metric that runs are compared by."""

    key: str  # name in metrics.json
    label: str
    good: str  # higher, lower, or retrain: near the retrained model
    digits: int = 3


# the main membership attack, and those that learn from shadow models
ATTACK = {"classification": "attack", "tagging": "attack", "generation": "min_k"}
SHADOW_ATTACKS = {"lira": "LiRA", "rmia": "RMIA"}
SHADOW_COLUMNS = [Column(f"{key}_auc", f"{name} AUC", "retrain") for key, name in SHADOW_ATTACKS.items()]


def columns(task: str, available: Collection[str]) -> list[Column]:
    """The metrics that tell most about a study, forgetting first, then membership, then utility."""
    wanted = {"classification": classification, "tagging": tagging, "generation": generation}
    return [column for column in wanted[task](available) if column.key in available]


def classification(available: Collection[str]) -> list[Column]:
    return [
        Column("accuracy_forget", "accuracy, forget", "retrain"),
        Column("transfer_auc", "transfer AUC", "retrain"),
        Column("attack_auc", "attack AUC", "retrain"),
        *SHADOW_COLUMNS,
        Column("silhouette_forget", "silhouette, forget", "retrain"),
        Column("accuracy_test", "accuracy, test", "higher"),
        Column("macro_f1_test", "macro-F1, test", "higher"),
        Column("accuracy_retain", "accuracy, retain", "higher"),
    ]


def tagging(available: Collection[str]) -> list[Column]:
    return [
        Column("entity_f1_forget", "entity F1, forget", "retrain"),
        Column("token_accuracy_forget", "token accuracy, forget", "retrain"),
        Column("transfer_auc", "transfer AUC", "retrain"),
        Column("attack_auc", "attack AUC", "retrain"),
        *SHADOW_COLUMNS,
        Column("entity_f1_test", "entity F1, test", "higher"),
        Column("token_accuracy_test", "token accuracy, test", "higher"),
        Column("entity_f1_retain", "entity F1, retain", "higher"),
    ]


def generation(available: Collection[str]) -> list[Column]:
    extraction = longest_extraction(available)
    other = "general_test" if "perplexity_general_test" in available else "test"
    name = other.replace("_", " ")
    return [
        Column("transfer_auc", "transfer AUC", "retrain"),
        Column("memorization_accuracy_excess", "MA, forget − test", "retrain"),
        *([Column(extraction, f"EL{extraction.split('_')[2]}, forget", "retrain")] if extraction else []),
        Column("min_k_auc", "Min-K% AUC", "retrain"),
        *SHADOW_COLUMNS,
        Column("memorization_accuracy_retain", "MA, retain", "higher"),
        Column(f"perplexity_{other}", f"perplexity, {name}", "lower", 1),
        Column(f"next_token_accuracy_{other}", f"next token, {name}", "higher"),
        Column("downstream_accuracy", "accuracy, tasks", "higher"),
    ]


def memory(task: str, available: Collection[str]) -> list[Column]:
    """How much of the forget set a model still holds, the measure that comes first in figures first."""
    extraction = longest_extraction(available)
    wanted = [
        Column("completion_rouge_l_forget", "completion, ROUGE-L", "retrain"),
        Column("memorization_accuracy_forget", "MA", "retrain"),
        *([Column(extraction, f"EL{extraction.split('_')[2]}", "retrain")] if extraction else []),
    ]
    if task != "generation":
        wanted = [
            Column("accuracy_forget", "accuracy, forget", "retrain"),
            Column("entity_f1_forget", "entity F1, forget", "retrain"),
            Column("attack_auc", "attack AUC", "retrain"),
        ]
    return [column for column in wanted if column.key in available]


def longest_extraction(available: Collection[str]) -> str | None:
    """Name of the extraction likelihood of the forget set with the longest n-grams, if any was computed."""
    names = [n for n in available if n.startswith("extraction_likelihood_") and n.endswith("_forget")]
    return max(names, key=lambda name: int(name.split("_")[2]), default=None)
