"""What each metric is called, which way is good, and what it says: the words of the report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

ARROW = {"higher": "↑", "lower": "↓", "retrain": "≈"}  # ≈: near retrain


@dataclass(frozen=True)
class Column:
    """A metric in the tables of the report."""

    key: str  # name in metrics.json
    label: str
    good: str  # higher, lower, or retrain: near the retrained model
    digits: int = 3

    @property
    def title(self) -> str:
        return f"{self.label}\N{NO-BREAK SPACE}{ARROW[self.good]}"


# the main membership attack
ATTACK = {"classification": "attack", "tagging": "attack", "generation": "min_k"}
SHADOW_ATTACKS = [Column("lira_auc", "LiRA AUC", "retrain"), Column("rmia_auc", "RMIA AUC", "retrain")]


def columns(task: str, available: Collection[str]) -> list[Column]:
    """The metrics that tell most about a study, forgetting first, then membership, then utility."""
    wanted = {"classification": classification, "tagging": tagging, "generation": generation}
    return [column for column in wanted[task](available) if column.key in available]


def classification(available: Collection[str]) -> list[Column]:
    return [
        Column("accuracy_forget", "accuracy, forget", "retrain"),
        Column("attack_auc", "attack AUC", "retrain"),
        *SHADOW_ATTACKS,
        Column("silhouette_forget", "silhouette, forget", "retrain"),
        Column("accuracy_test", "accuracy, test", "higher"),
        Column("macro_f1_test", "macro-F1, test", "higher"),
        Column("accuracy_retain", "accuracy, retain", "higher"),
    ]


def tagging(available: Collection[str]) -> list[Column]:
    return [
        Column("entity_f1_forget", "entity F1, forget", "retrain"),
        Column("token_accuracy_forget", "token accuracy, forget", "retrain"),
        Column("attack_auc", "attack AUC", "retrain"),
        *SHADOW_ATTACKS,
        Column("entity_f1_test", "entity F1, test", "higher"),
        Column("token_accuracy_test", "token accuracy, test", "higher"),
        Column("entity_f1_retain", "entity F1, retain", "higher"),
    ]


def generation(available: Collection[str]) -> list[Column]:
    extraction = longest_extraction(available)
    other = "general_test" if "perplexity_general_test" in available else "test"
    name = other.replace("_", " ")
    return [
        Column("memorization_accuracy_forget", "MA, forget", "retrain"),
        *([Column(extraction, f"EL{extraction.split('_')[2]}, forget", "retrain")] if extraction else []),
        Column("min_k_auc", "Min-K% AUC", "retrain"),
        *SHADOW_ATTACKS,
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


def digits(metric: str) -> int:
    """Decimals that a number of this name is shown with."""
    return 1 if metric.startswith("perplexity") else 3


FITTED = (
    "attack AUC", "Membership inference. A logistic regression on loss, confidence, entropy and margin learns "
    "to tell retain from hold-out examples, then has to tell forget from test examples. 0.5: it cannot. 1: it "
    "always can. Significantly below 0.5: over-unlearned, the forget set stands out by being too unfamiliar.",
)  # fmt: skip
SHARED = [
    ("LiRA, RMIA AUC", "Membership inference with shadow models, retrained with and without each text: how much "
     "likelier is what the model says of a text among those that knew it? Only where the study asks for them."),
    ("blind AUC", "The control: an attack that sees only the words of the texts. Above 0.5 forget and test "
     "differ by themselves, and every other attack's AUC says that, too; below, it has found nothing."),
    ("TPR at a low FPR", "Share of the forget set that the attack finds while it wrongly accuses at most the share "
     "of the test set that stands in its name, with exact binomial bounds and the false positive rate really reached."),
    ("forget quality", "p-value of a Kolmogorov-Smirnov test: do the losses on the forget set come from the same "
     "distribution as those of retrain? Near 0: they do not. A high value is no proof that they do."),
]  # fmt: skip
GLOSSARY = {
    "classification": [
        ("accuracy, macro-F1", "Share of right predictions; mean F1 over the classes. High on test and retain is "
         "utility. On the forget set the goal is the accuracy of retrain, which is that on unseen text, not zero."),
        FITTED,
        *SHARED,
        ("silhouette, centroid distance, linear probe", "The latent space, by cosine. Does a forget example still "
         "lie in its class (silhouette near 1), how far from the centre of its class, and can a linear model that "
         "was fitted on the retained examples read its class off its embedding? All near retrain is best."),
        ("calibration error", "Mean gap between confidence and accuracy over bins of confidence. Low is good."),
    ],
    "tagging": [
        ("entity F1, token accuracy", "An entity is right if its first and last word and its type are: F1 is the "
         "harmonic mean of precision and recall over all entities. Token accuracy is the share of words with the right "
         "tag. High on test and retain is utility. On the forget set the goal is that of retrain, not zero."),
        FITTED,
        *SHARED,
    ],
    "generation": [
        ("MA (memorization accuracy)", "Share of the tokens of a text that the model predicts greedily from the true "
         "text before them. 1 is full memorisation; unseen text of the same kind is not 0, so compare with retrain."),
        ("ELₙ (extraction likelihood)", "From every prefix of the text the model continues greedily; the share of "
         "the n-grams of the true rest that it brings out, averaged over prefixes. Compare with retrain."),
        ("extraction strength", "Share of a text that greedy decoding yields word for word from the shortest prefix "
         "that does so. Nothing yielded is 0."),
        ("completion", "A text is continued greedily from its first half: ROUGE-L, BLEU and the longest common run of "
         "tokens between what comes and what is true, and the share of texts that come word for word. Near retrain is "
         "best: texts of one kind resemble each other."),
        ("distinct-n, repetition, unigram entropy", "Of these continuations: different n-grams over all n-grams, "
         "the share of 4-grams that were there before, and bits per token. Far from retrain is bad: a model that "
         "repeats itself has not unlearned, it is broken."),
        ("sampled extraction", "The same drawn at random many times: the share of tries that are the truth word for "
         "word, the share of texts that any try yielded, ROUGE-L of the best try. That of the truth at temperature "
         "1 is computed exactly, from the probabilities of the true tokens."),
        ("loss, loss ÷ zlib, Min-K%, Min-K%++ AUC", "Membership inference by a threshold on the loss, the loss per "
         "compressed byte, the least likely tokens, or those after standardising over the vocabulary: forget "
         "against test examples. 0.5: not told apart. Significantly below 0.5: over-unlearned."),
        *SHARED,
        ("perplexity, next-token accuracy", "Over all tokens of a set, every token weighing the same. On held-out "
         "text they are utility: low perplexity and high accuracy are good."),
    ],
}  # fmt: skip
