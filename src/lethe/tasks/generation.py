"""Generation: the model writes text, which is what it learns and what it is scored on, token by token."""

from __future__ import annotations

from collections.abc import Collection

from lethe.tasks import SHADOW_COLUMNS, Column

GIVES = ("text", "wording")
LABELS = None
ARRAYS = (
    "logprob", "mask", "correct", "mu", "sigma", "zlib_bytes", "n", "extraction_likelihood", "extracted",
)  # fmt: skip
SETTINGS = ("n", "start", "extract", "most", "test", "prefix", "tries", "sampled", "temperature", "answers")
ATTACK = "min_k"
FEATURES = ("loss", "loss_zlib", "min_k", "min_k_plus", "memorization_accuracy")
PRIMARY = ("transfer_auc", "memorization_accuracy_excess", "memorization_accuracy_retain")
GLOSSARY = (
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
    ("deep success, recall, accuracy", "Of target facts the share that no longer follows from what is still known; the "
     "largest share of a smallest set of facts to be lost for that; the share of all other facts that is kept."),
    ("probability, ROUGE-L recall, truth ratio", "Of answers to prompts. Probability: per token; among options, the "
     "share of the true answer beside wrong ones. ROUGE-L recall: the share of its words that the model's own has, in "
     "order. Truth ratio: from wrong answers' probability over that of the right one in other words; 1 says of what is "
     "to be forgotten that the two are equal, of what is kept that only the right one counts."),
    ("model utility", "Harmonic mean of these three on the sets that should be kept: TOFU's nine numbers."),
    ("forget quality", "p-value of a Kolmogorov-Smirnov test: do the truth ratios on the forget set come from the "
     "same distribution as those of retrain? It depends on their number n. A high value is no proof that they do."),
    ("privacy leak", "Percent by which the attack by the least likely 40% of tokens differs from that on retrain: "
     "-100 is not forgotten at all, 0 like retrain, above 0 over-forgotten."),
    ("exact memorisation", "Share of an answer's tokens, without its end, that are predicted greedily."),
    ("perplexity, next-token accuracy", "Over all tokens of a set, every token weighing the same. On held-out "
     "text they are utility: low perplexity and high accuracy are good."),
)  # fmt: skip


def columns(available: Collection[str]) -> list[Column]:
    other = "general_test" if "perplexity_general_test" in available else "test"
    name = other.replace("_", " ")
    return [
        Column("deep_success", "deep success", "higher"),
        Column("deep_recall", "deep recall", "higher"),
        Column("deep_accuracy", "deep accuracy", "higher"),
        Column("transfer_auc", "transfer AUC", "retrain"),
        Column("memorization_accuracy_excess", "MA, forget − test", "retrain"),
        *extraction(available, "EL{}, forget"),
        Column("min_k_auc", "Min-K% AUC", "retrain"),
        *SHADOW_COLUMNS,
        Column("memorization_accuracy_retain", "MA, retain", "higher"),
        Column(f"perplexity_{other}", f"perplexity, {name}", "lower", 1),
        Column(f"next_token_accuracy_{other}", f"next token, {name}", "higher"),
        Column("downstream_accuracy", "accuracy, tasks", "higher"),
    ]


def memory(available: Collection[str]) -> list[Column]:
    return [
        Column("completion_rouge_l_forget", "completion, ROUGE-L", "retrain"),
        Column("memorization_accuracy_forget", "MA", "retrain"),
        *extraction(available, "EL{}"),
    ]


def tradeoff(available: Collection[str]) -> list[tuple[Column, Column]]:
    other = "general_test" if "next_token_accuracy_general_test" in available else "test"
    text = f"next-token accuracy on {other.replace('_', ' ')}"
    retain = Column("memorization_accuracy_retain", "memorization accuracy on retain", "higher")
    return [
        (Column("memorization_accuracy_forget", "memorization accuracy on forget", "retrain"), retain),
        *((column, retain) for column in extraction(available, "extraction likelihood EL{} on forget")),
        (
            Column("min_k_auc", "AUC of the Min-K% attack", "retrain"),
            Column(f"next_token_accuracy_{other}", text, "higher"),
        ),
    ]


def extraction(available: Collection[str], label: str) -> list[Column]:
    """The extraction likelihood of the forget set with the longest n-grams, if any was computed."""
    names = [n for n in available if n.startswith("extraction_likelihood_") and n.endswith("_forget")]
    longest = max(names, key=lambda name: int(name.split("_")[2]), default=None)
    return [Column(longest, label.format(longest.split("_")[2]), "retrain")] if longest else []
