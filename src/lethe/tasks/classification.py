"""Classification: the model names the class of a text."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForSequenceClassification

from lethe import losses, models
from lethe.data.encoding import Encoded, framed_rows
from lethe.data.rows import Labelled
from lethe.params.prompting import Prompting
from lethe.params.score import Score
from lethe.tasks import SHADOW_COLUMNS, Column

GIVES = ("classes", "wording")
LABELS = "texts"
MODEL = AutoModelForSequenceClassification
TINY = ("tiny-bert",)
ARRAYS = ("labels", "classes", "logits", "embeddings")
ATTACK = "attack"
FEATURES = ("loss", "confidence", "entropy", "margin")
PRIMARY = ("transfer_auc", "accuracy_forget", "accuracy_test")
PROBED = ("accuracy", "accuracy")
UTILITY = "accuracy"
FITTED = (
    "attack AUC", "Membership inference. A logistic regression on loss, confidence, entropy and margin learns "
    "to tell retain from hold-out examples, then has to tell forget from test examples. 0.5: it cannot. 1: it "
    "always can. Below the retrained models': over-unlearned, the forget set stands out by being too unfamiliar.",
)  # fmt: skip
GLOSSARY = (
    ("accuracy, macro-F1", "Share of right predictions; mean F1 over the classes. High on test and retain is "
     "utility. On the forget set the goal is the accuracy of retrain, which is that on unseen text, not zero."),
    FITTED,
    ("silhouette, centroid distance, linear probe", "The latent space, by cosine. Does a forget example still "
     "lie in its class (silhouette near 1), how far from the centre of its class, and can a linear model that "
     "was fitted on the retained examples read its class off its embedding? All near retrain is best."),
    ("calibration error", "Mean gap between confidence and accuracy over bins of confidence. Low is good."),
)  # fmt: skip


def labels(frame: pd.DataFrame) -> pd.Series:
    return frame["label"]


def renamed(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return frame.assign(label=frame["label"].astype(str).map(names))


def config(labels: list[str]) -> dict[str, Any]:
    places = {name: place for place, name in enumerate(labels)}
    return {"num_labels": len(labels), "id2label": dict(enumerate(labels)), "label2id": places}


def rows(
    frame: pd.DataFrame, tokenizer, max_length: int, labels: list[str], prompting: Prompting | None = None
) -> Encoded:
    """Texts or pairs of them as the tokenizer frames them, and the place of each one's class among `labels`."""
    found = framed_rows(frame, tokenizer, max_length)
    places = torch.tensor([labels.index(label) for label in frame["label"]])
    return Encoded(frame["id"].to_numpy(str), Labelled(**vars(found), labels=places))


@torch.no_grad()
def scores(model, tokenizer, encoded: Encoded, settings: Score, extract: bool) -> dict[str, np.ndarray]:
    """labels (N,), logits (N, C) and first-token embeddings (N, H); one pass in batches of similar length."""
    rows = encoded.rows
    assert isinstance(rows, Labelled)
    order = torch.argsort(rows.lengths, stable=True)
    logits, embeddings = [], []
    for chunk in order.split(settings.batch_size):
        part = losses.logits_and_embedding(model, rows[chunk].to(models.device()))
        logits.append(part[0].float().cpu())
        embeddings.append(part[1].float().cpu())
    back = torch.argsort(order)
    return {
        "labels": rows.labels.numpy(),
        "logits": torch.cat(logits)[back].numpy(),
        "embeddings": torch.cat(embeddings)[back].numpy(),
    }


def columns(available: Collection[str]) -> list[Column]:
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


def memory(available: Collection[str]) -> list[Column]:
    return [
        Column("accuracy_forget", "accuracy, forget", "retrain"),
        Column("attack_auc", "attack AUC", "retrain"),
    ]


def tradeoff(available: Collection[str]) -> list[tuple[Column, Column]]:
    test = Column("accuracy_test", "accuracy on test", "higher")
    return [
        (Column("accuracy_forget", "accuracy on forget", "retrain"), test),
        (Column("attack_auc", "AUC of the membership attack", "retrain"), test),
    ]
