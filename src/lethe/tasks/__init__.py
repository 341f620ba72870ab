"""Tasks: what a model is for, one file each, found by its name.

A file of this folder, or of `tasks` in a folder that `plugins` names, is a task: `task: NAME` of a study. Its parts are
read one by one, so that what needs no torch does not import it, and a job is made again where what it asks for changes.

    GIVES = ("classes", "wording")     # what methods and tests of forgetting may need (`NEEDS`):
                                       # text     the text itself is predicted, token by token
                                       # classes  one of a few is true of each text, or of each of its words
                                       # wording  a text may be worded otherwise, and what is true of it stays true
    LABELS = "texts"                   # what has labels: the texts, the words of each, or None
    MODEL = AutoModelFor…              # of transformers: what a model of it is loaded as
    TINY = ("tiny-bert",)              # the built-in tiny models that serve it; none, if left out
    ARRAYS = ("labels", …)             # what scores.npz holds, beside what it holds of every task (`system.arrays`)
    SETTINGS = ("most", "test")        # settings of score without which two models are not compared; these, if left out
    ATTACK = "loss"                    # the main attack: the column of metrics.parquet by which members are found
    FEATURES = ("loss",)               # columns that the transfer attack reads of an example
    PRIMARY = ("loss_forget", …)       # at most three metrics that carry claims where a study declares none
    PROBED = ("loss", "loss")          # metric and label of what is told of each probe; these, if left out
    UTILITY = "accuracy"               # metric of which retain and validation are to keep what the original has of it;
                                       # none, if left out
    GLOSSARY = ((name, text), …)       # what the report says of its metrics

    def labels(frame)                  # all labels of examples, by their index; where LABELS says that there are some
    def renamed(frame, names)          # the examples with other names of their classes; where it gives classes
    def config(labels)                 # settings of the model's configuration; may be left out
    def rows(frame, tokenizer, max_length, labels, prompting)
                                       # examples as `lethe.data.encoding.Encoded`, whose rows say what is predicted
    def scores(model, tokenizer, encoded, settings, extract)
                                       # the arrays of a set by their names, a row for each example
    def columns(available)             # [Column]: what tells most, forgetting first, then membership, utility
    def memory(available)              # [Column]: how much of the forget set is left, the first in figures first
    def tradeoff(available)            # [(Column, Column)]: panels of forgetting against utility

`available` are the names of metrics.json; of what is not available nothing is shown.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A metric that runs are compared by."""

    key: str  # name in metrics.json
    label: str
    good: str  # higher, lower, or retrain: near the retrained model
    digits: int = 3


SHADOW_ATTACKS = {"lira": "LiRA", "rmia": "RMIA"}  # those that learn from shadow models
SHADOW_COLUMNS = [Column(f"{key}_auc", f"{name} AUC", "retrain") for key, name in SHADOW_ATTACKS.items()]
