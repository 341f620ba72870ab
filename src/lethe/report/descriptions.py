"""The words of the report: what each metric is called and what it says, and how its numbers are shown."""

from __future__ import annotations

from lethe.evaluation.headline import Column

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
}
FITTED = (
    "attack AUC", "Membership inference. A logistic regression on loss, confidence, entropy and margin learns "
    "to tell retain from hold-out examples, then has to tell forget from test examples. 0.5: it cannot. 1: it "
    "always can. Significantly below 0.5: over-unlearned, the forget set stands out by being too unfamiliar.",
)  # fmt: skip
SHARED = [
    ("transfer AUC", "Membership inference by one who knows the method: a quadratic classifier learns, on the models "
     "that it made for the other seeds, to tell their forget sets from test examples, by the scores of an example, and "
     "judges this seed's. On retrained models it finds nothing (0.5)."),
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
        ("MA, forget − test", "MA of the forget set beyond that of unseen text under the same model: a model that "
         "predicts nothing any more has a low MA on both. Retrained models have about 0."),
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
