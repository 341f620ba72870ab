"""Tagging: the model names the class of each word of a text, such as those of which a name is made."""

from __future__ import annotations

from collections.abc import Collection

from lethe.tasks import SHADOW_COLUMNS, Column
from lethe.tasks.classification import FEATURES as OF_CLASSES
from lethe.tasks.classification import FITTED

GIVES = ("classes",)
LABELS = "words"
ARRAYS = ("tags", "classes", "logits")
ATTACK = "attack"
FEATURES = OF_CLASSES
PRIMARY = ("transfer_auc", "entity_f1_forget", "entity_f1_test")
GLOSSARY = (
    ("entity F1, token accuracy", "An entity is right if its first and last word and its type are: F1 is the "
     "harmonic mean of precision and recall over all entities. Token accuracy is the share of words with the right "
     "tag. High on test and retain is utility. On the forget set the goal is that of retrain, not zero."),
    FITTED,
)  # fmt: skip


def columns(available: Collection[str]) -> list[Column]:
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


def memory(available: Collection[str]) -> list[Column]:
    return [
        Column("entity_f1_forget", "entity F1, forget", "retrain"),
        Column("attack_auc", "attack AUC", "retrain"),
    ]


def tradeoff(available: Collection[str]) -> list[tuple[Column, Column]]:
    test = Column("entity_f1_test", "entity F1 on test", "higher")
    return [
        (Column("entity_f1_forget", "entity F1 on forget", "retrain"), test),
        (Column("attack_auc", "AUC of the membership attack", "retrain"), test),
    ]
