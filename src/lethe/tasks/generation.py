"""Generation: the model writes text, which is what it learns and what it is scored on, token by token."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Collection

import numpy as np
import pandas as pd
from transformers import AutoModelForCausalLM

from lethe.data.encoding import Encoded, answers, cut_rows, own_tokens, own_windows
from lethe.data.texts_read import texts_read
from lethe.data.tokenizers import check_end
from lethe.decoding.continuations import greedy_continuations
from lethe.decoding.decoding import teacher_forced
from lethe.decoding.extraction import extraction
from lethe.decoding.recall import prompt_lengths
from lethe.decoding.sampling import sampled_continuations
from lethe.params.prompting import Prompting
from lethe.params.score import Score
from lethe.system import plugins
from lethe.system.arrays import NONE
from lethe.system.streams import first_of_stream, stream
from lethe.tasks import SHADOW_COLUMNS, Column

log = logging.getLogger("lethe.score")

GIVES = ("text", "wording")
LABELS = None
MODEL = AutoModelForCausalLM
TINY = ("tiny-gpt-neo",)
TEXTS = ("suffix", "completion", "tries")  # arrays that hold text
ARRAYS = (
    "logprob", "mask", "correct", "mu", "sigma", "zlib_bytes", "n", "extraction_likelihood", "extracted",
)  # fmt: skip
SETTINGS = ("n", "start", "extract", "most", "test", "prefix", "tries", "sampled", "temperature", "answers")
ATTACK = "min_k"
FEATURES = ("loss", "loss_zlib", "min_k", "min_k_plus", "memorization_accuracy")
PRIMARY = ("transfer_auc", "memorization_accuracy_excess", "memorization_accuracy_retain")
PROBED = ("next_token_accuracy", "next token")
UTILITY = "next_token_accuracy"
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
    ("distinct-n, repetition, unigram entropy", "Of each continuation, and distinct-n of all of a set together: "
     "different n-grams over all n-grams, the share of 4-grams that were there before, and bits per token. Far from "
     "retrain is bad: a model that repeats itself has not unlearned, it is broken."),
    ("sampled extraction", "The same drawn at random many times: the share of tries that are the truth word for "
     "word, the share of texts that any try yielded, ROUGE-L of the best try. That of the truth at temperature "
     "1 is computed exactly, from the probabilities of the true tokens."),
    ("loss, loss ÷ zlib, Min-K%, Min-K%++ AUC", "Membership inference by a threshold on the loss, the loss per "
     "compressed byte, the least likely tokens, or those after standardising over the vocabulary: forget "
     "against test examples. 0.5: not told apart. Below the retrained models': over-unlearned."),
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


def rows(
    frame: pd.DataFrame, tokenizer, max_length: int, labels: list[str], prompting: Prompting | None = None
) -> Encoded:
    """Texts between a beginning and an end token; where examples have prompts, prompt and answer (`answers`).

    Given token ids are taken as they are where the tokenizer reads the same texts in them; where it is another than
    the one that made them, it splits the texts itself.

    Raises:
        InputError: the tokenizer knows no end of text.
    """
    if "prompt" in frame and frame["prompt"].notna().any():
        return answers(frame, tokenizer, max_length, prompting or Prompting())
    given = own_tokens(frame, tokenizer) | own_windows(frame, tokenizer)
    texts = [text for row, text in enumerate(frame["text"]) if row not in given]
    made: list[list[int]] = []
    if texts:
        check_end(tokenizer)
        plain = tokenizer(texts, add_special_tokens=False)["input_ids"]
        made = [[tokenizer.bos_token_id, *ids, tokenizer.eos_token_id] for ids in plain]
    rest = iter(made)
    sequences = [given[row] if row in given else next(rest) for row in range(len(frame))]
    found = cut_rows(sequences, frame, max_length, tokenizer.pad_token_id, framed=False)
    return Encoded(frame["id"].to_numpy(str), found)


def scores(model, tokenizer, encoded: Encoded, settings: Score, extract: bool) -> dict[str, np.ndarray]:
    """Per-token arrays (N, T), column 0 never scored, and, where asked for, what can be extracted.

    extraction_likelihood (N, K), margin, extracted (N,): a text too short for the longest n-gram counts as not
    extracted. prompt (N,), 0 where nothing is completed, and what metrics say of the completions, (N,) each, NaN where
    there is none. With `keep_text` the texts, too: see `completed`. zlib_bytes (N,) of what is scored.
    """
    rows = encoded.rows
    ids, lengths = rows.input_ids.numpy(), rows.lengths.numpy()
    if extract:
        start = settings.start if rows.starts is None else np.maximum(settings.start, rows.starts.numpy())
        found = extraction(
            model, ids, n=settings.n, start=start, lengths=lengths, batch_size=settings.batch_size,
            decode_batch_tokens=settings.decode_batch_tokens, logprob=True, allow_short=True,
        )  # fmt: skip
        tokens, margin = found.tokens, found.margin
        likelihood = np.stack([found.extraction_likelihood[n] for n in settings.n], 1)
        texts = completed(model, encoded, settings)
    else:
        tokens = teacher_forced(model, ids, lengths, batch_size=settings.batch_size, logprob=True)
        likelihood, margin = np.full((len(ids), len(settings.n)), np.nan), np.zeros(len(ids))
        texts = nothing(len(ids), settings.tries)
    extracted = ~np.isnan(likelihood).any(1)
    if extract and not extracted.all():
        log.info("%d texts are too short for n-grams of %d tokens", (~extracted).sum(), max(settings.n))
    shifted = {
        name: np.pad(getattr(tokens, name), ((0, 0), (1, 0)))
        for name in ("logprob", "correct", "mu", "sigma")
    }
    shifted["mask"] = np.pad(rows.scored.numpy(), ((0, 0), (1, 0)))
    likelihood = np.where(extracted[:, None], likelihood, 0.0)
    found_out = {"extraction_likelihood": likelihood, "margin": margin, "extracted": extracted}
    for name in plugins.names_in("metrics"):
        if "of_texts" in plugins.functions_in("metrics", name):
            found_out |= plugins.imported("metrics", name).of_texts(texts)
    scored = texts_read(encoded, tokenizer, scored=True)
    found_out["zlib_bytes"] = np.array([len(zlib.compress(text.encode())) for text in scored])
    found_out["n"] = np.array(settings.n)
    kept = texts | {"holds_text": np.array(TEXTS)} if settings.keep_text else {"prompt": texts["prompt"]}
    return shifted | found_out | kept


def nothing(count: int, tries: int) -> dict[str, np.ndarray]:
    """What `completed` says of texts that are not completed."""
    tokens = np.full((count, 1), NONE, np.int32)
    return {
        "prompt": np.zeros(count, np.int64),
        "suffix": tokens,
        "completion": tokens,
        "tries": np.repeat(tokens[:, None], tries, axis=1),
    }


def completed(model, encoded: Encoded, settings: Score) -> dict[str, np.ndarray]:
    """What the model appends to the beginning of each text, and what is there in truth: token ids, -1 where none.

    prompt (N,): tokens of the beginning. suffix (N, W): the true tokens after it. completion (N, W): those of greedy
    decoding. tries (N, K, W): those of K draws; a text beyond `sampled` has none. The draws of a try depend on the id
    of its example alone, so that all runs and seeds share them.
    """
    ids, lengths = encoded.rows.input_ids.numpy(), encoded.rows.lengths.numpy()
    starts = encoded.rows.starts
    prompts = prompt_lengths(lengths, settings.prefix) if starts is None else starts.numpy()
    ours = greedy_continuations(
        model,
        ids,
        prompts,
        lengths,
        batch_size=settings.batch_size,
        decode_batch_tokens=settings.decode_batch_tokens,
    )
    width = int((lengths - prompts).max())
    tries = np.full((len(ids), settings.tries, width), NONE)
    if settings.tries:
        few = first_of_stream(len(ids), settings.sampled)
        draws = np.stack([stream(0, "sampling", encoded.ids[i]).random(tries.shape[1:]) for i in few])
        tries[few] = sampled_continuations(
            model, ids[few], prompts[few], draws, lengths[few], temperature=settings.temperature,
            batch_size=settings.batch_size, decode_batch_tokens=settings.decode_batch_tokens,
        )  # fmt: skip
    true = [row[a:b] for row, a, b in zip(ids, prompts, lengths, strict=True)]
    found = {"suffix": padded(true, width), "completion": padded(ours, width), "tries": tries}
    return {name: value.astype(np.int32) for name, value in found.items()} | {"prompt": prompts}


def padded(sequences: list[np.ndarray], width: int) -> np.ndarray:
    """(N, width) tokens, -1 after the last."""
    return np.stack([np.pad(s, (0, width - len(s)), constant_values=NONE) for s in sequences])


def columns(available: Collection[str]) -> list[Column]:
    other = "general_test" if "perplexity_general_test" in available else "test"
    name = other.replace("_", " ")
    return [
        Column("deep_success", "deep success", "higher"),
        Column("deep_recall", "deep recall", "higher"),
        Column("deep_accuracy", "deep accuracy", "higher"),
        Column("truth_ratio_forget", "truth ratio, forget", "retrain"),
        Column("truth_ratio_forget_perturbed", "truth ratio, forget", "retrain"),
        Column("rouge_l_f1_verbmem", "VerbMem", "retrain"),
        Column("rouge_l_f1_knowmem_forget", "KnowMem, forget", "retrain"),
        Column("transfer_auc", "transfer AUC", "retrain"),
        Column("memorization_accuracy_excess", "MA, forget − test", "retrain"),
        *longest_extraction(available, "EL{}, forget"),
        Column("min_k_auc", "Min-K% AUC", "retrain"),
        *SHADOW_COLUMNS,
        Column("model_utility", "model utility", "higher"),
        Column("rouge_l_f1_knowmem_retain", "KnowMem, retain", "higher"),
        Column("memorization_accuracy_retain", "MA, retain", "higher"),
        Column(f"perplexity_{other}", f"perplexity, {name}", "lower", 1),
        Column(f"next_token_accuracy_{other}", f"next token, {name}", "higher"),
        Column("downstream_accuracy_forget", "accuracy, tasks to forget", "lower"),
        Column("downstream_probability_forget", "right answer, tasks to forget", "lower"),
        Column("downstream_accuracy", "accuracy, tasks", "higher"),
    ]


def memory(available: Collection[str]) -> list[Column]:
    return [
        Column("completion_rouge_l_forget", "completion, ROUGE-L", "retrain"),
        Column("memorization_accuracy_forget", "MA", "retrain"),
        *longest_extraction(available, "EL{}"),
    ]


def tradeoff(available: Collection[str]) -> list[tuple[Column, Column]]:
    other = "general_test" if "next_token_accuracy_general_test" in available else "test"
    text = f"next-token accuracy on {other.replace('_', ' ')}"
    retain = Column("memorization_accuracy_retain", "memorization accuracy on retain", "higher")
    return [
        (Column("memorization_accuracy_forget", "memorization accuracy on forget", "retrain"), retain),
        *(
            (column, retain)
            for column in longest_extraction(available, "extraction likelihood EL{} on forget")
        ),
        (
            Column("min_k_auc", "AUC of the Min-K% attack", "retrain"),
            Column(f"next_token_accuracy_{other}", text, "higher"),
        ),
    ]


def longest_extraction(available: Collection[str], label: str) -> list[Column]:
    """The extraction likelihood of the forget set with the longest n-grams, if any was computed."""
    names = [n for n in available if n.startswith("extraction_likelihood_") and n.endswith("_forget")]
    longest = max(names, key=lambda name: int(name.split("_")[2]), default=None)
    return [Column(longest, label.format(longest.split("_")[2]), "retrain")] if longest else []
