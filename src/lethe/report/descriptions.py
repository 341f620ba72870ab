"""The words of the report: what each metric is called and what it says, and how its numbers are shown."""

from __future__ import annotations

from lethe.tasks import Column

ARROW = {"higher": "↑", "lower": "↓", "retrain": "≈"}  # ≈: near retrain


def title(column: Column) -> str:
    return f"{column.label}\N{NO-BREAK SPACE}{ARROW[column.good]}"


def digits(metric: str) -> int:
    """Decimals that a number of this name is shown with."""
    return 1 if metric.startswith("perplexity") else 3


ATTACKS = {  # score of an attack -> its name
    "transfer": "transfer attack",
    "attack": "fitted attack",
    "min_k": "Min-K%",
    "min_k_plus": "Min-K%++",
    "loss_zlib": "loss ÷ zlib",
    "memorization_accuracy": "MA",
    "modified_entropy": "modified entropy",
    "reference_loss": "reference loss",
    "lira": "LiRA",
    "lira_offline": "LiRA, offline",
    "rmia": "RMIA",
    "rmia_offline": "RMIA, offline",
    "gradient_norm": "gradient norm",
}


def attack_title(score: str) -> str:
    return "U-LiRA" if score.startswith("ulira_") else ATTACKS.get(score, score)


SHARED = [  # of every task
    ("transfer AUC", "Membership inference by one who knows the method: a quadratic classifier learns, on the models "
     "that it made for the other seeds, to tell their forget sets from test examples, by the scores of an example, and "
     "judges this seed's. On retrained models it finds nothing (0.5)."),
    ("LiRA, RMIA AUC", "Membership inference with shadow models, retrained with and without each text: how much "
     "likelier is what the model says of a text among those that knew it? Only where the study asks for them."),
    ("U-LiRA AUC", "LiRA whose shadow models were unlearned themselves: is what a model of this method says of a text "
     "likelier where the method let it forget the text, or where it never saw it? In the first seed, where asked for."),
    ("gradient norm AUC", "Membership inference by one who has the model: how far would a step on a text move it? "
     "Only where the study asks for it."),
    ("blind AUC", "The control: an attack that sees only the words of the texts. Above 0.5 forget and test "
     "differ by themselves, and every other attack's AUC says that, too; below, it has found nothing."),
    ("TPR at a low FPR", "Share of the forget set that the attack finds while it wrongly accuses at most the share "
     "of the test set that stands in its name, with exact binomial bounds, the false positive rate really reached, and "
     "its upper bound. Not given below one in so many test examples as there are."),
    ("loss tests", "p-values, all seeds together, of the losses on the forget set being those of the retrained models: "
     "a paired test of the same texts, and Kolmogorov-Smirnov's, which finds less. Near 0: they are not. A high value "
     "is no proof that they are."),
]  # fmt: skip
