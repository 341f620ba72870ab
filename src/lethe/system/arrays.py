"""The one schema of scores.npz: its arrays by their names. What a task keeps besides, its file says (`ARRAYS`)."""

from __future__ import annotations

COMMON = ("task", "ids", "sets", "checksum", "characters", "settings")  # of every model
SHADOW = ("shadow_confidence", "shadow_member", "shadow_known")  # what `measure --shadow` adds
ULIRA = (
    "ulira_methods",
    "ulira_confidence",
    "ulira_member",
    "ulira_known",
    "ulira_own",
)  # what `measure --unlearned-by` adds
OPTIONAL = (
    *SHADOW,
    *ULIRA,
    "gradient_norm",  # what `score.gradient_norm` adds
    "reference_logprob",  # what `measure --reference` adds
    "known_before",  # what `measure --original` adds
    "matched",  # what `measure.matched` adds
    "downstream_names",
    "downstream_values",
    "holds_text",
    "said",
    "suffix",
    "completion",
    "tries",
    "prompt",
    "margin",
    "model",  # which model it is, where that was not made here
    "fact",
    "gate",
    "gate_nearest",
    "gate_kind",
    "target",
    "answered",  # of prompts, as `lethe.evaluation.answers.answer_arrays` says
    "ends",
    "paraphrase_loss",
    "alternative_loss",
    "rouge_1_recall",
    "rouge_l_recall",
    "rouge_l_f1",
    "answer_match",
    "answer_entropy",
)
NOT_PER_EXAMPLE = (
    "task", "classes", "n", "settings", "model", "holds_text", "downstream_names", "downstream_values", "ulira_methods",
    "ulira_own",
)  # fmt: skip
NONE = -1  # in place of a token where there is none
NO_TAG = -100  # in place of the tag of a token that has none: all but the first of each word
FILL = dict.fromkeys(("suffix", "completion", "tries"), NONE) | {
    "tags": NO_TAG,
    "alternative_loss": float("nan"),
}  # beyond a row's end, where not 0
